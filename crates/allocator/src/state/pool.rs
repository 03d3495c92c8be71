//! How a pool's record changes.

use std::{collections::BTreeMap, sync::Arc};

use foreshadow_types::{EntityId, Timestamp};

use super::{Pool, reserved};
use crate::{PoolPlan, PoolRecord, PoolSpec};

/// Weight of the newest interval in the running mean of the time between ends of leases.
const TURNOVER_WEIGHT: u64 = 8;

impl Pool {
    pub(super) fn adopt(&mut self, plan: &PoolPlan) {
        self.record.target = plan.target.0;
        self.record.reservations = plan
            .reservations
            .iter()
            .map(|reservation| (reservation.entity.clone(), reservation.count.0))
            .collect();
        self.record
            .predicted_demand
            .clone_from(&plan.predicted_demand);
        self.reserved = reserved(&self.record);
    }

    pub(super) fn take_reservation(&mut self, entity: &EntityId) {
        let Some(count) = self.record.reservations.get_mut(entity) else {
            return;
        };
        *count = count.saturating_sub(1);
        if *count == 0 {
            self.record.reservations.remove(entity);
        }
        self.reserved = self.reserved.saturating_sub(1);
    }
}

impl PoolRecord {
    /// A pool without instances, plan or past.
    pub fn new(spec: Arc<PoolSpec>) -> Self {
        Self {
            spec,
            retired: false,
            target: 0,
            reservations: BTreeMap::new(),
            predicted_demand: Vec::new(),
            startups_ms: Vec::new(),
            turnover_us: 0,
            last_end: None,
            failed_starts: 0,
            failed_starts_in_a_row: 0,
            starts_blocked_until: None,
        }
    }

    pub(super) fn turn_over(&mut self, at: Timestamp) {
        if let Some(last) = self.last_end {
            let passed_us = at.since(last).as_micros().min(u64::MAX.into()) as u64;
            self.turnover_us = if self.turnover_us == 0 {
                passed_us
            } else {
                self.turnover_us - self.turnover_us / TURNOVER_WEIGHT + passed_us / TURNOVER_WEIGHT
            };
        }
        self.last_end = Some(at);
    }
}
