//! A burst of simultaneous claims on a warm pool of real processes: until all are bound, and until
//! each worker has answered a first call.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use foreshadow_api::v1::Allocation;
use foreshadow_engine::config::Durability;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
};

use super::{RUNS, load::Claims, load::Rates, noop, ours::Served, peers::Peers};
use crate::{
    clock::Watch,
    report::{Row, median},
};

/// Claims in the burst, and instances of the pool.
const BURST: u32 = 300;
/// Connections to a database: more would only wait for each other.
const CONNECTIONS: usize = 64;

/// Claims a second of the whole burst.
pub(crate) async fn rows() -> anyhow::Result<Vec<Row>> {
    let served = Served::with_workers(BURST).await?;
    let noop = noop::Server::start().await?;
    let peers = Peers::start(Durability::Fsync, BURST).await;
    let mut rates = Rates::default();
    let (mut bound_ms, mut noop_ms, mut answered_ms) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let (took, mut clients, leases) = claims(served.clients(BURST as usize).await?).await?;
        rates.ours.push(per_second(took));
        bound_ms.push(took.as_secs_f64() * 1e3);
        answered_ms.push((took + first_calls(&leases).await?).as_secs_f64() * 1e3);
        clients.truncate(1);
        let client = clients.first_mut().context("there is a client")?;
        client.release(leases).await?;
        served.until_warm(BURST).await?;
        let (took, ..) = claims(noop.clients(BURST as usize).await?).await?;
        rates.note("tonic_noop", per_second(took));
        noop_ms.push(took.as_secs_f64() * 1e3);
        if let Some(postgres) = &peers.postgres {
            rates.note(
                "postgres_skip_locked",
                peer(postgres.clients(CONNECTIONS).await?).await?,
            );
        }
        if let Some(valkey) = &peers.valkey {
            rates.note("valkey_script", peer(valkey.clients(BURST as usize)).await?);
        }
    }
    served.stop().await?;
    let time = |name, ours: &[f64], peer, peers: &[f64]| Row {
        name,
        value: median(ours),
        unit: "ms",
        peer,
        peer_value: median(peers),
    };
    let mut rows = rates.scaled("burst_300", "claims/s", 1.0);
    rows.push(time("burst_300_bound", &bound_ms, "tonic_noop", &noop_ms));
    rows.push(time("burst_300_answered", &answered_ms, "bound", &bound_ms));
    Ok(rows)
}

fn per_second(took: Duration) -> f64 {
    f64::from(BURST) / took.as_secs_f64()
}

async fn peer<C: Claims>(clients: Vec<C>) -> anyhow::Result<f64> {
    let (took, mut clients, leases) = claims(clients).await?;
    let client = clients.first_mut().context("there is a client")?;
    client.release(leases).await?;
    Ok(per_second(took))
}

/// All claims at once, shared out among the clients: the time until the last is bound.
async fn claims<C: Claims>(clients: Vec<C>) -> anyhow::Result<(Duration, Vec<C>, Vec<C::Lease>)> {
    let (count, mut running) = (clients.len(), JoinSet::new());
    let started = Watch::start();
    for (number, mut client) in clients.into_iter().enumerate() {
        let share = (BURST as usize + count - 1 - number) / count;
        running.spawn(async move {
            let mut leases = Vec::with_capacity(share);
            for _ in 0..share {
                leases.extend(client.claim(1).await?);
            }
            anyhow::Ok((client, leases))
        });
    }
    let (mut clients, mut leases) = (Vec::new(), Vec::new());
    while let Some(ended) = running.join_next().await {
        let (client, held) = ended.context("a client stopped")??;
        clients.push(client);
        leases.extend(held);
    }
    let took = started.elapsed();
    ensure!(
        leases.len() == BURST as usize,
        "{} claims were bound",
        leases.len()
    );
    Ok((took, clients, leases))
}

/// Calls every worker at once: the time until the last has answered.
async fn first_calls(leases: &[Allocation]) -> anyhow::Result<Duration> {
    let started = Watch::start();
    let mut running = JoinSet::new();
    for lease in leases {
        let address = lease
            .instance
            .as_ref()
            .map(|instance| instance.address.clone());
        let address = address.context("a granted allocation has an instance")?;
        running.spawn(async move {
            let mut stream = TcpStream::connect(&address).await?;
            stream
                .write_all(b"GET / HTTP/1.1\r\nhost: worker\r\n\r\n")
                .await?;
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await?;
            ensure!(
                answer.starts_with(b"HTTP/1.1 200"),
                "{address} answered otherwise"
            );
            Ok(())
        });
    }
    super::load::all(running).await?;
    Ok(started.elapsed())
}
