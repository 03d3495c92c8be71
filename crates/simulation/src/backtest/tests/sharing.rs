//! Requests that share instances: scenarios, laws, and a slow simulator that looks at every instance.

use std::{num::NonZeroU32, time::Duration};

use foreshadow_planner::{
    MissCause,
    Outcome::{self, Hit, Join, Miss},
};
use proptest::prelude::*;

use super::{Script, in_order, log, setting};
use crate::backtest::{
    NoProbe, Setting, StartupTime, Tally, TickRecord, Trace, reuse::replay_reused, simulate,
};

/// (time, hold, key) in seconds; a key of 0 is none.
pub(super) type Request = (i64, u64, u64);

pub(super) fn trace(share: u32, requests: &[Request]) -> Trace {
    let requests = requests.iter();
    log(
        share,
        requests.map(|&(at, hold, key)| (at * 1_000, Some(hold * 1_000), key)),
    )
}

fn served(trace: &Trace, targets: &[u32], startup: u64) -> (Tally, Script) {
    let mut script = Script::new(targets);
    let setting = setting(trace, trace.start().as_millis() / 1_000, 1_000, startup);
    let tally = simulate(&trace.pools()[0], &setting, &mut script, &mut NoProbe);
    (tally, script)
}

#[test]
fn a_key_that_is_held_is_joined_at_once_and_no_replacement_is_started() {
    // The first joins the start of 0 and holds from 30 to 130; the second shares it, until 190; the
    // third shares with the second alone; the fourth comes when nobody holds the key.
    let trace = trace(1, &[(0, 100, 7), (90, 100, 7), (140, 10, 7), (190, 10, 7)]);
    let (tally, script) = served(&trace, &[1], 30);
    assert_eq!(script.outcomes, [Join, Hit, Hit, Hit]);
    assert_eq!(script.merged_ms, [90_000, 140_000]);
    assert_eq!((tally.hits(), tally.merged(), tally.starts()), (3, 2, 3));
    // The one that was ready at 30 is taken at 190 only; its replacement starts at the end.
    assert_eq!(tally.idle_ms(), 160_000);
}

#[test]
fn a_key_whose_instance_is_starting_waits_with_it() {
    let trace = trace(1, &[(0, 100, 7), (10, 100, 7)]);
    let (tally, script) = served(&trace, &[0], 30);
    assert_eq!(script.outcomes, [Miss, Join]);
    assert_eq!(tally.waits_ms(), [30_000, 20_000]);
    assert_eq!((tally.merged(), tally.starts()), (0, 1));
    assert_eq!(tally.causes().of(MissCause::UnderForecast), 2);
}

#[test]
fn room_is_taken_before_what_is_ready_and_a_start_that_is_held_before_one_that_is_not() {
    let requests = [(0, 500, 0), (1, 500, 0), (2, 500, 0), (100, 500, 0)];
    let (tally, script) = served(&trace(2, &requests), &[2], 30);
    // 0 joins a start and 1 its instance; 2 joins the other start, and at 100 has room too.
    assert_eq!(script.outcomes, [Join, Join, Join, Hit]);
    assert_eq!(tally.waits_ms(), [30_000, 29_000, 28_000]);
    // Two at first, and a replacement for each that was taken.
    assert_eq!((tally.merged(), tally.starts()), (1, 4));
}

#[test]
fn reused_instances_come_back_when_the_last_of_those_who_share_them_leaves() {
    // Started at 0, ready at 30, held to 130, and by the second until 190; taken again at 200.
    let trace = trace(1, &[(0, 100, 7), (90, 100, 7), (150, 5, 0), (200, 1, 0)]);
    let setting = setting(&trace, 0, 1_000, 30);
    let tally = Tally::keeping_waits(&setting);
    let tally = replay_reused(&trace.pools()[0], &setting, 0.99, tally);
    // The third finds the instance held, and starts its own: ready at 180, free at 185.
    assert_eq!((tally.hits(), tally.misses(), tally.merged()), (2, 2, 1));
    assert_eq!(tally.starts(), 2);
    // The last takes the one that was used last, idle since 190; the other idles from 185.
    assert_eq!(tally.idle_ms(), 10_000 + 15_000);
}

#[test]
fn a_bound_on_instances_is_refused_where_requests_share_them() {
    let shared = trace(2, &[(0, 10, 0), (5, 10, 0)]);
    let error = setting(&shared, 0, 60, 30).with_max_instances(NonZeroU32::new(3));
    assert!(error.unwrap_err().to_string().contains("merge_key"));
    assert!(setting(&shared, 0, 60, 30).with_max_instances(None).is_ok());
}

