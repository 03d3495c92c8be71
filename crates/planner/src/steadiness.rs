//! Over many seeds and shapes of demand: a higher aim keeps a larger pool, and a little noise changes
//! little.

use std::time::Duration;

use foreshadow_types::Timestamp;
use proptest::prelude::*;
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;

use crate::{
    Arrival, Inventory, Outcome, PlannerGroup, PoolSettings, TargetPolicies, replay::ShadowPool,
};

const TICK_MS: i64 = 60_000;
const STARTUP_MS: i64 = 120_000;
const MINUTES: i64 = 2 * 1440;

/// How a pool is asked for.
#[derive(Debug, Clone, Copy)]
enum Shape {
    /// At random, day and night.
    Steady,
    /// At random, busy by day.
    Tide,
    /// On the hour.
    Rush,
    /// In batches that nothing foretells.
    Batches,
}

impl Shape {
    fn any() -> impl Strategy<Value = Self> {
        prop_oneof![
            Just(Self::Steady),
            Just(Self::Tide),
            Just(Self::Rush),
            Just(Self::Batches),
        ]
    }

    /// Requests in a minute.
    fn count(self, minute: i64, rng: &mut Pcg64Mcg) -> i64 {
        let (chance, most) = match self {
            Self::Steady => (0.5, 4),
            Self::Tide if (480..1080).contains(&(minute % 1440)) => (0.8, 5),
            Self::Tide => (0.1, 3),
            Self::Rush if minute % 60 < 2 => (1.0, 12),
            Self::Rush => (0.1, 2),
            Self::Batches => (0.04, 16),
        };
        if rng.random::<f64>() < chance {
            rng.random_range(1..most)
        } else {
            0
        }
    }

    fn requests(self, seed: u64) -> Vec<i64> {
        let mut rng = Pcg64Mcg::seed_from_u64(seed);
        let mut times = Vec::new();
        for minute in 0..MINUTES {
            for _ in 0..self.count(minute, &mut rng) {
                times.push(minute * TICK_MS + rng.random_range(0..TICK_MS));
            }
        }
        times.sort_unstable();
        times
    }
}

/// Mean target and hit rate at each aim in the second of two days.
fn live(times: &[i64], aims: &[f64]) -> Vec<(f64, f64)> {
    let settings = |&aim: &f64| {
        let (startup, tick) = (STARTUP_MS as u64, TICK_MS as u64);
        let millis = Duration::from_millis;
        PoolSettings::for_hit_rate(aim, millis(startup), millis(tick))
    };
    let mut group = PlannerGroup::new(aims.iter().map(settings).collect()).unwrap();
    let mut pools = vec![ShadowPool::new(STARTUP_MS); aims.len()];
    let mut sums = vec![(0.0, 0.0); aims.len()];
    let (mut next, mut asked) = (0, 0.0);
    for minute in 0..MINUTES {
        let now_ms = minute * TICK_MS;
        let counts = 2 * minute > MINUTES;
        while next < times.len() && times[next] < now_ms {
            let at_ms = times[next];
            let outcomes: Vec<_> = pools.iter_mut().map(|pool| pool.claim(at_ms)).collect();
            group.observe(&arrival(at_ms), &outcomes);
            next += 1;
            if counts {
                asked += 1.0;
                for (sum, &outcome) in sums.iter_mut().zip(&outcomes) {
                    sum.1 += f64::from(u8::from(outcome == Outcome::Hit));
                }
            }
        }
        let held: Vec<_> = pools.iter().map(inventory).collect();
        let targets = group.targets(Timestamp::from_millis(now_ms), &held);
        for ((pool, sum), &target) in pools.iter_mut().zip(&mut sums).zip(&targets) {
            pool.resize(now_ms, target);
            if counts {
                sum.0 += f64::from(target);
            }
        }
    }
    let ticks = (MINUTES / 2 - 1) as f64;
    let means = sums.iter().map(|sum| (sum.0 / ticks, sum.1 / asked));
    means.collect()
}

fn arrival(at_ms: i64) -> Arrival {
    Arrival {
        at: Timestamp::from_millis(at_ms),
        user: 0,
        application: 0,
        hold: None,
    }
}

fn inventory(pool: &ShadowPool) -> Inventory {
    Inventory {
        ready: pool.held(),
        ..Inventory::default()
    }
}

/// By how much a mean pool may fall where the aim rises: feedback and the change of policies move each
/// by itself.
const FALL: f64 = 0.03;
/// The least distance that counts, in instances.
const LITTLE: f64 = 0.1;
/// By how much a mean pool may change, and its hit rate, where each request comes up to a second later.
const NOISE: f64 = 0.15;
const NOISE_HITS: f64 = 0.03;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    /// On average over a day.
    #[test]
    fn a_higher_aim_never_keeps_a_smaller_pool(shape in Shape::any(), seed in any::<u64>()) {
        let lives = live(&shape.requests(seed), &[0.6, 0.8, 0.9, 0.97]);
        for pair in lives.windows(2) {
            let (low, high) = (pair[0].0, pair[1].0);
            prop_assert!(high >= low * (1.0 - FALL) - LITTLE, "{:?}: {:?}", shape, lives);
        }
        prop_assert!(lives[3].0 > lives[0].0, "{:?}: {:?}", shape, lives);
        prop_assert!(lives[3].1 > lives[0].1, "{:?}: {:?}", shape, lives);
    }

    #[test]
    fn requests_that_come_a_little_later_change_the_pool_little(
        shape in Shape::any(),
        seed in any::<u64>(),
    ) {
        let requests = shape.requests(seed);
        let mut rng = Pcg64Mcg::seed_from_u64(seed ^ 1);
        let mut noisy: Vec<i64> =
            requests.iter().map(|&at| at + rng.random_range(0..1_000)).collect();
        noisy.sort_unstable();
        let aims = [0.8, 0.95];
        let (plain, noisy) = (live(&requests, &aims), live(&noisy, &aims));
        for (one, two) in plain.iter().zip(&noisy) {
            let apart = (one.0 - two.0).abs();
            prop_assert!(apart <= NOISE * one.0 + LITTLE, "{:?}: {:?} {:?}", shape, plain, noisy);
            prop_assert!((one.1 - two.1).abs() <= NOISE_HITS, "{:?}: {:?} {:?}", shape, plain, noisy);
        }
    }
}
