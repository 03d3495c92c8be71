//! Falling back on a safe policy while nothing predicts the demand, and coming back.

use std::time::Duration;

use foreshadow_types::Timestamp;
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;

use crate::{Arrival, Inventory, KnownDemand, Mode, PoolPlanner, PoolSettings, replay::ShadowPool};

const TICK_MS: i64 = 60_000;
const STARTUP_MS: i64 = 120_000;
const MINUTES_A_DAY: i64 = 1440;
const DAYS: i64 = 11;
/// The days without a rhythm.
const CHAOS: std::ops::Range<i64> = 4..8;

/// Twenty requests on the hour, but for some days as `chaos` says of each minute.
fn requests(seed: u64, chaos: impl Fn(&mut Pcg64Mcg) -> i64) -> Vec<i64> {
    let mut rng = Pcg64Mcg::seed_from_u64(seed);
    let mut times = Vec::new();
    for minute in 0..DAYS * MINUTES_A_DAY {
        let count = if CHAOS.contains(&(minute / MINUTES_A_DAY)) {
            chaos(&mut rng)
        } else {
            20 * i64::from(minute % 60 == 0)
        };
        times.extend((0..count).map(|n| minute * TICK_MS + n * 3_000));
    }
    times.sort_unstable();
    times
}

/// Plans of a day.
#[derive(Debug, Clone, Copy, Default)]
struct Day {
    /// That follow the safe policy looked for.
    safe: u32,
    /// Those of them that say that the forecast was dearer.
    explained: u32,
    /// That follow the forecast.
    forecast: u32,
}

fn plans_by_day(times: &[i64], safe: Mode) -> Vec<Day> {
    let (startup, tick) = (STARTUP_MS as u64, TICK_MS as u64);
    let millis = Duration::from_millis;
    let settings = PoolSettings::for_hit_rate(0.9, millis(startup), millis(tick));
    let mut planner = PoolPlanner::new(settings).unwrap();
    let mut pool = ShadowPool::new(STARTUP_MS);
    let mut next = 0;
    let mut days = vec![Day::default(); DAYS as usize];
    for minute in 0..DAYS * MINUTES_A_DAY {
        let now_ms = minute * TICK_MS;
        while next < times.len() && times[next] < now_ms {
            let arrival = Arrival {
                at: Timestamp::from_millis(times[next]),
                user: 0,
                application: 0,
                hold: None,
            };
            planner.observe(&arrival, pool.claim(times[next]));
            next += 1;
        }
        let held = Inventory {
            ready: pool.held(),
            ..Inventory::default()
        };
        let now = Timestamp::from_millis(now_ms);
        let plan = planner.plan(now, &held, &KnownDemand::default());
        pool.resize(now_ms, plan.target);
        let day = &mut days[(minute / MINUTES_A_DAY) as usize];
        day.safe += u32::from(plan.mode == safe);
        day.forecast += u32::from(plan.mode == Mode::Forecast);
        let doubted = plan.confidence().is_some_and(|share| share < 0.0);
        day.explained += u32::from(plan.mode == safe && doubted);
    }
    days
}

/// That plans follow `safe` for at least `ticks` ticks of the days without a rhythm, and the forecast
/// before and from a day after them on.
#[track_caller]
fn falls_back_and_returns(times: &[i64], safe: Mode, ticks: u32) {
    let days = plans_by_day(times, safe);
    let sum = |range: std::ops::Range<i64>, count: fn(&Day) -> u32| {
        days[range.start as usize..range.end as usize]
            .iter()
            .map(count)
            .sum::<u32>()
    };
    for rhythm in [1..CHAOS.start, CHAOS.end + 1..DAYS] {
        let ticks = (rhythm.end - rhythm.start) * MINUTES_A_DAY;
        let forecast = i64::from(sum(rhythm, |day| day.forecast));
        assert_eq!(forecast, ticks, "{days:?}");
    }
    let chosen = sum(CHAOS, |day| day.safe);
    let explained = sum(CHAOS, |day| day.explained);
    assert!(chosen >= ticks, "{days:?}");
    assert!(10 * explained > 9 * chosen, "plans say why: {days:?}");
}

#[test]
fn batches_that_nothing_foretells_are_met_by_a_constant_pool_until_the_rhythm_returns() {
    let batch = |rng: &mut Pcg64Mcg| 8 * i64::from(rng.random::<f64>() < 0.1);
    falls_back_and_returns(&requests(1, batch), Mode::Static, 2_000);
}

#[test]
fn noise_is_met_by_following_recent_demand_until_the_rhythm_returns() {
    let noise = |rng: &mut Pcg64Mcg| rng.random_range(0..4);
    falls_back_and_returns(&requests(3, noise), Mode::Reactive, 2_000);
}
