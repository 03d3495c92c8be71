//! `foreshadow serve` in processes of their own: one alone, or replicas that share a database.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    net::SocketAddr,
    num::NonZeroU16,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use foreshadow_types::{PoolName, Shards};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use super::{
    database::{Activity, Database},
    load::{IN_FLIGHT, Reached, Route},
};
use crate::{
    pages::ready,
    process::{OtherProcess, processor_s},
};

/// As many shards, with a pool each, as one, two and three replicas share evenly.
pub(super) const SHARDS: u16 = 6;
/// Connections of the clients, whoever they lead to: as many with each number of replicas.
const CONNECTIONS: usize = 6;
/// How long all may take to have their shards and to be warm.
const PATIENCE: Duration = Duration::from_mins(2);
const PAUSE: Duration = Duration::from_millis(200);

/// What is started.
pub(super) struct Setting {
    replicas: usize,
    database: Option<Database>,
    pools: Vec<String>,
    provider: SocketAddr,
}

impl Setting {
    /// A server with a ledger in files.
    pub(super) fn alone(provider: SocketAddr) -> anyhow::Result<Self> {
        Ok(Self {
            replicas: 1,
            database: None,
            pools: pools()?,
            provider,
        })
    }

    /// Replicas that share this database.
    pub(super) fn sharing(
        provider: SocketAddr,
        replicas: usize,
        database: Database,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            replicas,
            database: Some(database),
            pools: pools()?,
            provider,
        })
    }

    fn config(&self, name: &str) -> String {
        let mut config = "tick = \"1m\"\n".to_owned();
        if let Some(database) = &self.database {
            let _ = write!(
                config,
                "\n[cluster]\ndatabase = \"{}\"\nname = \"{name}\"\nshards = {SHARDS}\n",
                database.url
            );
        }
        for pool in &self.pools {
            let _ = write!(
                config,
                "\n[[pool]]\nname = \"{pool}\"\nprovider = \"grpc\"\nendpoint = \"http://{}\"\n\
                 min = {IN_FLIGHT}\nmax = {IN_FLIGHT}\nrecycle = \"reuse\"\n",
                self.provider
            );
        }
        config
    }
}

/// A pool in each shard, in the order of the shards.
fn pools() -> anyhow::Result<Vec<String>> {
    let shards = Shards(NonZeroU16::new(SHARDS).context("there are shards")?);
    let mut pools = BTreeMap::new();
    for number in 0.. {
        let name = format!("pool-{number}");
        pools
            .entry(shards.of_name(PoolName::new(&name)?.as_str()).0)
            .or_insert(name);
        if pools.len() == usize::from(SHARDS) {
            break;
        }
    }
    Ok(pools.into_values().collect())
}

/// Servers that are there and warm. They end with this value.
pub(super) struct Servers {
    setting: Setting,
    running: Vec<Running>,
    _folder: TempDir,
}

/// A server that ends at once with this value.
struct Running(OtherProcess);

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(process) = Pid::from_raw(self.0.id() as i32) {
            // It may have ended by itself.
            let _sent = kill_process(process, Signal::KILL);
        }
    }
}

impl Servers {
    /// Starts them and waits until each has its share and all pools are warm.
    pub(super) async fn start(setting: Setting) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut running = Vec::new();
        for number in 0..setting.replicas {
            let name = format!("r{number}");
            running.push(start(&setting.config(&name), &folder.path().join(name))?);
        }
        let servers = Self {
            setting,
            running,
            _folder: folder,
        };
        timeout(PATIENCE, servers.until_ready())
            .await
            .context("the servers were not warm, each with its share, in time")??;
        Ok(servers)
    }

    async fn until_ready(&self) -> anyhow::Result<()> {
        let wanted = (self.setting.pools.len() * IN_FLIGHT) as f64;
        loop {
            let mut warm = 0.0;
            for server in &self.running {
                warm += ready(server.0.address).await?;
            }
            if warm >= wanted && self.owners().await.is_ok() {
                return Ok(());
            }
            sleep(PAUSE).await;
        }
    }

    /// Who has each shard; an error unless each replica has its share.
    async fn owners(&self) -> anyhow::Result<Vec<SocketAddr>> {
        let shards = usize::from(SHARDS);
        let Some(database) = &self.setting.database else {
            return Ok(vec![self.running[0].0.address; shards]);
        };
        let owners = database.owners().await?;
        for server in &self.running {
            let share = owners.iter().filter(|owner| **owner == server.0.address);
            ensure!(
                share.count() * self.running.len() == shards,
                "the shards are not evenly shared: {owners:?}"
            );
        }
        Ok(owners)
    }

    /// How clients reach the pools.
    pub(super) async fn reached(&self, route: Route) -> anyhow::Result<Reached> {
        let owners = self.owners().await?;
        let servers: Vec<_> = self.running.iter().map(|server| server.0.address).collect();
        let ends = match route {
            Route::Owner => owners,
            Route::Spread => servers.iter().copied().cycle().take(CONNECTIONS).collect(),
        };
        Reached::connect(route, &self.setting.pools, &ends).await
    }

    /// Whether they share a database.
    pub(super) fn share(&self) -> bool {
        self.setting.database.is_some()
    }

    /// What was done in their database; nothing if there is none.
    pub(super) async fn activity(&self) -> anyhow::Result<Activity> {
        match &self.setting.database {
            Some(database) => database.activity().await,
            None => Ok(Activity::default()),
        }
    }

    /// The processor time of all of them.
    pub(super) fn processor_s(&self) -> anyhow::Result<f64> {
        self.running
            .iter()
            .map(|server| processor_s(server.0.id()))
            .sum()
    }
}

fn start(config: &str, data: &Path) -> anyhow::Result<Running> {
    let (file, log) = (data.with_extension("toml"), data.with_extension("log"));
    fs::write(&file, config)?;
    let mut command = Command::new(program()?);
    command
        .args(["serve", "--listen", "127.0.0.1:0", "--config"])
        .arg(&file)
        .arg("--data")
        .arg(data)
        .stderr(fs::File::create(&log)?);
    let started = OtherProcess::run(&mut command);
    let started = started.with_context(|| fs::read_to_string(&log).unwrap_or_default())?;
    Ok(Running(started))
}

/// The server's program, beside this one.
fn program() -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe()?.with_file_name("foreshadow");
    ensure!(
        program.is_file(),
        "{} is not there; build it: cargo build --release -p foreshadow --features cluster",
        program.display()
    );
    Ok(program)
}
