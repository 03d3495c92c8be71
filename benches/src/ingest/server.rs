//! The server as `foreshadow serve` starts it: every preset, the journal and the history on disk.

use std::net::SocketAddr;

use foreshadow_engine::{Engine, EngineConfig, EngineHandle};
use foreshadow_server::{Server, ServerOptions};
use foreshadow_shadow::Observation;
use foreshadow_telemetry::{PRESETS, preset};
use foreshadow_types::{EntityId, Timestamp};

use super::past;
use crate::clock::now_ms;

/// Observations in one report.
const REPORTED: u64 = 5_000;
/// What is told of each entity.
const METRICS: [&str; 2] = ["cpu_usage_cores", "memory_usage_bytes"];

/// Serves until its parent has gone, after as many entities as are asked for have been heard of, and
/// with as many days of history.
pub(crate) fn serve(words: impl Iterator<Item = String>) -> anyhow::Result<()> {
    let mut counts = words.map(|word| word.parse::<u64>());
    let entities = counts.next().unwrap_or(Ok(0))?;
    let days = counts.next().unwrap_or(Ok(0))?;
    tokio::runtime::Runtime::new()?.block_on(async {
        let data = tempfile::tempdir()?;
        past::write(data.path(), days)?;
        let engine = Engine::start(EngineConfig::new(data.path())).await?;
        let mut options = ServerOptions::new(SocketAddr::from(([127, 0, 0, 1], 0)));
        for name in PRESETS {
            options.mappings.extend(preset(name)?);
        }
        let server = Server::bind(options).await?;
        serve_filled(engine, server, entities).await
    })
}

/// Serves until its parent has gone, after so many users have been heard of.
pub(crate) async fn serve_filled(
    engine: EngineHandle,
    server: Server,
    entities: u64,
) -> anyhow::Result<()> {
    fill(&engine, entities).await?;
    println!("{}", server.local_addr());
    let stopped = async {
        let read = || std::io::stdin().read_line(&mut String::new());
        // Nothing is ever written to it: it ends with the parent.
        let _ended = tokio::task::spawn_blocking(read).await;
    };
    server.run(engine.clone(), stopped).await?;
    engine.shutdown().await?;
    Ok(())
}

/// Reports two samples of each of so many users.
async fn fill(engine: &EngineHandle, entities: u64) -> anyhow::Result<()> {
    let at = Timestamp::from_millis(now_ms());
    for first in (0..entities).step_by(REPORTED as usize) {
        let mut observations = Vec::new();
        for number in first..(first + REPORTED).min(entities) {
            let entity = EntityId::new(&format!("user-{number}"))?;
            observations.extend(METRICS.map(|metric| Observation {
                entity: entity.clone(),
                metric: metric.into(),
                at,
                value: number as f64,
            }));
        }
        let sent = observations.len() as u64;
        let outcome = engine.report(observations).await?;
        anyhow::ensure!(outcome.accepted == sent, "{outcome:?}");
    }
    Ok(())
}
