//! How long a wait is expected to take, from what is known now.

use std::time::Duration;

use foreshadow_types::{InstanceId, Timestamp};

use crate::{
    Allocator, Phase, Recycle,
    state::{Pool, PoolIx},
};

/// No retry is asked for sooner.
const SOONEST: Duration = Duration::from_millis(50);
/// No estimate is longer.
const LONGEST: Duration = Duration::from_hours(24);

impl Allocator {
    /// How long an instance will still be starting.
    pub(crate) fn remaining_start(&self, id: InstanceId, now: Timestamp) -> Duration {
        let Some(instance) = self.state.instances.get(&id) else {
            return Duration::ZERO;
        };
        let pool = self.state.pool(instance.pool);
        let assumed = pool.spec().startup;
        match instance.record.phase {
            Phase::Starting { deadline } => {
                let elapsed = now.since(instance.record.requested_at);
                pool.startups
                    .remaining(elapsed, assumed)
                    .min(deadline.since(now))
            }
            Phase::Resetting { deadline } => pool
                .startups
                .quantile(0.5, assumed)
                .min(deadline.since(now)),
            Phase::Ready { .. } | Phase::Stopping { .. } => Duration::ZERO,
        }
    }

    /// How long the request at this place of the queue (from 1) will wait: what is stopping makes
    /// room for the first, the others wait for leases to end, at the pace of late; then an
    /// instance has to be renewed.
    pub(crate) fn wait_at(&self, ix: PoolIx, position: u32, now: Timestamp) -> Duration {
        let pool = self.state.pool(ix);
        let leases_to_end = position.saturating_sub(pool.stopping);
        let for_leases = turnover(pool) * leases_to_end;
        let paused = pool
            .record
            .starts_blocked_until
            .map_or(Duration::ZERO, |at| at.since(now));
        let renewal = match pool.spec().recycle {
            Recycle::Reuse => Duration::ZERO,
            Recycle::Delete | Recycle::Reset => pool.startups.quantile(0.5, pool.spec().startup),
        };
        for_leases
            .max(paused)
            .saturating_add(renewal)
            .clamp(SOONEST, LONGEST)
    }

    /// How long until an instance is warm that nobody has asked for yet.
    pub(crate) fn wait_for_warm(&self, ix: PoolIx, now: Timestamp) -> Duration {
        let pool = self.state.pool(ix);
        match pool.starting.first() {
            Some(&id) => self.remaining_start(id, now).max(SOONEST),
            None => self.wait_at(ix, pool.queue.len() + 1, now),
        }
    }

    /// How long between two ends of leases of a tenant with this many, by its share of the pool.
    pub(crate) fn tenant_turnover(&self, ix: PoolIx, live: u32) -> Duration {
        let pool = self.state.pool(ix);
        let others = pool.held.max(live).max(1);
        (turnover(pool) * others / live.max(1)).clamp(SOONEST, LONGEST)
    }
}

/// The mean time between two ends of leases; without any seen yet, as if leases ran to their end
/// evenly spread.
fn turnover(pool: &Pool) -> Duration {
    match pool.record.turnover_us {
        0 => pool.spec().lease_duration / pool.held.max(1),
        seen_us => Duration::from_micros(seen_us.min(LONGEST.as_micros() as u64)),
    }
}
