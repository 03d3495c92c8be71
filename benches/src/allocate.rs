//! Unary `Allocate` + `Release` over gRPC, beside a server on the same wire that does nothing.

use std::{net::SocketAddr, time::Duration};

use anyhow::Context as _;
use foreshadow_api::v1::{
    AllocateRequest, ReleaseRequest, allocate_request::Target, allocation::State,
    allocations_client::AllocationsClient, allocations_server::AllocationsServer,
};
use foreshadow_engine::{
    Engine, EngineConfig,
    allocator::Recycle,
    config::{Durability, OnShutdown, PoolConfig},
};
use foreshadow_providers::{ProcessSpec, Readiness};
use foreshadow_server::{Server, ServerOptions};
use foreshadow_types::{InstanceCount, PoolName};
use tokio::{net::TcpListener, sync::oneshot, task::JoinSet, time::sleep};
use tonic::transport::{Channel, server::TcpIncoming};

use crate::{
    clock::seconds_async,
    noop::Noop,
    report::{Row, median},
};

/// Calls under way at once.
const IN_FLIGHT: u32 = 64;
/// Pairs of calls in one run of one client.
const PAIRS: u32 = 150;
const RUNS: usize = 3;
const POOL: &str = "bench";
/// How long the pool may take to fill.
const PATIENCE: u32 = 300;

/// Calls a second in each mode of durability.
pub(crate) fn rows() -> anyhow::Result<Vec<Row>> {
    tokio::runtime::Runtime::new()?.block_on(async {
        let memory = row("unary_memory", Durability::Memory).await?;
        let fsync = row("unary_fsync", Durability::Fsync).await?;
        Ok(vec![memory, fsync])
    })
}

async fn row(name: &'static str, durability: Durability) -> anyhow::Result<Row> {
    let folder = tempfile::tempdir()?;
    let engine = Engine::start(config(folder.path(), durability)?).await?;
    let server = Server::bind(ServerOptions::new(SocketAddr::from(([127, 0, 0, 1], 0)))).await?;
    let address = server.local_addr();
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(server.run(engine.clone(), async {
        let _ended = stopped.await;
    }));
    let ours = connect(address).await?;
    until_warm(&ours).await?;
    let theirs = connect(noop_server().await?).await?;
    let (mut our_rates, mut their_rates) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        our_rates.push(rate(&ours).await?);
        their_rates.push(rate(&theirs).await?);
    }
    drop(stop);
    serving.await??;
    engine.shutdown().await?;
    Ok(Row {
        name,
        value: median(our_rates),
        unit: "calls/s",
        peer: "tonic_noop",
        peer_value: median(their_rates),
    })
}

/// A pool of idle processes that are used again and again.
fn config(data: &std::path::Path, durability: Durability) -> anyhow::Result<EngineConfig> {
    let command = ["sh", "-c", "echo ready; exec sleep 3600"]
        .map(str::to_owned)
        .to_vec();
    let mut process = ProcessSpec::new(command);
    process.ready = Readiness::Stdout("ready".to_owned());
    let mut pool = PoolConfig::new(PoolName::new(POOL)?, process, IN_FLIGHT * 2);
    pool.spec.min = InstanceCount(IN_FLIGHT * 2);
    pool.spec.recycle = Recycle::Reuse;
    let mut config = EngineConfig::new(data);
    config.durability = durability;
    config.on_shutdown = OnShutdown::StopAll;
    config.pools.push(pool);
    Ok(config)
}

async fn noop_server() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    tokio::spawn(
        tonic::transport::Server::builder()
            .add_service(AllocationsServer::new(Noop))
            .serve_with_incoming(incoming),
    );
    Ok(address)
}

async fn connect(address: SocketAddr) -> anyhow::Result<Channel> {
    Ok(Channel::from_shared(format!("http://{address}"))?
        .connect()
        .await?)
}

fn ask() -> AllocateRequest {
    AllocateRequest {
        tenant_id: "bench".to_owned(),
        user_id: "user".to_owned(),
        target: Some(Target::Pool(POOL.to_owned())),
        ..AllocateRequest::default()
    }
}

async fn until_warm(channel: &Channel) -> anyhow::Result<()> {
    for _ in 0..PATIENCE {
        if pair(&mut AllocationsClient::new(channel.clone()))
            .await
            .is_ok()
        {
            sleep(Duration::from_secs(2)).await;
            return Ok(());
        }
        sleep(Duration::from_millis(100)).await;
    }
    anyhow::bail!("no instance of the pool became warm")
}

/// One `Allocate` and its `Release`.
async fn pair(client: &mut AllocationsClient<Channel>) -> anyhow::Result<()> {
    let granted = client.allocate(ask()).await?.into_inner();
    anyhow::ensure!(
        granted.state() == State::Granted && granted.warm,
        "{:?}",
        granted.state()
    );
    let release = ReleaseRequest {
        allocation_id: granted.allocation_id,
        fencing_token: granted.fencing_token,
    };
    client.release(release).await?;
    Ok(())
}

/// Calls a second with [`IN_FLIGHT`] clients on one connection.
async fn rate(channel: &Channel) -> anyhow::Result<f64> {
    let (took, outcome) = seconds_async(async {
        let mut clients = JoinSet::new();
        for _ in 0..IN_FLIGHT {
            let mut client = AllocationsClient::new(channel.clone());
            clients.spawn(async move {
                for _ in 0..PAIRS {
                    pair(&mut client).await?;
                }
                anyhow::Ok(())
            });
        }
        while let Some(ended) = clients.join_next().await {
            ended.context("a client stopped")??;
        }
        anyhow::Ok(())
    })
    .await;
    outcome?;
    Ok(f64::from(IN_FLIGHT * PAIRS * 2) / took)
}
