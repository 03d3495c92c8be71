//! A slow simulator that looks at every instance at every event, compared with the kernel.

use std::time::Duration;

use foreshadow_planner::Outcome;
use foreshadow_types::Timestamp;
use proptest::prelude::*;

use super::{Script, trace_ms};
use crate::backtest::{NoProbe, Setting, StartupTime, Trace, simulate};

/// An instance nobody has been promised.
#[derive(Debug, Clone, Copy)]
struct Instance {
    number: u64,
    started: i64,
    ready: i64,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Score {
    outcomes: Vec<Outcome>,
    waits: Vec<i64>,
    idle: i64,
    starts: u64,
}

struct Slow {
    instances: Vec<Instance>,
    numbered: u64,
    window: (i64, i64),
    score: Score,
}

impl Slow {
    fn idle(&mut self, since: i64, until: i64) {
        for moment in since..until {
            self.score.idle += i64::from(moment >= self.window.0 && moment < self.window.1);
        }
    }

    fn start(&mut self, now: i64, draw: &mut impl FnMut() -> i64) -> Instance {
        let instance = Instance {
            number: self.numbered,
            started: now,
            ready: now + draw(),
        };
        self.numbered += 1;
        self.score.starts += u64::from(now >= self.window.0);
        instance
    }

    fn take(&mut self, number: u64) -> Instance {
        let at = self
            .instances
            .iter()
            .position(|one| one.number == number)
            .unwrap();
        self.instances.remove(at)
    }

    fn tick(&mut self, now: i64, target: usize, draw: &mut impl FnMut() -> i64) {
        while self.instances.len() < target {
            let instance = self.start(now, draw);
            self.instances.push(instance);
        }
        while self.instances.len() > target {
            let starting = self.instances.iter().filter(|one| one.ready > now);
            let ready = self.instances.iter().filter(|one| one.ready <= now);
            let victim = starting
                .max_by_key(|one| one.number)
                .or(ready.min_by_key(|one| (one.ready, one.number)))
                .unwrap()
                .number;
            let gone = self.take(victim);
            self.idle(gone.started, now);
        }
    }

    fn request(&mut self, now: i64, target: usize, draw: &mut impl FnMut() -> i64) {
        let ready = self.instances.iter().filter(|one| one.ready <= now);
        let starting = self.instances.iter().filter(|one| one.ready > now);
        let oldest_ready = ready.min_by_key(|one| (one.ready, one.number));
        let oldest_start = starting.min_by_key(|one| one.number);
        let (outcome, wait) = if let Some(one) = oldest_ready.copied() {
            self.take(one.number);
            self.idle(one.ready, now);
            (Outcome::Hit, 0)
        } else if let Some(one) = oldest_start.copied() {
            self.take(one.number);
            (Outcome::Join, one.ready - now)
        } else {
            let own = self.start(now, draw);
            (Outcome::Miss, own.ready - now)
        };
        if now >= self.window.0 {
            self.score.outcomes.push(outcome);
            if outcome != Outcome::Hit {
                self.score.waits.push(wait);
            }
        }
        while self.instances.len() < target {
            let instance = self.start(now, draw);
            self.instances.push(instance);
        }
    }
}

fn slow(trace: &Trace, setting: &Setting, targets: &[u32]) -> Score {
    let mut draws = setting.startup().draws();
    let fixed = setting.startup().typical().as_millis() as i64;
    let is_fixed = setting.startup().is_fixed();
    let mut draw = move || if is_fixed { fixed } else { draws.next_ms() };
    let mut slow = Slow {
        instances: Vec::new(),
        numbered: 0,
        window: (setting.from().as_millis(), setting.to().as_millis()),
        score: Score::default(),
    };
    let ticks = setting.ticks_ms().map(|at| (at, 0));
    let requests = trace.pools()[0].times_ms().walk().map(|at| (at, 1));
    let mut events: Vec<(i64, i32)> = ticks.chain(requests).collect();
    events.sort_unstable();
    let (mut ticked, mut target) = (0, 0);
    for (now, kind) in events {
        if kind == 0 {
            target = targets[ticked.min(targets.len() - 1)] as usize;
            ticked += 1;
            slow.tick(now, target, &mut draw);
        } else {
            slow.request(now, target, &mut draw);
        }
    }
    slow.tick(setting.to().as_millis(), 0, &mut draw);
    slow.score
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn the_kernel_agrees_with_the_slow_simulator(
        mut times in prop::collection::vec(0_i64..400, 1..60),
        targets in prop::collection::vec(0_u32..6, 1..30),
        share in 0.0_f64..1.0,
        tick in 1_u64..40,
        startup in 0_u64..60,
        sigma in prop::sample::select(vec![0.0, 0.0, 0.3, 1.0]),
    ) {
        times.sort_unstable();
        let trace = trace_ms(&times);
        let (first, last) = (times[0], times[times.len() - 1]);
        let from = first + ((last - first) as f64 * share) as i64;
        let setting = Setting::new(
            &trace,
            Timestamp::from_millis(from),
            Duration::from_millis(tick),
            StartupTime::log_normal(Duration::from_millis(startup), sigma, 11),
        )
        .unwrap();
        let expected = slow(&trace, &setting, &targets);
        let mut script = Script::new(&targets);
        let tally = simulate(&trace.pools()[0], &setting, &mut script, &mut NoProbe);
        let scored = script.outcomes.len() - expected.outcomes.len();
        prop_assert_eq!(&script.outcomes[scored..], &expected.outcomes[..]);
        let waits: Vec<i64> = tally.waits_ms().iter().map(|&wait| i64::from(wait)).collect();
        prop_assert_eq!(waits, expected.waits);
        prop_assert_eq!(tally.idle_ms() as i64, expected.idle);
        prop_assert_eq!(tally.starts(), expected.starts);
    }
}