#[derive(Debug, Clone)]
struct Instance {
    number: u64,
    started: i64,
    ready: i64,
    /// When it was taken among those taken.
    taken: Option<usize>,
    /// (request, end, key).
    holders: Vec<(usize, i64, u64)>,
}

/// Everything about one pool whose instances take `startup` to start.
struct Slow {
    startup: i64,
    share: usize,
    instances: Vec<Instance>,
    numbered: u64,
    takings: usize,
    outcomes: Vec<(Outcome, i64)>,
    merged: u64,
    idle: i64,
}

impl Slow {
    fn new(startup: i64, share: usize) -> Self {
        Self {
            startup,
            share,
            instances: Vec::new(),
            numbered: 0,
            takings: 0,
            outcomes: Vec::new(),
            merged: 0,
            idle: 0,
        }
    }

    fn start(&mut self, now: i64) -> usize {
        self.instances.push(Instance {
            number: self.numbered,
            started: now,
            ready: now + self.startup,
            taken: None,
            holders: Vec::new(),
        });
        self.numbered += 1;
        self.instances.len() - 1
    }

    fn free(&self) -> usize {
        self.instances
            .iter()
            .filter(|one| one.taken.is_none())
            .count()
    }

    fn resize(&mut self, now: i64, target: usize) {
        self.refill(now, target);
        while self.free() > target {
            let free = self.instances.iter().filter(|one| one.taken.is_none());
            let starting = free.clone().filter(|one| one.ready > now);
            let newest = starting.max_by_key(|one| one.number);
            let number = newest.or(free.min_by_key(|one| one.number)).unwrap().number;
            let at = self
                .instances
                .iter()
                .position(|one| one.number == number)
                .unwrap();
            self.idle += now - self.instances.remove(at).started;
        }
    }

    /// The instance that has the least `order` of those that have any.
    fn first<K: Ord>(&self, order: impl Fn(&Instance) -> Option<K>) -> Option<usize> {
        let ordered = self.instances.iter().enumerate();
        let ordered = ordered.filter_map(|(at, one)| Some((order(one)?, at)));
        ordered.min().map(|(_, at)| at)
    }

    fn request(&mut self, now: i64, hold: i64, key: u64, target: usize) {
        for one in &mut self.instances {
            one.holders.retain(|&(_, end, _)| end > now);
        }
        self.instances
            .retain(|one| one.taken.is_none() || !one.holders.is_empty());
        let same_key = |one: &Instance| {
            let mut same = one
                .holders
                .iter()
                .filter(|&&(_, _, held)| key != 0 && held == key);
            same.next().map(|&(request, _, _)| request)
        };
        let share = self.share;
        let room = |ready: bool| {
            move |one: &Instance| {
                let has = !one.holders.is_empty() && one.holders.len() < share;
                (has && (one.ready <= now) == ready)
                    .then_some((usize::MAX - one.holders.len(), one.taken))
            }
        };
        let free = |ready: bool| {
            move |one: &Instance| {
                (one.taken.is_none() && (one.ready <= now) == ready).then_some(one.number)
            }
        };
        let found = self
            .first(same_key)
            .or_else(|| self.first(room(true)))
            .or_else(|| self.first(free(true)))
            .or_else(|| self.first(room(false)))
            .or_else(|| self.first(free(false)));
        let at = found.unwrap_or_else(|| self.start(now));
        let outcome = match found {
            Some(at) if self.instances[at].ready <= now => Hit,
            Some(_) => Join,
            None => Miss,
        };
        let request = self.outcomes.len();
        let one = &mut self.instances[at];
        let served = one.ready.max(now);
        if one.taken.is_none() {
            self.idle += (now - one.ready).max(0);
            one.taken = Some(self.takings);
            self.takings += 1;
        } else {
            self.merged += u64::from(outcome == Hit);
        }
        one.holders.push((request, served + hold, key));
        self.outcomes.push((outcome, served - now));
        self.refill(now, target);
    }

    fn refill(&mut self, now: i64, target: usize) {
        while self.free() < target {
            self.start(now);
        }
    }
}

pub(super) fn requests() -> impl Strategy<Value = Vec<Request>> {
    requests_within(300)
}

