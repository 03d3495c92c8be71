//! What policies are told: only what is known by then.

use std::time::Duration;

use foreshadow_planner::{Arrival, Inventory, MissCounts, Outcome, TargetPolicies};
use foreshadow_types::Timestamp;

use super::{Script, log, setting, trace};
use crate::backtest::{
    NoProbe, Setting, StartupTime, TickRecord, Trace, simulate, simulate_together,
};

/// Keeps pools of these sizes.
struct Sizes {
    pools: Vec<u32>,
    holds: Vec<Option<Duration>>,
    startups: Vec<(usize, Duration)>,
}

impl Sizes {
    fn new(sizes: &[u32]) -> Self {
        Self {
            pools: sizes.to_vec(),
            holds: Vec::new(),
            startups: Vec::new(),
        }
    }

    fn live(mut self, trace: &Trace, setting: &Setting) -> Self {
        let count = self.pools.len();
        let mut probe = |_: usize, _: &TickRecord| {};
        simulate_together(&trace.pools()[0], setting, count, &mut self, &mut probe);
        self
    }
}

impl TargetPolicies for Sizes {
    fn observe(&mut self, arrival: &Arrival, _: &[Outcome]) {
        self.holds.push(arrival.hold);
    }

    fn observe_merged(&mut self, _: &Arrival, _: &[Outcome]) {}

    fn targets(&mut self, _: Timestamp, _: &[Inventory]) -> Vec<u32> {
        self.pools.clone()
    }

    fn start_succeeded(&mut self, replica: usize, took: Duration) {
        self.startups.push((replica, took));
    }

    fn misses(&self) -> Vec<MissCounts> {
        vec![MissCounts::default(); self.pools.len()]
    }
}

#[test]
fn a_use_ends_as_much_later_as_its_request_waited() {
    // Held for ten seconds each; a start takes thirty.
    let requests = [(0, Some(10_000), 0), (100_000, Some(10_000), 0)];
    let trace = log(1, requests);
    let setting = setting(&trace, 0, 1_000, 30);
    let seconds = |list: &[u64]| -> Vec<_> {
        let held = |&s: &u64| Some(Duration::from_secs(s));
        list.iter().map(held).collect()
    };
    let mut one = Script::new(&[1]);
    simulate(&trace.pools()[0], &setting, &mut one, &mut NoProbe);
    assert_eq!(one.holds, seconds(&[40, 10]), "a join, then a hit");
    let mut none = Script::new(&[0]);
    simulate(&trace.pools()[0], &setting, &mut none, &mut NoProbe);
    assert_eq!(none.holds, seconds(&[40, 40]), "two misses");
    // What replicas learn together is known once it is so in each of them.
    let both = Sizes::new(&[1, 0]).live(&trace, &setting);
    assert_eq!(both.holds, seconds(&[40, 40]));
    let unknown = super::trace(&[0, 100]);
    let setting = super::setting(&unknown, 0, 1_000, 30);
    let both = Sizes::new(&[1, 0]).live(&unknown, &setting);
    assert_eq!(both.holds, [None, None]);
}

#[test]
fn starts_of_different_lengths_are_told_with_the_time_they_took_when_they_are_over() {
    let trace = trace(&[0, 200, 400, 10_000]);
    let times = StartupTime::log_normal(Duration::from_mins(1), 0.5, 7);
    let tick = Duration::from_secs(1_000);
    let setting = Setting::new(&trace, trace.start(), tick, times).unwrap();
    let mut draws = times.draws();
    let mut drawn: Vec<u64> = (0..4).map(|_| draws.next_ms() as u64).collect();
    drawn.sort_unstable();
    let mut told = Sizes::new(&[1]).live(&trace, &setting).startups;
    told.sort_unstable();
    // One for the pool, promised at once; one in its place at each request but the last.
    let expected: Vec<_> = drawn
        .iter()
        .map(|&ms| (0, Duration::from_millis(ms)))
        .collect();
    assert_eq!(told, expected);
    let mut script = Script::new(&[1]);
    simulate(&trace.pools()[0], &setting, &mut script, &mut NoProbe);
    assert_eq!(script.startups.len(), 4);
    let fixed = super::setting(&trace, 0, 1_000, 60);
    let told = Sizes::new(&[1]).live(&trace, &fixed).startups;
    assert_eq!(told, [], "nothing is to be learnt of them");
}
