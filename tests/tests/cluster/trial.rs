//! Three replicas and their database.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use foreshadow_tests::Marked;
use tokio::time::sleep;

use crate::{
    load::Addresses,
    postgres::Postgres,
    proxy::Proxy,
    replicas::{Replica, Setting},
};

pub(crate) struct Trial {
    // In the order in which they end.
    pub(crate) replicas: Vec<Replica>,
    /// Between them and their database.
    pub(crate) proxy: Proxy,
    pub(crate) postgres: Postgres,
    pub(crate) database: String,
    pub(crate) addresses: Addresses,
}

impl Trial {
    /// None if there is no `PostgreSQL` here.
    pub(crate) fn start(folder: &Path, instances: &Marked) -> Option<Self> {
        Self::start_with(folder, &Setting::processes(instances))
    }

    /// The same, with this to serve.
    pub(crate) fn start_with(folder: &Path, setting: &Setting) -> Option<Self> {
        let postgres = Postgres::start()?;
        let database = postgres.database();
        let proxy = Proxy::before(postgres.port());
        let through = proxy.through(&database, postgres.port());
        let mut replicas: Vec<_> = ["a", "b", "c"]
            .into_iter()
            .zip(setting.clocks)
            .map(|(name, clock)| Replica::new(name, &through, folder, (setting, clock)))
            .collect();
        for replica in &mut replicas {
            replica.start();
        }
        let trial = Self {
            postgres,
            database,
            replicas,
            proxy,
            addresses: Arc::default(),
        };
        trial.list_addresses();
        Some(trial)
    }

    /// Clients go to the replicas that are there.
    pub(crate) fn list_addresses(&self) {
        let there = self.replicas.iter().filter_map(Replica::server);
        let there = there.map(|server| server.address().to_owned());
        *self.addresses.lock().expect("no test panicked") = there.collect();
    }

    pub(crate) fn address(&self, number: usize) -> String {
        let server = self.replicas[number].server();
        server.expect("the replica is there").address().to_owned()
    }

    /// How many shards each replica has.
    pub(crate) fn shares(&self) -> Vec<usize> {
        let owners = self.postgres.psql(
            &self.database,
            "SELECT owner FROM foreshadow.shards WHERE expires_at > clock_timestamp()",
        );
        let of = |name: &str| owners.lines().filter(|owner| *owner == name).count();
        self.replicas
            .iter()
            .map(|replica| of(replica.name))
            .collect()
    }

    /// Waits until each replica has its share.
    pub(crate) async fn spread(&self) -> Duration {
        let since = Instant::now();
        while self.shares() != [2, 2, 2] {
            assert!(
                since.elapsed() < Duration::from_mins(1),
                "{:?}",
                self.shares()
            );
            sleep(Duration::from_millis(50)).await;
        }
        since.elapsed()
    }
}
