//! Leases in Valkey, or Redis: a list of free instances and a hash for each lease, changed by one
//! script a call on one connection.

use std::{
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use foreshadow_engine::config::Durability;
use redis::{Client, Script, aio::MultiplexedConnection};
use tempfile::TempDir;
use tokio::time::sleep;

use super::load::Claims;
use crate::process::free_port;

const ATTEMPTS: u32 = 200;
const PAUSE: Duration = Duration::from_millis(50);
/// The end of every lease; nobody waits for it here.
const EXPIRES_AT: u64 = 4_000_000_000;

const CLAIM: &str = r"
    local leases = {}
    for _ = 1, tonumber(ARGV[1]) do
        local id = redis.call('LPOP', KEYS[1])
        if not id then break end
        local token = redis.call('INCR', KEYS[2])
        redis.call('HSET', 'lease:' .. id, 'token', token, 'tenant', ARGV[2], 'holder', ARGV[3])
        redis.call('ZADD', KEYS[3], ARGV[4], id)
        leases[#leases + 1] = {id, tostring(token)}
    end
    return leases";
const RELEASE: &str = r"
    local released = 0
    for i = 1, #ARGV, 2 do
        local lease = 'lease:' .. ARGV[i]
        if redis.call('HGET', lease, 'token') == ARGV[i + 1] then
            redis.call('DEL', lease)
            redis.call('ZREM', KEYS[2], ARGV[i])
            redis.call('RPUSH', KEYS[1], ARGV[i])
            released = released + 1
        end
    end
    return released";

/// A private server in a folder of its own; it ends with this value.
pub(crate) struct Valkey {
    server: Child,
    connection: MultiplexedConnection,
    _folder: TempDir,
}

impl Valkey {
    /// Starts a server whose writes are as durable as ours, with a list of free instances.
    pub(crate) async fn start(durability: Durability, instances: u32) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let port = free_port()?;
        let sync = match durability {
            Durability::Fsync => "always",
            Durability::Memory => "no",
        };
        let spawn = |program| {
            Command::new(program)
                .args([
                    "--port",
                    &port.to_string(),
                    "--bind",
                    "127.0.0.1",
                    "--save",
                    "",
                ])
                .args(["--appendonly", "yes", "--appendfsync", sync, "--dir"])
                .arg(folder.path())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
        };
        let mut server = spawn("valkey-server")
            .or_else(|_| spawn("redis-server"))
            .context(
                "no Valkey or Redis is installed; Debian has `valkey-server` or `redis-server`",
            )?;
        let connected = connect(port).await;
        let mut connection = match connected {
            Ok(connection) => connection,
            Err(error) => {
                let _ = server.kill();
                let _ = server.wait();
                return Err(error);
            }
        };
        let ids: Vec<u32> = (1..=instances).collect();
        let filled = redis::cmd("RPUSH")
            .arg("ready")
            .arg(&ids)
            .exec_async(&mut connection)
            .await;
        let started = Self {
            server,
            connection,
            _folder: folder,
        };
        filled?;
        Ok(started)
    }

    /// Clients that share one connection, on which their calls are pipelined.
    pub(crate) fn clients(&self, count: usize) -> Vec<ValkeyClient> {
        let client = || ValkeyClient {
            connection: self.connection.clone(),
            claim: Script::new(CLAIM),
            release: Script::new(RELEASE),
        };
        std::iter::repeat_with(client).take(count).collect()
    }
}

async fn connect(port: u16) -> anyhow::Result<MultiplexedConnection> {
    let client = Client::open(format!("redis://127.0.0.1:{port}"))?;
    let mut attempts = 0;
    loop {
        attempts += 1;
        match client.get_multiplexed_async_connection().await {
            Err(_) if attempts < ATTEMPTS => sleep(PAUSE).await,
            connected => return Ok(connected?),
        }
    }
}

impl Drop for Valkey {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// A caller of the two scripts.
pub(crate) struct ValkeyClient {
    connection: MultiplexedConnection,
    claim: Script,
    release: Script,
}

impl Claims for ValkeyClient {
    type Lease = (String, String);

    async fn claim(&mut self, count: usize) -> anyhow::Result<Vec<(String, String)>> {
        let leases: Vec<(String, String)> = self
            .claim
            .key("ready")
            .key("tokens")
            .key("leases")
            .arg(count)
            .arg("bench")
            .arg("user")
            .arg(EXPIRES_AT)
            .invoke_async(&mut self.connection)
            .await?;
        ensure!(
            leases.len() == count,
            "{} of {count} were free",
            leases.len()
        );
        Ok(leases)
    }

    async fn release(&mut self, leases: Vec<(String, String)>) -> anyhow::Result<()> {
        let mut call = self.release.key("ready");
        call.key("leases");
        for (id, token) in &leases {
            call.arg(id).arg(token);
        }
        let released: usize = call.invoke_async(&mut self.connection).await?;
        ensure!(released == leases.len(), "a lease was not given back");
        Ok(())
    }
}
