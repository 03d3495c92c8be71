//! What of a pool needs a look.

use std::{cmp::Reverse, collections::BTreeSet, time::Duration};

use foreshadow_api::v1::{self, pool_status::Alert};
use foreshadow_engine::{EngineHandle, GroupKind, PoolView};
use foreshadow_types::Timestamp;

/// Ticks after which a plan is stale.
const STALE_TICKS: u32 = 10;
/// How far the hit rate may be below its aim.
const HIT_RATE_MARGIN: f64 = 0.05;
/// Requests without which a hit rate says nothing.
const LEAST_REQUESTS: u64 = 20;
/// How long a drift is shown.
const DRIFT_SHOWN: Duration = Duration::from_hours(24);

/// What is looked at beside the pools themselves.
#[derive(Debug, Default)]
pub(crate) struct Look {
    stale: bool,
    drifted: BTreeSet<String>,
}

impl Look {
    pub(crate) fn at(engine: &EngineHandle, now: Timestamp) -> Self {
        let (tick, _) = engine.cadence();
        let groups = engine.adaptation().into_iter();
        let drifted = groups.filter(|group| {
            let lately = group.drifted_at.is_some_and(|at| at + DRIFT_SHOWN > now);
            group.kind == GroupKind::Pool && lately
        });
        Self {
            stale: !tick.is_zero() && engine.plan_age() > tick * STALE_TICKS,
            drifted: drifted.map(|group| group.name).collect(),
        }
    }

    /// What needs a look, the gravest first.
    pub(crate) fn alerts(&self, view: &PoolView) -> Vec<Alert> {
        let status = &view.status;
        let low = |aim: f64| {
            let lately = view.record.hit_rate;
            let lately = lately.filter(|_| view.outcomes.requests() >= LEAST_REQUESTS);
            lately.is_some_and(|rate| rate < aim - HIT_RATE_MARGIN)
        };
        let all = [
            (Alert::StartsFail, view.record.starts_fail),
            (Alert::Waiting, status.queued > 0),
            (
                Alert::BelowTarget,
                status.ready + status.starting < status.target,
            ),
            (Alert::HitRateLow, view.target_hit_rate.is_some_and(low)),
            (Alert::PlanStale, self.stale),
            (Alert::Drifted, self.drifted.contains(status.name.as_str())),
        ];
        let found = all.into_iter().filter(|(_, holds)| *holds);
        found.map(|(alert, _)| alert).collect()
    }
}

/// What pools are ordered by: those with the gravest alerts first, among them those where most wait.
pub(crate) fn urgency(alert: Option<i32>, queued: u32) -> (i32, Reverse<u32>) {
    (alert.unwrap_or(i32::MAX), Reverse(queued))
}

/// Puts pools in trouble first.
pub(crate) fn sort_by_urgency(pools: &mut [v1::PoolStatus]) {
    pools.sort_by(|a, b| {
        let key = |pool: &v1::PoolStatus| urgency(pool.alerts.first().copied(), pool.queued);
        key(a).cmp(&key(b)).then_with(|| a.pool.cmp(&b.pool))
    });
}
