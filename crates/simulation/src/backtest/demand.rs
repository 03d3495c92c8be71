//! Demand over the lead time at each tick, backwards and forwards: of requests that take an instance.

use super::{PoolTrace, Setting, Times};

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
    let (mut first, mut last) = (0, 0);
    setting
        .ticks_ms()
        .map(|tick_ms| {
            first = next_from(times, first, tick_ms + since_ms);
            last = next_from(times, last, tick_ms + until_ms);
            (last - first) as u32
        })
        .collect()
}

/// The first time from `index` on that is not before `bound_ms`, in time proportional to how far it is.
fn next_from(times: &Times, mut index: usize, bound_ms: i64) -> usize {
    while times.get(index).is_some_and(|at_ms| at_ms < bound_ms) {
        index += 1;
    }
    index
}
