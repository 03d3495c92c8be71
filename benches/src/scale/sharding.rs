//! Two replicas in one process: calls whose shard is where they arrive, and calls that go on to the
//! other, beside a server alone.

use std::{collections::BTreeMap, net::SocketAddr, num::NonZeroU16, sync::Arc};

use foreshadow_engine::{
    Engine, EngineConfig, EngineHandle,
    allocator::Recycle,
    config::{OnShutdown, PoolConfig},
};
use foreshadow_providers::{ProcessSpec, Readiness};
use foreshadow_server::{Cluster, Place, Server, ServerOptions};
use foreshadow_types::{InstanceCount, PoolName, ShardId, Shards};
use tempfile::TempDir;
use tokio::{
    sync::{oneshot, watch},
    time::sleep,
};

use super::WARM;
use crate::{
    allocate::{Served, clients_of, rate},
    report::{Row, median},
};
use foreshadow_engine::config::Durability;

const RUNS: usize = 3;
const IN_FLIGHT: usize = 64;
const POOLS: [&str; 2] = ["here", "there"];

/// Calls a second through one replica, to its own shard and to the other's.
pub(super) async fn rows() -> anyhow::Result<Vec<Row>> {
    let alone = Served::start(Durability::Memory, WARM).await?;
    let pair = Pair::start().await?;
    let (mut single, mut here, mut there) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..RUNS {
        single.push(rate(alone.clients(IN_FLIGHT).await?, 1).await?);
        here.push(rate(clients_of(pair.address, IN_FLIGHT, POOLS[0]).await?, 1).await?);
        there.push(rate(clients_of(pair.address, IN_FLIGHT, POOLS[1]).await?, 1).await?);
    }
    alone.stop().await?;
    pair.stop().await?;
    let row = |name, runs: &[f64]| Row {
        name,
        value: median(runs),
        unit: "calls/s",
        peer: "one_server",
        peer_value: median(&single),
    };
    Ok(vec![
        row("replica_here", &here),
        row("replica_there", &there),
    ])
}

/// Two replicas, each with one shard.
struct Pair {
    address: SocketAddr,
    engines: Vec<EngineHandle>,
    stops: Vec<oneshot::Sender<()>>,
    _folders: Vec<TempDir>,
}

impl Pair {
    async fn start() -> anyhow::Result<Self> {
        let (mut engines, mut folders, mut servers) = (Vec::new(), Vec::new(), Vec::new());
        for (number, name) in POOLS.into_iter().enumerate() {
            let folder = tempfile::tempdir()?;
            engines.push(Engine::start(config(&folder, number as u16, name)?).await?);
            folders.push(folder);
            let listen = SocketAddr::from(([127, 0, 0, 1], 0));
            servers.push(Server::bind(ServerOptions::new(listen)).await?);
        }
        let addresses: Vec<_> = servers.iter().map(Server::local_addr).collect();
        let mut stops = Vec::new();
        for (number, server) in servers.into_iter().enumerate() {
            let cluster = cluster(number, &engines, &addresses)?;
            let (stop, stopped) = oneshot::channel::<()>();
            stops.push(stop);
            tokio::spawn(server.run_replica(cluster, async {
                let _ended = stopped.await;
            }));
        }
        for engine in &engines {
            while engine.pools().await?[0].status.ready < WARM {
                sleep(std::time::Duration::from_millis(50)).await;
            }
        }
        Ok(Self {
            address: addresses[0],
            engines,
            stops,
            _folders: folders,
        })
    }

    async fn stop(self) -> anyhow::Result<()> {
        drop(self.stops);
        for engine in self.engines {
            engine.shutdown().await?;
        }
        Ok(())
    }
}

fn config(folder: &TempDir, shard: u16, name: &str) -> anyhow::Result<EngineConfig> {
    let command = ["sh", "-c", "echo ready; exec sleep 3600"];
    let mut process = ProcessSpec::new(command.map(str::to_owned).to_vec());
    process.ready = Readiness::Stdout("ready".to_owned());
    let mut pool = PoolConfig::new(PoolName::new(name)?, process, WARM);
    pool.spec.min = InstanceCount(WARM);
    pool.spec.recycle = Recycle::Reuse;
    let mut config = EngineConfig::new(folder.path());
    config.durability = Durability::Memory;
    config.on_shutdown = OnShutdown::StopAll;
    config.shard = ShardId(shard);
    config.pools.push(pool);
    Ok(config)
}

/// What a replica knows: its own shard is here, the other's there.
fn cluster(
    own: usize,
    engines: &[EngineHandle],
    addresses: &[SocketAddr],
) -> anyhow::Result<Cluster> {
    let place = |shard: usize| {
        if shard == own {
            let engine = engines[shard].clone();
            return Place::Here { engine, epoch: 1 };
        }
        Place::There(format!("http://{}", addresses[shard]))
    };
    let pools = POOLS
        .into_iter()
        .enumerate()
        .map(|(shard, name)| anyhow::Ok((PoolName::new(name)?, ShardId(shard as u16))));
    let pools: anyhow::Result<BTreeMap<_, _>> = pools.collect();
    let (_, places) = watch::channel(Arc::new((0..POOLS.len()).map(place).collect()));
    Ok(Cluster {
        shards: Shards(NonZeroU16::MIN.saturating_add(1)),
        pools: pools?,
        triggers: Vec::new(),
        ranks_by_usage: false,
        places,
        tls: None,
    })
}
