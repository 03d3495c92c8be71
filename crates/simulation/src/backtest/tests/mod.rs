//! The kernel against hand-made scenarios, laws and a slow reference.

mod allocator;
mod causality;
mod properties;
mod reference;
mod semantics;
mod sharing;
mod strained;
mod told;

use std::{
    num::{NonZeroU32, NonZeroU64},
    time::Duration,
};

use foreshadow_planner::{Arrival, Inventory, Outcome, TargetPolicy};
use foreshadow_types::{PoolName, Timestamp};
use proptest::prelude::*;

use super::{Setting, StartupTime, Trace, TraceBuilder};

/// One pool with requests at these seconds.
fn trace(seconds: &[i64]) -> Trace {
    let millis: Vec<i64> = seconds.iter().map(|at| at * 1_000).collect();
    trace_ms(&millis)
}

fn trace_ms(millis: &[i64]) -> Trace {
    log(1, millis.iter().map(|&at_ms| (at_ms, None, 0)))
}

/// One pool with requests at (millisecond, milliseconds held, key), where a key of 0 is none.
pub(super) fn log(
    share: u32,
    requests: impl IntoIterator<Item = (i64, Option<u64>, u64)>,
) -> Trace {
    let name = PoolName::new("p").unwrap();
    let mut builder = TraceBuilder::new().with_share(NonZeroU32::new(share).unwrap());
    for (at_ms, hold_ms, key) in requests {
        let arrival = Arrival {
            at: Timestamp::from_millis(at_ms),
            user: 0,
            application: 0,
            hold: hold_ms.map(Duration::from_millis),
        };
        let key = NonZeroU64::new(key);
        builder.push_keyed(&name, &arrival, key).unwrap();
    }
    builder.build().unwrap()
}

/// Up to so many requests in order of time, which is what `at` takes of them.
fn in_order<R: std::fmt::Debug + Clone>(
    request: impl Strategy<Value = R>,
    most: usize,
    at: fn(&R) -> i64,
) -> impl Strategy<Value = Vec<R>> {
    prop::collection::vec(request, 1..most).prop_map(move |mut requests| {
        requests.sort_by_key(at);
        requests
    })
}

/// Scored from `from` seconds on, with a tick and a fixed start-up time in seconds.
fn setting(trace: &Trace, from: i64, tick: u64, startup: u64) -> Setting {
    Setting::new(
        trace,
        Timestamp::from_millis(from * 1_000),
        Duration::from_secs(tick),
        StartupTime::fixed(Duration::from_secs(startup)),
    )
    .unwrap()
}

/// Sets these targets one after the other, then the last one for ever, and notes what it sees.
#[derive(Debug, Default)]
struct Script {
    targets: Vec<u32>,
    asked: usize,
    inventories: Vec<Inventory>,
    outcomes: Vec<Outcome>,
    holds: Vec<Option<Duration>>,
    startups: Vec<Duration>,
    /// Times of requests that were shown as no demand.
    merged_ms: Vec<i64>,
}

impl Script {
    fn new(targets: &[u32]) -> Self {
        Self {
            targets: targets.to_vec(),
            ..Self::default()
        }
    }
}

impl TargetPolicy for Script {
    fn observe(&mut self, arrival: &Arrival, outcome: Outcome) {
        self.outcomes.push(outcome);
        self.holds.push(arrival.hold);
    }

    fn observe_merged(&mut self, arrival: &Arrival, outcome: Outcome) {
        self.outcomes.push(outcome);
        self.merged_ms.push(arrival.at.as_millis());
    }

    fn target(&mut self, _: Timestamp, inventory: &Inventory) -> u32 {
        self.inventories.push(*inventory);
        let target = self.targets[self.asked.min(self.targets.len() - 1)];
        self.asked += 1;
        target
    }

    fn start_succeeded(&mut self, took: Duration) {
        self.startups.push(took);
    }
}
