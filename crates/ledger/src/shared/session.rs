//! One connection to the server, set up to write under a fence.

use std::{future::Future, time::Duration};

use tokio::task::JoinHandle;
use tokio_postgres::{Client, Statement, types::ToSql};

use super::{
    failure::Failure,
    patience::{of_a_try, of_the_server},
    schema,
    target::{Connected, Target},
    write,
};
use crate::{LedgerError, Place};

/// How long the server is given to take leave.
const LEAVE: Duration = Duration::from_secs(1);

/// What takes a statement's place `$1`, `$2` and so on.
pub(super) type Parameter<'a> = &'a (dyn ToSql + Sync);

/// Which shard is written to, and under which epoch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fence {
    pub(super) shard: i32,
    pub(super) epoch: i64,
}

impl Fence {
    /// None if the numbers are none of the server's.
    pub(super) fn of(shard: u32, epoch: u64) -> Option<Self> {
        Some(Self {
            shard: i32::try_from(shard).ok()?,
            epoch: i64::try_from(epoch).ok()?,
        })
    }

    pub(super) fn broken(self) -> Failure {
        Failure::Fenced {
            shard: self.shard as u32,
            epoch: self.epoch as u64,
        }
    }
}

/// A connection with what was prepared on it. It is closed with this value.
pub(super) struct Session {
    pub(super) client: Client,
    pub(super) fence: Fence,
    pub(super) append: Statement,
    connection: Connection,
}

impl Session {
    pub(super) async fn begin(
        target: &Target,
        fence: Fence,
        place: &Place,
        patience: Duration,
    ) -> Result<Self, Failure> {
        let (client, connection) = target.connect(of_a_try(patience)).await?;
        let connection = Connection::drive(connection);
        set_up(&client, patience).await?;
        check_format(&client, place).await?;
        warn_if_unsafe(&client, place).await?;
        let append = client.prepare(write::APPEND).await?;
        Ok(Self {
            client,
            fence,
            append,
            connection,
        })
    }

    /// Takes leave of the server.
    pub(super) async fn end(self) {
        drop(self.client);
        self.connection.ended().await;
    }
}

/// The task that reads and writes; it ends with this value.
struct Connection(JoinHandle<()>);

impl Connection {
    fn drive(connection: impl Future<Output = Connected> + Send + 'static) -> Self {
        Self(tokio::spawn(async move {
            // Whoever waits for an answer is told of it.
            let _ended = connection.await;
        }))
    }

    async fn ended(mut self) {
        let _left = tokio::time::timeout(LEAVE, &mut self.0).await;
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A commit is on disk before it is answered; nothing waits for ever, on either side; and a statement
/// sees what others committed while it waited for them.
async fn set_up(client: &Client, patience: Duration) -> Result<(), tokio_postgres::Error> {
    let statement = of_a_try(patience).as_millis();
    let idle = of_the_server(patience).as_millis();
    let settings = format!(
        "SET default_transaction_isolation = 'read committed';
         SET statement_timeout = {statement};
         SET idle_in_transaction_session_timeout = {idle};
         SELECT set_config('synchronous_commit', 'on', false)
         WHERE current_setting('synchronous_commit') NOT IN ('on', 'remote_apply')"
    );
    client.batch_execute(&settings).await
}

async fn check_format(client: &Client, place: &Place) -> Result<(), Failure> {
    let found = schema::found(client).await?;
    let missing = || LedgerError::Refused {
        place: place.clone(),
        why: "the tables of shared ledgers are not there".to_owned(),
    };
    let checked = found
        .ok_or_else(missing)
        .and_then(|found| schema::check(found, place));
    checked.map_err(Failure::Unusable)
}

async fn warn_if_unsafe(client: &Client, place: &Place) -> Result<(), tokio_postgres::Error> {
    let sql =
        "SELECT current_setting('fsync') = 'off' OR current_setting('full_page_writes') = 'off'";
    if client.query_one(sql, &[]).await?.try_get(0)? {
        tracing::warn!(%place, "the server runs with fsync or full_page_writes off: what was acknowledged may be lost when its machine fails");
    }
    Ok(())
}
