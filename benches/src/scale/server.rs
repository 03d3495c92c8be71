//! The server of one size, in a process of its own.

use std::{net::SocketAddr, time::Duration};

use anyhow::Context as _;
use foreshadow_engine::{
    Engine, EngineConfig,
    allocator::Recycle,
    config::{OnShutdown, PoolConfig, ProviderConfig},
};
use foreshadow_providers::ExternalSpec;
use foreshadow_server::{Server, ServerOptions};
use foreshadow_types::{InstanceCount, PoolName};

use super::{LEASES_OF_ONE, UNARY_POOL, WARM, pool};
use crate::ingest::serve_filled;

const TICK: Duration = Duration::from_mins(1);
/// How far ahead each tick looks.
const HORIZON: Duration = Duration::from_mins(10);

/// Serves until its parent has gone: `POOLS ENTITIES PROVIDER`.
pub(crate) fn serve(mut words: impl Iterator<Item = String>) -> anyhow::Result<()> {
    let mut word = || words.next().context("a word is missing");
    let (pools, entities) = (word()?.parse()?, word()?.parse()?);
    let provider = word()?;
    tokio::runtime::Runtime::new()?.block_on(async {
        let data = tempfile::tempdir()?;
        let mut config = EngineConfig::new(data.path());
        config.pools = all_pools(pools, &provider)?;
        config.on_shutdown = OnShutdown::Keep;
        config.shadow.tick = TICK;
        config.shadow.horizon = HORIZON;
        config.limits.entities = 2_000_000;
        config.limits.series = 4_000_000;
        let engine = Engine::start(config).await?;
        let server =
            Server::bind(ServerOptions::new(SocketAddr::from(([127, 0, 0, 1], 0)))).await?;
        serve_filled(engine, server, entities).await
    })
}

/// Pools whose instances take many leases each, and one whose instances take one.
fn all_pools(count: u32, provider: &str) -> anyhow::Result<Vec<PoolConfig>> {
    let external = || ProviderConfig::External(ExternalSpec::new(format!("http://{provider}")));
    let mut pools = Vec::new();
    for number in 0..count {
        let mut one = PoolConfig::with(PoolName::new(&pool(number))?, external(), 2);
        one.spec.min = InstanceCount(1);
        one.spec.shares = LEASES_OF_ONE;
        pools.push(one);
    }
    let mut unary = PoolConfig::with(PoolName::new(UNARY_POOL)?, external(), WARM);
    unary.spec.min = InstanceCount(WARM);
    unary.spec.recycle = Recycle::Reuse;
    pools.push(unary);
    Ok(pools)
}
