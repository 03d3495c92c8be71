//! Demand over the lead time at each tick, backwards and forwards: of requests that take an instance.

use super::{PoolTrace, Setting};

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
            first += times[first..].partition_point_near(tick_ms + since_ms);
            last += times[last..].partition_point_near(tick_ms + until_ms);
            (last - first) as u32
        })
        .collect()
}

trait NearSearch {
    /// How many leading times are before `bound_ms`, in time proportional to the answer.
    fn partition_point_near(&self, bound_ms: i64) -> usize;
}

impl NearSearch for [i64] {
    fn partition_point_near(&self, bound_ms: i64) -> usize {
        self.iter().take_while(|&&at| at < bound_ms).count()
    }
}
