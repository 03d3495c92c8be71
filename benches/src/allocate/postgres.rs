//! Leases in a table of `PostgreSQL`, claimed with `FOR UPDATE SKIP LOCKED`: one statement to claim,
//! one to give back, a connection for each client.

use std::{
    fs,
    os::unix::{fs::chown, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use foreshadow_engine::config::Durability;
use rustix::process::{Pid, Signal, geteuid, kill_process};
use tempfile::TempDir;
use tokio::time::sleep;
use tokio_postgres::{Client, Config, NoTls, Statement};

use super::{load::Claims, peers::free_port};

/// How often a server that is starting is tried, and how long to wait between.
const ATTEMPTS: u32 = 200;
const PAUSE: Duration = Duration::from_millis(50);
/// How often a claim is repeated that gave less than was asked for: rows that others changed while the
/// statement ran are passed over.
const CLAIM_ATTEMPTS: u32 = 100;

const TABLE: &str = "
    CREATE SEQUENCE tokens;
    CREATE TABLE instance (
        id bigint PRIMARY KEY, address text NOT NULL, leased boolean NOT NULL DEFAULT false,
        since timestamptz NOT NULL DEFAULT now(), tenant text, holder text,
        token bigint NOT NULL DEFAULT 0, expires_at timestamptz
    );
    CREATE INDEX ready ON instance (since) WHERE NOT leased;
    CREATE INDEX leases ON instance (expires_at) WHERE leased;";
const CLAIM: &str = "
    WITH free AS MATERIALIZED (
        SELECT id FROM instance WHERE NOT leased ORDER BY since LIMIT $1 FOR UPDATE SKIP LOCKED
    )
    UPDATE instance SET leased = true, tenant = 'bench', holder = 'user',
        token = nextval('tokens'), expires_at = now() + interval '5 minutes'
    FROM free WHERE instance.id = free.id
    RETURNING instance.id, instance.token, instance.address";
const RELEASE: &str = "
    UPDATE instance SET leased = false, since = now(), tenant = NULL, holder = NULL,
        expires_at = NULL
    FROM unnest($1::bigint[], $2::bigint[]) AS held (id, token)
    WHERE instance.id = held.id AND instance.token = held.token";

/// A private server in a folder of its own; it ends with this value.
pub(crate) struct Postgres {
    server: Child,
    port: u16,
    _folder: TempDir,
}

impl Postgres {
    /// Starts a server whose commits are as durable as ours, with a table of free instances.
    pub(crate) async fn start(durability: Durability, instances: u32) -> anyhow::Result<Self> {
        let programs = programs()?;
        let folder = tempfile::tempdir()?;
        let owner = Owner::of_server()?;
        owner.give(folder.path())?;
        let data = folder.path().join("data");
        let made = owner
            .command(&programs.join("initdb"))
            .args(["-A", "trust", "-U", "bench", "--no-sync", "-D"])
            .arg(&data)
            .output()?;
        ensure!(
            made.status.success(),
            "initdb: {}",
            String::from_utf8_lossy(&made.stderr)
        );
        let port = free_port()?;
        let commit = match durability {
            Durability::Fsync => "synchronous_commit=on",
            Durability::Memory => "synchronous_commit=off",
        };
        let log = fs::File::create(folder.path().join("log"))?;
        let server = owner
            .command(&programs.join("postgres"))
            .arg("-D")
            .arg(&data)
            .args(["-p", &port.to_string(), "-c", commit])
            .args([
                "-c",
                "listen_addresses=127.0.0.1",
                "-c",
                "unix_socket_directories=",
            ])
            .args(["-c", "max_connections=200", "-c", "shared_buffers=256MB"])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()?;
        let started = Self {
            server,
            port,
            _folder: folder,
        };
        started.fill(instances).await?;
        Ok(started)
    }

    async fn fill(&self, instances: u32) -> anyhow::Result<()> {
        let mut attempts = 0;
        let client = loop {
            attempts += 1;
            match self.connect().await {
                Err(_) if attempts < ATTEMPTS => sleep(PAUSE).await,
                connected => break connected?,
            }
        };
        client.batch_execute(TABLE).await?;
        let rows = "INSERT INTO instance (id, address)
             SELECT n, '127.0.0.1:1' FROM generate_series(1, $1::bigint) n";
        client.execute(rows, &[&i64::from(instances)]).await?;
        client.batch_execute("VACUUM ANALYZE instance").await?;
        Ok(())
    }

    async fn connect(&self) -> anyhow::Result<Client> {
        let mut config = Config::new();
        config
            .host("127.0.0.1")
            .port(self.port)
            .user("bench")
            .dbname("postgres");
        let (client, connection) = config.connect(NoTls).await?;
        // It ends with its client.
        tokio::spawn(connection);
        Ok(client)
    }

    /// Clients with a connection each.
    pub(crate) async fn clients(&self, count: usize) -> anyhow::Result<Vec<PostgresClient>> {
        let mut clients = Vec::with_capacity(count);
        for _ in 0..count {
            let client = self.connect().await?;
            let claim = client.prepare(CLAIM).await?;
            let release = client.prepare(RELEASE).await?;
            clients.push(PostgresClient {
                client,
                claim,
                release,
            });
        }
        Ok(clients)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(pid) = Pid::from_raw(self.server.id() as i32) {
            // It may have ended by itself.
            let _ = kill_process(pid, Signal::INT);
        }
        let _ = self.server.wait();
    }
}

/// A caller with a connection and its two statements.
pub(crate) struct PostgresClient {
    client: Client,
    claim: Statement,
    release: Statement,
}

impl Claims for PostgresClient {
    type Lease = (i64, i64);

    async fn claim(&mut self, count: usize) -> anyhow::Result<Vec<(i64, i64)>> {
        let mut leases = Vec::with_capacity(count);
        for _ in 0..CLAIM_ATTEMPTS {
            let missing = (count - leases.len()) as i64;
            let rows = self.client.query(&self.claim, &[&missing]).await?;
            leases.extend(rows.iter().map(|row| (row.get(0), row.get(1))));
            if leases.len() == count {
                return Ok(leases);
            }
        }
        bail!("{} of {count} were free", leases.len());
    }

    async fn release(&mut self, leases: Vec<(i64, i64)>) -> anyhow::Result<()> {
        let (ids, tokens): (Vec<i64>, Vec<i64>) = leases.into_iter().unzip();
        let changed = self.client.execute(&self.release, &[&ids, &tokens]).await?;
        ensure!(changed as usize == ids.len(), "a lease was not given back");
        Ok(())
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
