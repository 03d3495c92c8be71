//! What is told of a pool's past: how much was asked of it, and what its policy would have given at
//! other prices.

use std::time::Duration;

use foreshadow_planner::{Outcome, PoolPlan, Reason, TradeOff};
use foreshadow_types::Timestamp;

use super::{Past, PlannedPool};
use crate::views::{DemandStep, PoolRecord};

impl PlannedPool {
    /// How it fares, as its latest plan knows.
    pub(in crate::planning) fn record(&self, plan: &PoolPlan) -> PoolRecord {
        PoolRecord {
            starts_fail: self.planner.starts_fail(),
            hit_rate: plan.reasons.iter().find_map(achieved),
            beside: plan.beside,
            idle: self.idle,
        }
    }

    /// When the requests begin that are remembered.
    pub(in crate::planning) fn known_from(&self) -> Option<Timestamp> {
        self.remembered.begin()
    }

    /// The requests of so many steps from a moment on.
    pub(in crate::planning) fn demand(
        &self,
        from: Timestamp,
        step: Duration,
        steps: usize,
    ) -> Vec<DemandStep> {
        let mut counted = vec![DemandStep::default(); steps];
        let step_ms = (step.as_millis() as i64).max(1);
        for (arrival, past) in self.remembered.since(from) {
            let passed = (arrival.at.as_millis() - from.as_millis()) / step_ms;
            let Some(one) = counted.get_mut(passed.max(0) as usize) else {
                break;
            };
            one.requests += 1;
            one.waited += u32::from(match past {
                Past::Unknown => false,
                Past::Served(fared) | Past::Merged(fared) => fared.outcome != Outcome::Hit,
            });
        }
        counted
    }

    /// What each price would have given on recent requests, from the fewest idle instances to the most.
    pub(in crate::planning) fn trade_off(&self) -> Vec<TradeOff> {
        let mut curve = self.planner.trade_off();
        curve.sort_by(|a, b| a.idle.total_cmp(&b.idle));
        curve
    }
}

/// The hit rate of lately, if this is what the plan says of it.
fn achieved(reason: &Reason) -> Option<f64> {
    if let Reason::Feedback { achieved, .. } = reason {
        *achieved
    } else {
        None
    }
}
