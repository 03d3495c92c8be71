//! `Allocate` and `Release` over gRPC, one call at a time and in a stream, and a burst of claims on a
//! warm pool: beside a server on the same wire that does nothing, and beside what people build on
//! `PostgreSQL` and on Valkey. All of a run share one process, one runtime and one machine.

mod burst;
mod commits;
mod load;
mod noop;
mod ours;
mod peers;
mod postgres;
mod stream;
mod valkey;
mod worker;

use foreshadow_engine::config::Durability;

use self::{commits::Commits, load::Rates, peers::Peers};
use crate::report::{Row, median};

pub(crate) use self::{
    load::{p99_at, rate},
    ours::{Served, ask, ask_for, clients, clients_of, connect},
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

/// Calls and allocations a second of all at one durability, unary and in a stream, and the p99 of a
/// unary call at half of that load.
async fn steady(durability: Durability) -> anyhow::Result<Vec<Row>> {
    let served = Served::start(durability, WARM).await?;
    let noop = noop::Server::start().await?;
    let mut peers = Peers::start(durability, WARM).await;
    let (mut unary, mut stream) = (Rates::default(), Rates::default());
    let (mut ours_us, mut noop_us) = (Vec::new(), Vec::new());
    let mut commits = Commits::default();
    for _ in 0..RUNS {
        let before = served.commits().await?;
        unary
            .ours
            .push(rate(served.clients(IN_FLIGHT).await?, 1).await?);
        commits.add(&before, &served.commits().await?);
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
        let half = median(&unary.ours) / 2.0;
        ours_us.push(1e6 * load::p99_at(served.clients(IN_FLIGHT).await?, half).await?);
        let half = median(unary.of("tonic_noop")) / 2.0;
        noop_us.push(1e6 * load::p99_at(noop.clients(IN_FLIGHT).await?, half).await?);
    }
    served.stop().await?;
    let names = Names::of(durability);
    let mut rows = Vec::new();
    if durability == Durability::Fsync {
        unary.note("group_commit_bound", IN_FLIGHT as f64 / commits.median_s());
        rows.push(Row {
            name: "unary_fsync_commit",
            value: commits.median_s() * 1e6,
            unit: "us",
            peer: "a call in 64",
            peer_value: 1e6 * IN_FLIGHT as f64 / median(&unary.ours),
        });
    }
    rows.splice(0..0, unary.rows(names.unary));
    rows.extend(stream.claims(names.stream));
    rows.extend(stream.rows(names.stream_calls));
    rows.push(Row {
        name: names.half_load,
        value: median(&ours_us),
        unit: "us",
        peer: "tonic_noop",
        peer_value: median(&noop_us),
    });
    Ok(rows)
}

/// What the rows are called.
struct Names {
    unary: &'static str,
    stream: &'static str,
    stream_calls: &'static str,
    half_load: &'static str,
}

impl Names {
    fn of(durability: Durability) -> Self {
        match durability {
            Durability::Memory => Self {
                unary: "unary_memory",
                stream: "stream_memory",
                stream_calls: "stream_memory_calls",
                half_load: "half_load_p99_memory",
            },
            Durability::Fsync => Self {
                unary: "unary_fsync",
                stream: "stream_fsync",
                stream_calls: "stream_fsync_calls",
                half_load: "half_load_p99_fsync",
            },
        }
    }
}
