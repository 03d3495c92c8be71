//! Demand over the lead time at each tick, backwards and forwards: of requests that take an instance.

use super::{PoolTrace, Setting, Walk};

/// The requests in `[tick − lead, tick)` at each tick: what a policy may know.
pub(crate) fn trailing_demand(pool: &PoolTrace, setting: &Setting) -> Vec<u32> {
    let lead_ms = setting.lead_time().as_millis() as i64;
    counts_between(pool, setting, -lead_ms, 0)
}

/// The requests in `[tick, tick + lead)` at each tick: what only a clairvoyant knows.
pub(crate) fn coming_demand(pool: &PoolTrace, setting: &Setting) -> Vec<u32> {
    let lead_ms = setting.lead_time().as_millis() as i64;
    counts_between(pool, setting, 0, lead_ms)
}

fn counts_between(pool: &PoolTrace, setting: &Setting, since_ms: i64, until_ms: i64) -> Vec<u32> {
    let times = pool.demand_ms();
    let (mut left, mut come) = (times.walk(), times.walk());
    let (mut first, mut last) = (0, 0);
    setting
        .ticks_ms()
        .map(|tick_ms| {
            first += skip_before(&mut left, tick_ms + since_ms);
            last += skip_before(&mut come, tick_ms + until_ms);
            last - first
        })
        .collect()
}

/// Walks past the times before `bound_ms`, and says how many they were.
fn skip_before(times: &mut Walk<'_>, bound_ms: i64) -> u32 {
    let mut skipped = 0;
    while times.peek().is_some_and(|at_ms| at_ms < bound_ms) {
        times.next();
        skipped += 1;
    }
    skipped
}
