//! A server with one pool of idle processes.

use std::{net::SocketAddr, path::Path, time::Duration};

use foreshadow_api::v1::{
    AllocateRequest, Allocation, ReleaseRequest, allocate_request::Target, allocation::State,
    allocations_client::AllocationsClient,
};
use foreshadow_engine::{
    Engine, EngineConfig, EngineHandle, LatencySnapshot,
    allocator::Recycle,
    config::{Durability, OnShutdown, PoolConfig},
};
use foreshadow_providers::{Hold, ProcessSpec, Readiness};
use foreshadow_server::{ServeError, Server, ServerOptions};
use foreshadow_types::{InstanceCount, PoolName};
use tempfile::TempDir;
use tokio::{sync::oneshot, task::JoinHandle, time::sleep};
use tonic::transport::Channel;

use super::load::Claims;

const POOL: &str = "bench";
/// How long the pool may take to fill.
const PATIENCE: Duration = Duration::from_mins(3);

/// A running server of ours.
pub(crate) struct Served {
    pub(crate) address: SocketAddr,
    engine: EngineHandle,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<Result<(), ServeError>>,
    _data: TempDir,
}

impl Served {
    /// Serves a pool of this many idle processes that are used again and again.
    pub(crate) async fn start(durability: Durability, instances: u32) -> anyhow::Result<Self> {
        let command = ["sh", "-c", "echo ready; exec sleep 3600"];
        let mut process = ProcessSpec::new(command.map(str::to_owned).to_vec());
        process.ready = Readiness::Stdout("ready".to_owned());
        Self::with(durability, instances, process).await
    }

    /// Serves a pool of this many workers that answer over HTTP and are frozen while they wait.
    pub(crate) async fn with_workers(instances: u32) -> anyhow::Result<Self> {
        let program = std::env::current_exe()?.to_string_lossy().into_owned();
        let command = [program, "worker".to_owned(), "{port}".to_owned()];
        let mut process = ProcessSpec::new(command.to_vec());
        process.ready = Readiness::Http("/".to_owned());
        process.hold = Hold::Freeze;
        Self::with(Durability::Fsync, instances, process).await
    }

    async fn with(
        durability: Durability,
        instances: u32,
        process: ProcessSpec,
    ) -> anyhow::Result<Self> {
        let data = tempfile::tempdir()?;
        let config = config(data.path(), durability, instances, process)?;
        let engine = Engine::start(config).await?;
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let server = Server::bind(ServerOptions::new(listen)).await?;
        let address = server.local_addr();
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = tokio::spawn(server.run(engine.clone(), async {
            let _ended = stopped.await;
        }));
        let served = Self {
            address,
            engine,
            stop,
            serving,
            _data: data,
        };
        served.until_warm(instances).await?;
        Ok(served)
    }

    pub(crate) async fn until_warm(&self, instances: u32) -> anyhow::Result<()> {
        let filled = async {
            loop {
                let pools = self.engine.pools().await?;
                if pools.iter().all(|pool| pool.status.ready >= instances) {
                    return anyhow::Ok(());
                }
                sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(PATIENCE, filled).await?
    }

    /// Clients on one connection.
    pub(crate) async fn clients(&self, count: usize) -> anyhow::Result<Vec<GrpcClient>> {
        clients(self.address, count).await
    }

    /// The times of the ledger's commits so far.
    pub(crate) async fn commits(&self) -> anyhow::Result<LatencySnapshot> {
        Ok(self.engine.metrics().await?.decisions.commit_time)
    }

    /// Stops the server and its processes.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        drop(self.stop);
        self.serving.await??;
        self.engine.shutdown().await?;
        Ok(())
    }
}

fn config(
    data: &Path,
    durability: Durability,
    instances: u32,
    process: ProcessSpec,
) -> anyhow::Result<EngineConfig> {
    let mut pool = PoolConfig::new(PoolName::new(POOL)?, process, instances);
    pool.spec.min = InstanceCount(instances);
    pool.spec.recycle = Recycle::Reuse;
    let mut config = EngineConfig::new(data);
    config.durability = durability;
    config.on_shutdown = OnShutdown::StopAll;
    config.pools.push(pool);
    Ok(config)
}

/// One connection to a server of allocations.
pub(crate) async fn connect(address: SocketAddr) -> anyhow::Result<Channel> {
    let endpoint = Channel::from_shared(format!("http://{address}"))?;
    Ok(endpoint.tcp_nodelay(true).connect().await?)
}

/// Clients of a server of allocations on one connection.
pub(crate) async fn clients(address: SocketAddr, count: usize) -> anyhow::Result<Vec<GrpcClient>> {
    clients_of(address, count, POOL).await
}

/// Clients of one pool.
pub(crate) async fn clients_of(
    address: SocketAddr,
    count: usize,
    pool: &'static str,
) -> anyhow::Result<Vec<GrpcClient>> {
    let channel = connect(address).await?;
    let client = || GrpcClient {
        calls: AllocationsClient::new(channel.clone()),
        pool,
    };
    Ok(std::iter::repeat_with(client).take(count).collect())
}

/// A request for an instance of the pool.
pub(crate) fn ask() -> AllocateRequest {
    ask_for(POOL)
}

/// A request for an instance of one pool.
pub(crate) fn ask_for(pool: &str) -> AllocateRequest {
    AllocateRequest {
        tenant_id: "bench".to_owned(),
        user_id: "user".to_owned(),
        target: Some(Target::Pool(pool.to_owned())),
        // A warm instance or a refusal: none of the peers has a queue.
        max_wait: Some(foreshadow_api::well_known::Duration::default()),
        ..AllocateRequest::default()
    }
}

/// A caller of `Allocate` and `Release`.
#[derive(Clone)]
pub(crate) struct GrpcClient {
    pub(crate) calls: AllocationsClient<Channel>,
    pool: &'static str,
}

impl Claims for GrpcClient {
    type Lease = Allocation;

    async fn claim(&mut self, count: usize) -> anyhow::Result<Vec<Allocation>> {
        let mut leases = Vec::with_capacity(count);
        for _ in 0..count {
            let granted = self.calls.allocate(ask_for(self.pool)).await?;
            let granted = granted.into_inner();
            let state = granted.state();
            anyhow::ensure!(state == State::Granted && granted.warm, "{state:?}");
            leases.push(granted);
        }
        Ok(leases)
    }

    async fn release(&mut self, leases: Vec<Allocation>) -> anyhow::Result<()> {
        for lease in leases {
            let release = ReleaseRequest {
                allocation_id: lease.allocation_id,
                fencing_token: lease.fencing_token,
            };
            self.calls.release(release).await?;
        }
        Ok(())
    }
}
