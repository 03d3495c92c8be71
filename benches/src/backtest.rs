//! Requests replayed under a constant pool, beside a plain event queue; ticks of the planner, beside
//! the reactive policy.

mod recorded;

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    time::Duration,
};

use foreshadow_planner::{
    Arrival, Inventory, Outcome, PoolPlanner, PoolSettings, TargetPolicy,
    baselines::{Reactive, StaticPool, TrailingDemand, TrailingMoments},
};
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

/// Ticks that the planner has learnt from when it is timed, and ticks timed: few enough that it
/// does not refit meanwhile.
const LEARNT_TICKS: usize = 40_000;
const TIMED_TICKS: usize = 8_000;
/// The window of the reactive policy: three hours.
const WINDOW_TICKS: usize = 1_080;

/// Requests a second, and ticks a second of the planner between two fits.
pub(crate) fn rows() -> anyhow::Result<Vec<Row>> {
    let mut rows = vec![replay()?, planning()?];
    rows.extend(recorded::rows()?);
    Ok(rows)
}

fn planning() -> anyhow::Result<Row> {
    let (startup, tick) = (Duration::from_secs(10), Duration::from_secs(10));
    let trace = trace()?;
    let arrivals: Vec<Arrival> = (0..trace.pools()[0].len())
        .map(|index| trace.pools()[0].arrival(index))
        .collect();
    let settings = PoolSettings::for_hit_rate(0.95, startup, tick);
    let mut planner = PoolPlanner::new(settings)?;
    let (learnt, timed) = arrivals.split_at(tick_index(&arrivals, LEARNT_TICKS));
    let timed = &timed[..tick_index(timed, TIMED_TICKS)];
    let _ = run_ticks(&mut planner, learnt, tick);
    anyhow::ensure!(planner.fit().is_some(), "the planner learnt nothing");
    let mut ticks = 0;
    let ours = seconds(|| ticks = run_ticks(&mut planner, timed, tick));
    let window = TrailingMoments::new(WINDOW_TICKS);
    let mut reactive = Reactive::new(TrailingDemand::new(startup + tick), window, 2.0);
    let theirs = seconds(|| ticks = run_ticks(&mut reactive, timed, tick));
    Ok(Row {
        name: "planner_ticks",
        value: ticks as f64 / ours,
        unit: "ticks/s",
        peer: "reactive",
        peer_value: ticks as f64 / theirs,
    })
}

/// Where the arrivals of the first `ticks` ticks end.
fn tick_index(arrivals: &[Arrival], ticks: usize) -> usize {
    let Some(first) = arrivals.first() else {
        return 0;
    };
    let end = first.at + Duration::from_millis(STARTUP_MS as u64 * ticks as u64);
    arrivals.partition_point(|arrival| arrival.at < end)
}

/// Shows a policy requests that all hit, with a tick every `tick`; returns how many ticks there were.
fn run_ticks(policy: &mut dyn TargetPolicy, arrivals: &[Arrival], tick: Duration) -> usize {
    let (mut ticks, mut next) = (0, arrivals.first().map(|arrival| arrival.at));
    for arrival in arrivals {
        while let Some(due) = next.filter(|due| *due <= arrival.at) {
            let _ = policy.target(due, &Inventory::default());
            next = Some(due + tick);
            ticks += 1;
        }
        policy.observe(arrival, Outcome::Hit);
    }
    ticks
}

fn replay() -> anyhow::Result<Row> {
    let trace = trace()?;
    let setting = Setting::new(
        &trace,
        trace.start(),
        Duration::from_secs(10),
        StartupTime::fixed(Duration::from_millis(STARTUP_MS as u64)),
    )?;
    let pool = &trace.pools()[0];
    let times_ms: Vec<i64> = pool.times_ms().walk().collect();
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
        theirs.push(REQUESTS as f64 / seconds(|| hits.1 = event_queue(&times_ms)));
    }
    anyhow::ensure!(
        hits.0 == hits.1,
        "the replays disagree: {} and {} hits",
        hits.0,
        hits.1
    );
    Ok(Row {
        name: "static_pool",
        value: median(ours),
        unit: "requests/s",
        peer: "event_queue",
        peer_value: median(theirs),
    })
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
