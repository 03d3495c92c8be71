//! Requests replayed under a constant pool, beside a plain event queue.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    time::Duration,
};

use foreshadow_planner::{Arrival, baselines::StaticPool};
use foreshadow_simulation::backtest::{
    NoProbe, Setting, StartupTime, Trace, TraceBuilder, simulate,
};
use foreshadow_types::{PoolName, Timestamp};

use crate::{
    clock::seconds,
    report::{Row, median},
};

const REQUESTS: i64 = 2_000_000;
const POOL: u32 = 40;
const STARTUP_MS: i64 = 10_000;
const RUNS: usize = 5;

/// Requests a second.
pub(crate) fn rows() -> anyhow::Result<Vec<Row>> {
    let trace = trace()?;
    let setting = Setting::new(
        &trace,
        trace.start(),
        Duration::from_secs(10),
        StartupTime::fixed(Duration::from_millis(STARTUP_MS as u64)),
    )?;
    let pool = &trace.pools()[0];
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let mut hits = (0, 0);
    for _ in 0..RUNS {
        ours.push(
            REQUESTS as f64
                / seconds(|| {
                    hits.0 =
                        simulate(pool, &setting, &mut StaticPool::new(POOL), &mut NoProbe).hits();
                }),
        );
        theirs.push(REQUESTS as f64 / seconds(|| hits.1 = event_queue(pool.times_ms())));
    }
    anyhow::ensure!(
        hits.0 == hits.1,
        "the replays disagree: {} and {} hits",
        hits.0,
        hits.1
    );
    Ok(vec![Row {
        name: "static_pool",
        value: median(ours),
        unit: "requests/s",
        peer: "event_queue",
        peer_value: median(theirs),
    }])
}

/// Requests about 0.3 s apart, with bursts.
fn trace() -> anyhow::Result<Trace> {
    let pool = PoolName::new("bench")?;
    let mut trace = TraceBuilder::new();
    let mut at_ms = 0;
    for index in 0..REQUESTS {
        at_ms += (index * 7_919 % 13) * if index % 100 < 30 { 5 } else { 60 };
        let at = Timestamp::from_millis(at_ms);
        trace.push(
            &pool,
            &Arrival {
                at,
                user: 0,
                application: 0,
                hold: None,
            },
        )?;
    }
    Ok(trace.build()?)
}

/// The textbook way: a heap of events, a queue of ready instances.
fn event_queue(times_ms: &[i64]) -> u64 {
    let mut starting = BinaryHeap::new();
    let mut ready = VecDeque::new();
    let start = times_ms[0];
    for _ in 0..POOL {
        starting.push(Reverse(start + STARTUP_MS));
    }
    let mut hits = 0;
    for &at in times_ms {
        while starting.peek().is_some_and(|Reverse(done)| *done <= at) {
            starting.pop();
            ready.push_back(at);
        }
        if ready.pop_front().is_some() {
            hits += 1;
        } else {
            // The request joins the oldest start.
            starting.pop();
        }
        starting.push(Reverse(at + STARTUP_MS));
    }
    hits
}
