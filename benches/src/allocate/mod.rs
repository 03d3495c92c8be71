//! `Allocate` and `Release` over gRPC, one call at a time and in a stream, and a burst of claims on a
//! warm pool: beside a server on the same wire that does nothing, and beside what people build on
//! `PostgreSQL` and on Valkey. All of a run share one process, one runtime and one machine.

mod burst;
mod load;
mod noop;
mod ours;
mod peers;
mod postgres;
mod stream;
mod valkey;
mod worker;

use foreshadow_engine::config::Durability;

use self::{load::Rates, peers::Peers};
use crate::report::{Row, median};

pub(crate) use self::{
    load::{Claims, p99_at, rate},
    ours::{GrpcClient, Served, clients, clients_of},
    peers::free_port,
    worker::serve as serve_worker,
};

/// Calls under way at once, of one connection.
const IN_FLIGHT: usize = 64;
/// Leases that one message of a stream asks for and gives back.
const BATCH: usize = 128;
/// Messages of a stream under way at once.
const WINDOW: usize = 3;
/// Runs of each, one after the other in turn; the median counts.
const RUNS: usize = 3;
/// Instances of the pool: more than are ever held at once.
const WARM: u32 = 512;

/// All rows.
pub(crate) fn rows() -> anyhow::Result<Vec<Row>> {
    tokio::runtime::Runtime::new()?.block_on(async {
        let mut rows = Vec::new();
        for durability in [Durability::Memory, Durability::Fsync] {
            rows.extend(steady(durability).await?);
        }
        rows.extend(burst::rows().await?);
        Ok(rows)
    })
}

/// Calls a second of all at one durability, unary and in a stream.
async fn steady(durability: Durability) -> anyhow::Result<Vec<Row>> {
    let mode = |memory, fsync| match durability {
        Durability::Memory => memory,
        Durability::Fsync => fsync,
    };
    let served = Served::start(durability, WARM).await?;
    let noop = noop::Server::start().await?;
    let mut peers = Peers::start(durability, WARM).await;
    let (mut unary, mut stream) = (Rates::default(), Rates::default());
    let mut halves = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        unary
            .ours
            .push(rate(served.clients(IN_FLIGHT).await?, 1).await?);
        unary.note("tonic_noop", rate(noop.clients(IN_FLIGHT).await?, 1).await?);
        peers.measure(&mut unary, IN_FLIGHT, 1).await;
        stream
            .ours
            .push(stream::rate(served.address, BATCH, WINDOW).await?);
        stream.note(
            "tonic_noop",
            stream::rate(noop.address, 1, BATCH * WINDOW).await?,
        );
        peers.measure(&mut stream, WINDOW, BATCH).await;
        halves
            .0
            .push(load::p99_at(served.clients(IN_FLIGHT).await?, median(&unary.ours) / 2.0).await?);
        let theirs = median(unary.of("tonic_noop")) / 2.0;
        halves
            .1
            .push(load::p99_at(noop.clients(IN_FLIGHT).await?, theirs).await?);
    }
    if durability == Durability::Fsync {
        unary.note(
            "group_commit_bound",
            IN_FLIGHT as f64 / served.median_commit_s().await?,
        );
    }
    eprintln!(
        "{}: p99 of a call at half load {:.0} us, tonic_noop {:.0} us; median commit {:.0} us",
        mode("unary_memory", "unary_fsync"),
        median(&halves.0) * 1e6,
        median(&halves.1) * 1e6,
        served.median_commit_s().await? * 1e6,
    );
    served.stop().await?;
    let mut rows = unary.rows(mode("unary_memory", "unary_fsync"));
    rows.extend(stream.rows(mode("stream_memory", "stream_fsync")));
    Ok(rows)
}
