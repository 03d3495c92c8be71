//! A connection to the database, made when it is needed.

use std::{fmt, time::Duration};

use foreshadow_ledger::{connect_shared, prepare_shared};
use tokio::{task::AbortHandle, time::timeout};
use tokio_postgres::Client;

use crate::error::ClusterError;

/// Where the database is, and the connection to it while there is one.
pub(crate) struct Link {
    database: String,
    /// How long an answer is waited for.
    patience: Duration,
    connection: Option<Connection>,
}

/// Without the database's URL, which may have a password.
impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").finish_non_exhaustive()
    }
}

struct Connection {
    client: Client,
    driver: AbortHandle,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Link {
    pub(crate) fn new(database: String, patience: Duration) -> Self {
        Self {
            database,
            patience,
            connection: None,
        }
    }

    /// One of its own to the same database.
    pub(crate) fn another(&self) -> Self {
        Self::new(self.database.clone(), self.patience)
    }

    /// Asks; a new connection is prepared first. After an error the next question begins with a new
    /// connection.
    pub(crate) async fn within<T>(
        &mut self,
        prepare: impl AsyncFnOnce(&Client) -> Result<(), ClusterError>,
        ask: impl AsyncFnOnce(&Client) -> Result<T, ClusterError>,
    ) -> Result<T, ClusterError> {
        let asked = timeout(self.patience, async {
            let connection = match self.connection.take() {
                Some(open) if !open.client.is_closed() => open,
                Some(_) | None => self.connect(prepare).await?,
            };
            let answer = ask(&connection.client).await?;
            Ok::<_, ClusterError>((connection, answer))
        });
        let (connection, answer) = asked.await.map_err(|_| ClusterError::Silent)??;
        self.connection = Some(connection);
        Ok(answer)
    }

    async fn connect(
        &self,
        prepare: impl AsyncFnOnce(&Client) -> Result<(), ClusterError>,
    ) -> Result<Connection, ClusterError> {
        let (client, driver) = connect_shared(&self.database, self.patience).await?;
        let driver = tokio::spawn(driver).abort_handle();
        let connection = Connection { client, driver };
        prepare_shared(&connection.client).await?;
        prepare(&connection.client).await?;
        Ok(connection)
    }
}
