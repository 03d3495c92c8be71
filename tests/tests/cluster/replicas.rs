//! Three real servers on one machine, with a `PostgreSQL` of their own.

use std::{
    fmt::Write as _,
    num::NonZeroU16,
    path::{Path, PathBuf},
};

use foreshadow_tests::{Marked, Server};
use foreshadow_types::Shards;

/// Shards, more than replicas and fewer than pools.
pub(crate) const SHARDS: usize = 6;
pub(crate) const POOLS: usize = 8;
pub(crate) const MAX: usize = 6;

pub(crate) fn pool(number: usize) -> String {
    format!("pool-{number}")
}

/// The shard of a pool.
pub(crate) fn shard_of(pool: &str) -> usize {
    let shards = NonZeroU16::new(SHARDS as u16).expect("there are shards");
    usize::from(Shards(shards).of_name(pool).0)
}

/// What the replicas of a trial serve.
#[derive(Debug, Default)]
pub(crate) struct Setting {
    /// The tables of the pools.
    pub(crate) pools: String,
    /// What the configuration says of the cluster beside what all say.
    pub(crate) peers: String,
    /// Further tables.
    pub(crate) more: String,
    /// By how many seconds each replica's clock goes ahead.
    pub(crate) clocks: [i64; 3],
}

impl Setting {
    /// Pools of these processes.
    pub(crate) fn processes(instances: &Marked) -> Self {
        let mut pools = String::new();
        for number in 0..POOLS {
            pools += &instances.pool(&pool(number), 2, MAX as u32);
            let _ = writeln!(pools, "labels = {{ number = \"{number}\" }}");
        }
        Self {
            pools,
            ..Self::default()
        }
    }

    fn config(&self, name: &str, database: &str, folder: &Path) -> String {
        let instances = folder.join("instances");
        format!(
            r#"
tick = "1s"

[cluster]
database = "{database}"
name = "{name}"
shards = {SHARDS}
instances = "{}"
{}
{}
{}
"#,
            instances.display(),
            self.peers,
            self.pools,
            self.more
        )
    }
}

/// The library that sets a process' clock apart, if it is here.
fn apart() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").ok()?.flatten();
    let libraries = folders.map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"));
    libraries.into_iter().find(|library| library.exists())
}

/// What sets a process' clock ahead: that of the day, not the one that measures.
fn clock(seconds: i64) -> Vec<(&'static str, String)> {
    if seconds == 0 {
        return Vec::new();
    }
    let Some(library) = apart() else {
        foreshadow_tests::skip("clocks are set apart by libfaketime, which is not here");
        return Vec::new();
    };
    vec![
        ("LD_PRELOAD", library.display().to_string()),
        ("FAKETIME", format!("{seconds:+}s")),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
    ]
}

/// A replica that may be there or not.
pub(crate) struct Replica {
    pub(crate) name: &'static str,
    config: String,
    data: PathBuf,
    /// By how many seconds its clock goes ahead.
    clock: i64,
    server: Option<Server>,
}

impl Replica {
    pub(crate) fn new(
        name: &'static str,
        database: &str,
        folder: &Path,
        (setting, clock): (&Setting, i64),
    ) -> Self {
        Self {
            clock,
            name,
            config: setting.config(name, database, folder),
            data: folder.join(name),
            server: None,
        }
    }

    pub(crate) fn start(&mut self) {
        let errors = self.data.with_extension("log");
        let variables = clock(self.clock);
        let variables: Vec<_> = variables
            .iter()
            .map(|(name, value)| (*name, &**value))
            .collect();
        let server = Server::start_with_stderr(&self.config, &self.data, &errors, &variables);
        self.server = Some(server);
    }

    pub(crate) fn server(&self) -> Option<&Server> {
        self.server.as_ref()
    }

    pub(crate) fn kill(&mut self) {
        if let Some(server) = self.server.take() {
            server.kill();
        }
    }

    /// Asks it to end and waits until it has.
    pub(crate) fn stop(&mut self) {
        if let Some(server) = self.server.take() {
            server.stop();
        }
    }

    /// Sends a signal, as `kill -NAME` does.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self
            .server()
            .expect("the replica is there")
            .pid()
            .to_string();
        let sent = std::process::Command::new("kill")
            .args([name, &pid])
            .status();
        assert!(
            sent.is_ok_and(|status| status.success()),
            "kill {name} {pid}"
        );
    }
}
