//! Failing starts and full pools, against a slow simulator that looks at every millisecond.

use std::{collections::VecDeque, num::NonZeroU32, time::Duration};

use foreshadow_planner::{MissCause, Outcome};
use proptest::prelude::*;

use super::{Script, in_order, log, setting, trace, trace_ms};
use crate::backtest::{
    NoProbe, Setting, StartupTime, TickRecord, Trace, simulate,
    startup::{Birth, StartupDraws},
};

/// Requests at (millisecond, milliseconds held), all of one pool.
fn holding(requests: &[(i64, u64)]) -> Trace {
    let requests = requests.iter();
    log(1, requests.map(|&(at, held)| (at, Some(held), 0)))
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Score {
    outcomes: Vec<Outcome>,
    waits: Vec<i64>,
    idle: i64,
    starts: u64,
}

struct Slow {
    draws: StartupDraws,
    most: usize,
    target: usize,
    /// Unpromised, in the order of starting.
    free: Vec<Birth>,
    /// Promised: when each is gone.
    gone: Vec<i64>,
    /// Attempts of promised instances that are still to begin.
    retries: Vec<i64>,
    /// (request, when it came, how long it holds) of those that wait for a place.
    queue: VecDeque<(usize, i64, i64)>,
    waits: Vec<Option<i64>>,
    score: Score,
}

impl Slow {
    fn new(setting: &Setting, requests: usize) -> Self {
        Self {
            draws: setting.startup().draws(),
            most: setting
                .max_instances()
                .map_or(usize::MAX, |most| most.get() as usize),
            target: 0,
            free: Vec::new(),
            gone: Vec::new(),
            retries: Vec::new(),
            queue: VecDeque::new(),
            waits: vec![None; requests],
            score: Score::default(),
        }
    }

    /// What happens by itself in one millisecond.
    fn pass(&mut self, now: i64) {
        self.retries.retain(|&at| {
            self.score.starts += u64::from(at == now);
            at > now
        });
        let failing = self.free.iter().filter(|one| one.failures.contains(&now));
        self.score.starts += failing.count() as u64;
        self.gone.retain(|&at| at > now);
        while self.has_place()
            && let Some((request, came, hold)) = self.queue.pop_front()
        {
            let birth = self.draws.birth(now);
            self.score.starts += 1;
            self.promise(request, came, hold, now, birth);
        }
        self.refill(now);
    }

    fn has_place(&self) -> bool {
        self.free.len() + self.gone.len() < self.most
    }

    fn promise(&mut self, request: usize, came: i64, hold: i64, now: i64, birth: Birth) {
        let served = birth.ready_ms.max(now);
        self.waits[request] = Some(served - came);
        self.retries
            .extend(birth.failures.into_iter().filter(|&at| at > now));
        if served + hold > now {
            self.gone.push(served + hold);
        }
    }

    fn refill(&mut self, now: i64) {
        while self.free.len() < self.target && self.has_place() {
            let birth = self.draws.birth(now);
            self.free.push(birth);
            self.score.starts += 1;
        }
    }

    fn tick(&mut self, now: i64, target: usize) {
        self.target = target;
        self.refill(now);
        while self.free.len() > target {
            let newest_start = self.free.iter().rposition(|one| one.ready_ms > now);
            let at = newest_start.unwrap_or_else(|| self.oldest_ready(now).unwrap());
            let gone = self.free.remove(at);
            self.score.idle += now - gone.asked_ms;
        }
    }

    fn oldest_ready(&self, now: i64) -> Option<usize> {
        let ready = (0..self.free.len()).filter(|&at| self.free[at].ready_ms <= now);
        ready.min_by_key(|&at| (self.free[at].ready_ms, at))
    }

    fn request(&mut self, request: usize, now: i64, hold: i64) {
        let oldest = self.oldest_ready(now);
        let outcome = match (oldest, self.free.is_empty()) {
            (Some(_), _) => Outcome::Hit,
            (None, false) => Outcome::Join,
            (None, true) => Outcome::Miss,
        };
        self.score.outcomes.push(outcome);
        if outcome == Outcome::Miss && !self.has_place() {
            self.queue.push_back((request, now, hold));
        } else {
            let birth = if outcome == Outcome::Miss {
                self.score.starts += 1;
                self.draws.birth(now)
            } else {
                let birth = self.free.remove(oldest.unwrap_or(0));
                self.idle_until_taken(&birth, now);
                birth
            };
            self.promise(request, now, hold, now, birth);
        }
        self.refill(now);
    }

    /// It idled while ready, and in attempts that failed before.
    fn idle_until_taken(&mut self, birth: &Birth, now: i64) {
        let failed = birth.failures.iter().filter(|&&at| at <= now).max();
        self.score.idle += failed.map_or(0, |at| at - birth.asked_ms);
        self.score.idle += (now - birth.ready_ms).max(0);
    }
}

fn slow(setting: &Setting, requests: &[(i64, u64)], targets: &[u32]) -> Score {
    let mut slow = Slow::new(setting, requests.len());
    let (start, end) = (setting.start().as_millis(), setting.to().as_millis());
    let ticks: Vec<i64> = setting.ticks_ms().collect();
    for now in start..=end {
        slow.pass(now);
        if let Some(tick) = ticks.iter().position(|&at| at == now) {
            slow.tick(now, targets[tick.min(targets.len() - 1)] as usize);
        }
        for (index, &(at, held)) in requests.iter().enumerate() {
            if at == now {
                slow.request(index, now, held as i64);
            }
        }
    }
    slow.tick(end, 0);
    let outcomes = slow.score.outcomes.iter();
    let waited = outcomes
        .zip(&slow.waits)
        .filter(|one| *one.0 != Outcome::Hit);
    slow.score.waits = waited.map(|(_, wait)| wait.unwrap_or(-1)).collect();
    slow.score
}

fn agrees(requests: &[(i64, u64)], targets: &[u32], setting: &Setting, trace: &Trace) {
    let expected = slow(setting, requests, targets);
    let mut script = Script::new(targets);
    let tally = simulate(&trace.pools()[0], setting, &mut script, &mut NoProbe);
    assert_eq!(script.outcomes, expected.outcomes);
    for (&wait, &slow) in tally.waits_ms().iter().zip(&expected.waits) {
        // Those who still wait for a place at the end are served after it.
        assert!(slow == -1 || slow == i64::from(wait), "{wait} {slow}");
    }
    assert_eq!(tally.waits_ms().len(), expected.waits.len());
    assert_eq!(tally.idle_ms() as i64, expected.idle);
    assert_eq!(tally.starts(), expected.starts);
}

fn requests() -> impl Strategy<Value = Vec<(i64, u64)>> {
    in_order((0_i64..400, 0_u64..80), 50, |request| request.0)
}

fn setting_ms(trace: &Trace, tick: u64, startup: StartupTime) -> Setting {
    Setting::new(trace, trace.start(), Duration::from_millis(tick), startup).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_full_pool_agrees_with_the_slow_simulator(
        requests in requests(),
        targets in prop::collection::vec(0_u32..6, 1..30),
        tick in 1_u64..40,
        startup in 0_u64..60,
        most in 1_u32..6,
    ) {
        let trace = holding(&requests);
        let startup = StartupTime::fixed(Duration::from_millis(startup));
        let setting = setting_ms(&trace, tick, startup).with_max_instances(NonZeroU32::new(most)).unwrap();
        agrees(&requests, &targets, &setting, &trace);
    }

    #[test]
    fn failing_starts_agree_with_the_slow_simulator(
        requests in requests(),
        targets in prop::collection::vec(0_u32..6, 1..30),
        tick in 1_u64..40,
        startup in 0_u64..60,
        sigma in prop::sample::select(vec![0.0, 0.5]),
        failures in 0.01_f64..0.8,
    ) {
        let trace = holding(&requests);
        let startup = StartupTime::log_normal(Duration::from_millis(startup), sigma, 3);
        let setting = setting_ms(&trace, tick, startup.failing(failures));
        agrees(&requests, &targets, &setting, &trace);
    }

    #[test]
    fn a_bound_that_is_never_met_changes_nothing(
        times in prop::collection::vec(0_i64..20_000, 2..100),
        targets in prop::collection::vec(0_u32..6, 1..30),
        sigma in prop::sample::select(vec![0.0, 0.5]),
    ) {
        let mut times = times;
        times.sort_unstable();
        let trace = trace_ms(&times);
        let startup = StartupTime::log_normal(Duration::from_millis(700), sigma, 3);
        let free = setting_ms(&trace, 300, startup);
        let bounded = free.with_max_instances(NonZeroU32::new(1_000_000)).unwrap();
        let replay = |setting| {
            simulate(&trace.pools()[0], setting, &mut Script::new(&targets), &mut NoProbe)
        };
        prop_assert_eq!(replay(&free), replay(&bounded));
    }

    #[test]
    fn a_pool_never_holds_more_than_its_bound(
        requests in requests(),
        targets in prop::collection::vec(0_u32..9, 1..30),
        most in 1_u32..6,
        failures in prop::sample::select(vec![0.0, 0.4]),
    ) {
        let trace = holding(&requests);
        let startup = StartupTime::fixed(Duration::from_millis(20)).failing(failures);
        let setting = setting_ms(&trace, 7, startup).with_max_instances(NonZeroU32::new(most)).unwrap();
        let mut script = Script::new(&targets);
        let mut held = Vec::new();
        let tally = simulate(&trace.pools()[0], &setting, &mut script, &mut |tick: &TickRecord| {
            held.push(tick.ready + tick.starting);
        });
        prop_assert!(held.iter().all(|&held| held <= most));
        for seen in script.inventories {
            prop_assert!(seen.ready + seen.starting + seen.leased <= most);
        }
        prop_assert_eq!(tally.causes().total(), tally.requests() - tally.hits());
    }
}

#[test]
fn requests_beyond_the_bound_wait_in_order_and_their_cause_is_quota() {
    // One place. 0: own start, ready at 10, held to 30. 5 and 6 wait: started at 30, ready at 40, held
    // to 60; started at 60, ready at 70.
    let requests = [(0, 20), (5, 20), (6, 20), (200, 0)];
    let trace = holding(&requests);
    let startup = StartupTime::fixed(Duration::from_millis(10));
    let setting = setting_ms(&trace, 1_000, startup)
        .with_max_instances(NonZeroU32::new(1))
        .unwrap();
    let mut script = Script::new(&[0]);
    let tally = simulate(&trace.pools()[0], &setting, &mut script, &mut NoProbe);
    assert_eq!(tally.waits_ms(), [10, 35, 64, 10]);
    assert_eq!(tally.causes().of(MissCause::Quota), 2);
    assert_eq!(tally.causes().of(MissCause::UnderForecast), 2);
}

#[test]
fn a_wait_is_late_where_the_target_would_have_covered_it() {
    let trace = trace(&[0, 40, 41, 42]);
    let mut script = Script::new(&[2]);
    let setting = setting(&trace, 0, 1_000, 30);
    let tally = simulate(&trace.pools()[0], &setting, &mut script, &mut NoProbe);
    // Two start at 0; one is joined at once. Two are ready at 40, two requests take them, and the
    // third in a start-up time is more than the target holds.
    assert_eq!(tally.hits(), 2);
    assert_eq!(tally.causes().of(MissCause::Late), 1);
    assert_eq!(tally.causes().of(MissCause::UnderForecast), 1);
}
