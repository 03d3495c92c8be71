//! What the tests of the client share.

use foreshadow_client::{Allocation, Client, Filter, Lease};
use foreshadow_tests::{Server, until_async};
use futures::TryStreamExt as _;
use tempfile::TempDir;

/// A server with a data folder of its own.
pub(crate) struct Site {
    pub(crate) server: Server,
    folder: TempDir,
}

impl Site {
    pub(crate) fn start(config: &str) -> Self {
        let folder = TempDir::new().expect("a folder can be made");
        Self::of(config, folder)
    }

    /// Its processes end with it.
    fn of(config: &str, folder: TempDir) -> Self {
        let config = format!("on_shutdown = \"stop-all\"\n{config}");
        let server = Server::start(&config, &folder.path().join("data"));
        Self { server, folder }
    }

    pub(crate) async fn client(&self) -> Client {
        let client = Client::connect(self.server.address()).await;
        client.expect("the server listens")
    }

    /// Kills the server at once; what it was told stays.
    pub(crate) fn kill(self) -> Ruin {
        self.server.kill();
        Ruin(self.folder)
    }
}

/// What a killed server leaves behind.
pub(crate) struct Ruin(TempDir);

impl Ruin {
    pub(crate) fn start(self, config: &str) -> Site {
        Site::of(config, self.0)
    }
}

/// All that a filter finds.
pub(crate) async fn listed(client: &Client, filter: Filter) -> Vec<Allocation> {
    let found = client.allocations(filter).try_collect().await;
    found.expect("the server lists")
}

/// The allocation as the server lists it.
pub(crate) async fn now(client: &Client, id: &str) -> Allocation {
    let all = listed(client, Filter::all()).await;
    let found = all.into_iter().find(|one| one.id == id);
    found.unwrap_or_else(|| panic!("{id} is listed"))
}

/// The allocation, once it has ended.
pub(crate) async fn ended(client: &Client, id: &str) -> Allocation {
    until_async("the end", async || {
        Some(now(client, id).await).filter(|one| one.state.is_over())
    })
    .await
}

/// A lease that finds its instance warm.
pub(crate) async fn warm(client: &Client, pool: &str) -> Lease {
    until_async("a warm instance", async || {
        let lease = client.lease(pool).await.expect("the pool has room");
        if lease.is_warm() {
            return Some(lease);
        }
        lease.release().await.expect("it is held");
        None
    })
    .await
}