/// Requests in so many seconds.
pub(super) fn requests_within(seconds: i64) -> impl Strategy<Value = Vec<Request>> {
    let request = (
        0..seconds,
        0_u64..80,
        prop::sample::select(vec![0, 0, 0, 1, 2, 3]),
    );
    in_order(request, 60, |request| request.0)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn the_kernel_agrees_with_the_slow_simulator(
        requests in requests(),
        targets in prop::collection::vec(0_u32..5, 1..20),
        share in 1_u32..5,
        tick in 1_u64..40,
        startup in 0_u64..60,
    ) {
        let trace = trace(share, &requests);
        let (first, last) = (requests[0].0, requests[requests.len() - 1].0);
        let setting = setting(&trace, first, tick, startup);
        let mut slow = Slow::new(startup as i64, share as usize);
        let ticks = (first..=last).step_by(tick as usize).map(|at| (at, None));
        let asked = requests.iter().map(|request| (request.0, Some(request)));
        let mut events: Vec<_> = ticks.chain(asked).collect();
        events.sort_by_key(|&(at, request)| (at, request.is_some()));
        let (mut ticked, mut target) = (0, 0);
        for (now, request) in events {
            if let Some(&(_, hold, key)) = request {
                slow.request(now, hold as i64, key, target);
            } else {
                target = targets[ticked.min(targets.len() - 1)] as usize;
                ticked += 1;
                slow.resize(now, target);
            }
        }
        slow.resize(last, 0);
        let (mut script, pool) = (Script::new(&targets), &trace.pools()[0]);
        let (mut demand, mut told) = (0, 0);
        let tally = simulate(pool, &setting, &mut script, &mut |tick: &TickRecord| {
            demand += tick.demand as usize;
            told += (tick.hits + tick.joins + tick.misses) as usize;
        });
        prop_assert_eq!((demand, told), (pool.demand_ms().len(), requests.len()));
        let outcomes: Vec<Outcome> = slow.outcomes.iter().map(|one| one.0).collect();
        prop_assert_eq!(&script.outcomes, &outcomes);
        let waited = slow.outcomes.iter().filter(|one| one.0 != Hit);
        let waits: Vec<i64> = waited.map(|one| one.1 * 1_000).collect();
        let ours: Vec<i64> = tally.waits_ms().iter().map(|&wait| i64::from(wait)).collect();
        prop_assert_eq!(ours, waits);
        prop_assert_eq!(tally.merged(), slow.merged);
        prop_assert_eq!(tally.starts(), slow.numbered);
        prop_assert_eq!(tally.idle_ms() as i64, slow.idle * 1_000);
    }

    #[test]
    fn demand_is_what_a_pool_that_is_always_ready_gives_away(
        requests in requests(),
        share in 1_u32..5,
    ) {
        let mut slow = Slow::new(0, share as usize);
        for &(at, hold, key) in &requests {
            slow.request(at, hold as i64, key, 0);
        }
        let trace = trace(share, &requests);
        let pool = &trace.pools()[0];
        prop_assert_eq!(pool.demand_ms().len() as u64, requests.len() as u64 - slow.merged);
        if share == 1 {
            // Who shares by key in an ideal pool does so in any: what is started is the target, and one
            // more for each request that takes an instance.
            let (tally, _) = served(&trace, &[1], 30);
            prop_assert!(tally.starts() <= 1 + pool.demand_ms().len() as u64);
        }
    }

    #[test]
    fn keys_that_nobody_shares_change_nothing(
        requests in requests(),
        targets in prop::collection::vec(0_u32..5, 1..20),
        sigma in prop::sample::select(vec![0.0, 0.7]),
        failures in prop::sample::select(vec![0.0, 0.2]),
    ) {
        let keyed = |key: fn(usize) -> u64| {
            let requests = requests.iter().enumerate();
            let requests: Vec<Request> =
                requests.map(|(index, &(at, hold, _))| (at, hold, key(index))).collect();
            let trace = trace(1, &requests);
            let startup = StartupTime::log_normal(Duration::from_secs(20), sigma, 3);
            let startup = startup.failing(failures);
            let setting = Setting::new(&trace, trace.start(), Duration::from_secs(9), startup);
            let setting = setting.unwrap();
            let pool = &trace.pools()[0];
            let once = simulate(pool, &setting, &mut Script::new(&targets), &mut NoProbe);
            let again = replay_reused(pool, &setting, 0.9, Tally::keeping_waits(&setting));
            (once, again)
        };
        prop_assert_eq!(keyed(|_| 0), keyed(|index| index as u64 + 1));
    }
}
