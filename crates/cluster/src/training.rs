//! Whose turn it is to train: one row, claimed as a shard is, so that of all replicas one trains at a
//! time.

use std::{
    mem::{replace, take},
    sync::Arc,
    time::Duration,
};

use foreshadow_ledger::{LedgerError, prepare_training};
use tokio::{
    runtime::Handle,
    sync::{Mutex, OwnedMutexGuard},
    time::{Instant, sleep, sleep_until, timeout_at},
};
use tokio_postgres::Client;

use crate::{error::ClusterError, link::Link};

/// How often a turn is renewed in the time that it is held for.
const BEATS: u32 = 6;

/// Where a replica asks for its turns. Those that ask within the replica come one after the other, so
/// that it asks once at a time.
#[derive(Debug)]
pub struct TrainingTurns {
    name: String,
    database: String,
    time: Duration,
    gate: Arc<Mutex<()>>,
}

/// The right to train, held for a time and renewed while [`lost`](Self::lost) is waited for. It is given
/// back with this value.
#[derive(Debug)]
pub struct TrainingTurn {
    epoch: i64,
    since_last: Option<Duration>,
    name: String,
    time: Duration,
    /// Until when it is held at the least.
    until: Instant,
    link: Link,
    gate: Option<OwnedMutexGuard<()>>,
}

impl TrainingTurns {
    /// Those of a replica, each held for this time without renewal.
    pub fn new(database: String, name: String, time: Duration) -> Self {
        Self {
            name,
            database,
            time,
            gate: Arc::default(),
        }
    }

    /// Waits until nobody trains, and takes the turn. While the database is away it is asked again.
    ///
    /// # Errors
    /// [`ClusterError`] if the database cannot be used as given.
    pub async fn next(&self) -> Result<TrainingTurn, ClusterError> {
        let gate = self.gate.clone().lock_owned().await;
        let pause = self.time / BEATS;
        let mut link = Link::new(self.database.clone(), pause);
        loop {
            let asked = Instant::now();
            match claim(&mut link, &self.name, self.time).await {
                Ok(Some((epoch, since_last))) => {
                    return Ok(TrainingTurn {
                        epoch,
                        since_last,
                        name: self.name.clone(),
                        time: self.time,
                        until: asked + self.time,
                        link,
                        gate: Some(gate),
                    });
                }
                Ok(None) => {}
                Err(error) if may_pass(&error) => {
                    tracing::warn!(%error, "a training waits for the shared ledger");
                }
                Err(error) => return Err(error),
            }
            sleep(pause).await;
        }
    }
}

impl TrainingTurn {
    /// Rises from turn to turn, whoever has it.
    pub fn epoch(&self) -> u64 {
        self.epoch as u64
    }

    /// How long ago the last training was done, whoever did it.
    pub fn since_last(&self) -> Option<Duration> {
        self.since_last
    }

    /// Renews the turn until it is lost: another has it, or it could not be renewed in its time.
    pub async fn lost(&mut self) {
        loop {
            let next = Instant::now() + self.time / BEATS;
            sleep_until(next.min(self.until)).await;
            let until = self.until;
            match timeout_at(until, self.confirm()).await {
                Ok(Ok(true)) => {}
                Ok(Ok(false)) | Err(_) => return,
                Ok(Err(error)) => tracing::warn!(%error, "a training's turn cannot be renewed"),
            }
            if Instant::now() >= self.until {
                return;
            }
        }
    }

    /// Whether the turn is still this one's; if so, it is held for its whole time again.
    ///
    /// # Errors
    /// [`ClusterError`] if the database cannot be asked.
    pub async fn confirm(&mut self) -> Result<bool, ClusterError> {
        let asked = Instant::now();
        let (name, seconds) = (self.name.clone(), self.time.as_secs_f64());
        let epoch = self.epoch;
        let ask = async |client: &Client| {
            let renewed = client.execute(RENEW, &[&epoch, &name, &seconds]).await?;
            Ok(renewed == 1)
        };
        let held = self.link.within(make_table, ask).await?;
        if held {
            self.until = asked + self.time;
        }
        Ok(held)
    }

    /// Lets others train, and tells them whether this training is done.
    pub async fn give_back(mut self, done: bool) {
        if let Some(gate) = self.gate.take() {
            self.leave(gate, done).await;
        }
    }

    /// What tells the database; others of this replica ask when it has been told.
    fn leave(
        &mut self,
        gate: OwnedMutexGuard<()>,
        done: bool,
    ) -> impl Future<Output = ()> + Send + use<> {
        let (epoch, name) = (self.epoch, take(&mut self.name));
        let another = self.link.another();
        let mut link = replace(&mut self.link, another);
        async move {
            let ask = async |client: &Client| {
                client.execute(RELEASE, &[&epoch, &name, &done]).await?;
                Ok(())
            };
            if let Err(error) = link.within(make_table, ask).await {
                tracing::warn!(%error, "the next training begins when the turn of this one is over");
            }
            drop(gate);
        }
    }
}

/// Whoever is told to stop does not wait, but others need not wait for the end of the time.
impl Drop for TrainingTurn {
    fn drop(&mut self) {
        if let Some(gate) = self.gate.take()
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(self.leave(gate, false));
        }
    }
}

/// Whether it may go well when it is tried again.
fn may_pass(error: &ClusterError) -> bool {
    match error {
        ClusterError::Silent
        | ClusterError::Database(_)
        | ClusterError::Ledger(LedgerError::Unreachable { .. }) => true,
        ClusterError::Ledger(_) | ClusterError::OtherShards { .. } => false,
    }
}

/// The epoch, and how long ago the last training was done, if it is nobody's turn.
async fn claim(
    link: &mut Link,
    name: &str,
    time: Duration,
) -> Result<Option<(i64, Option<Duration>)>, ClusterError> {
    let seconds = time.as_secs_f64();
    let ask = async |client: &Client| {
        let row = client.query_opt(CLAIM, &[&name, &seconds]).await?;
        Ok(row.map(|row| {
            let ago: Option<f64> = row.get(1);
            let ago = ago.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
            (row.get(0), ago)
        }))
    };
    link.within(make_table, ask).await
}

async fn make_table(client: &Client) -> Result<(), ClusterError> {
    Ok(prepare_training(client).await?)
}

/// The first epoch is the time, so that turns of a database that was begun anew come after those of the
/// one before: models bear them.
const CLAIM: &str = "INSERT INTO foreshadow.training AS t (epoch, owner, expires_at)
    VALUES (extract(epoch FROM clock_timestamp())::bigint, $1, clock_timestamp() + make_interval(secs => $2))
    ON CONFLICT (one) DO UPDATE SET epoch = t.epoch + 1, owner = excluded.owner,
        expires_at = clock_timestamp() + make_interval(secs => $2)
    WHERE t.owner IS NULL OR t.expires_at <= clock_timestamp()
    RETURNING t.epoch, extract(epoch FROM clock_timestamp() - t.done_at)::float8";

const RENEW: &str = "UPDATE foreshadow.training
    SET expires_at = clock_timestamp() + make_interval(secs => $3)
    WHERE epoch = $1 AND owner = $2";

const RELEASE: &str = "UPDATE foreshadow.training
    SET owner = NULL, done_at = CASE WHEN $3 THEN clock_timestamp() ELSE done_at END
    WHERE epoch = $1 AND owner = $2";
