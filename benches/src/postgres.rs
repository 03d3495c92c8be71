//! A private `PostgreSQL`, with a folder and a port of its own.

use std::{
    fs,
    os::unix::{fs::chown, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use rustix::process::{Pid, Signal, geteuid, kill_process};
use tempfile::TempDir;
use tokio::time::sleep;
use tokio_postgres::{Client, Config, NoTls};

use crate::process::free_port;

/// How often a server that is starting is tried, and how long to wait between.
const ATTEMPTS: u32 = 200;
const PAUSE: Duration = Duration::from_millis(50);
const USER: &str = "bench";

/// A server that ends with this value.
pub(crate) struct Private {
    server: Child,
    port: u16,
    _folder: TempDir,
}

impl Private {
    /// Starts a server with this setting, `NAME=VALUE`, and waits until it answers.
    pub(crate) async fn start(setting: &str) -> anyhow::Result<Self> {
        let programs = programs()?;
        let folder = tempfile::tempdir()?;
        let owner = Owner::of_server()?;
        owner.give(folder.path())?;
        let data = folder.path().join("data");
        let made = owner
            .command(&programs.join("initdb"))
            .args(["-A", "trust", "-U", USER, "--no-sync", "-D"])
            .arg(&data)
            .output()?;
        ensure!(
            made.status.success(),
            "initdb: {}",
            String::from_utf8_lossy(&made.stderr)
        );
        let port = free_port()?;
        let log = fs::File::create(folder.path().join("log"))?;
        let settings = [
            setting,
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "max_connections=200",
            "shared_buffers=256MB",
        ];
        let server = owner
            .command(&programs.join("postgres"))
            .arg("-D")
            .arg(&data)
            .args(["-p", &port.to_string()])
            .args(settings.iter().flat_map(|setting| ["-c", setting]))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()?;
        let started = Self {
            server,
            port,
            _folder: folder,
        };
        started.answers().await?;
        Ok(started)
    }

    async fn answers(&self) -> anyhow::Result<()> {
        for _ in 0..ATTEMPTS {
            if self.connect().await.is_ok() {
                return Ok(());
            }
            sleep(PAUSE).await;
        }
        self.connect().await.map(drop)
    }

    /// A connection to the database that is always there.
    pub(crate) async fn connect(&self) -> anyhow::Result<Client> {
        self.connect_to("postgres").await
    }

    /// A connection to one of its databases.
    pub(crate) async fn connect_to(&self, database: &str) -> anyhow::Result<Client> {
        let mut config = Config::new();
        config
            .host("127.0.0.1")
            .port(self.port)
            .user(USER)
            .dbname(database);
        let (client, connection) = config.connect(NoTls).await?;
        // It ends with its client.
        tokio::spawn(connection);
        Ok(client)
    }

    /// The URL of one of its databases.
    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgresql://{USER}@127.0.0.1:{}/{database}", self.port)
    }

    /// The id of its first process, whose children are all others.
    pub(crate) fn id(&self) -> u32 {
        self.server.id()
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        if let Some(pid) = Pid::from_raw(self.server.id() as i32) {
            // It may have ended by itself.
            let _ = kill_process(pid, Signal::INT);
        }
        let _ = self.server.wait();
    }
}

/// Who runs the server, which refuses to run as root.
struct Owner(Option<(u32, u32)>);

impl Owner {
    fn of_server() -> anyhow::Result<Self> {
        if !geteuid().is_root() {
            return Ok(Self(None));
        }
        let users = fs::read_to_string("/etc/passwd")?;
        let ids = users.lines().find_map(|line| {
            let mut fields = line.split(':');
            (fields.next()? == "postgres").then_some(())?;
            Some((fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?))
        });
        Ok(Self(Some(ids.context("there is no user `postgres`")?)))
    }

    fn give(&self, folder: &Path) -> std::io::Result<()> {
        let Some((user, group)) = self.0 else {
            return Ok(());
        };
        chown(folder, Some(user), Some(group))
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        if let Some((user, group)) = self.0 {
            command.uid(user).gid(group);
        }
        command
    }
}

/// The folder of the server's programs: the newest of Debian's, else the path.
fn programs() -> anyhow::Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .collect();
    folders.sort();
    folders.reverse();
    folders.extend(std::env::split_paths(&path));
    folders
        .into_iter()
        .find(|folder| folder.join("initdb").exists() && folder.join("postgres").exists())
        .context("no PostgreSQL is installed; Debian has it in the package `postgresql`")
}
