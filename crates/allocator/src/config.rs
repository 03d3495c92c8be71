//! Limits of the allocator as a whole.

use std::time::Duration;

use foreshadow_types::Timestamp;

use crate::{AllocationRecord, PriorityWeights};

/// Limits that hold over all pools.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllocatorConfig {
    /// Live allocations of a tenant that has no limit of its own.
    pub tenant_limit: u32,
    /// How long an idempotency key is remembered at least, unless `max_ended` is reached.
    pub idempotency_window: Duration,
    /// How long an allocation without a key is remembered after its end.
    pub ended_window: Duration,
    /// Most ended allocations remembered; the oldest are forgotten first. Live ones are never
    /// forgotten, nor are their keys.
    pub max_ended: usize,
    /// Most allocations that share an instance by merge key.
    pub max_merged: u32,
    /// How the queue ranks requests.
    pub priorities: PriorityWeights,
    /// Ids of instances and allocations begin above this, so that those of several allocators differ.
    pub numbers_above: u64,
}

impl Default for AllocatorConfig {
    fn default() -> Self {
        Self {
            tenant_limit: 1_000_000,
            idempotency_window: Duration::from_hours(24),
            ended_window: Duration::from_mins(15),
            max_ended: 500_000,
            max_merged: 10_000,
            priorities: PriorityWeights::default(),
            numbers_above: 0,
        }
    }
}

impl AllocatorConfig {
    /// When an allocation that ended at this time is forgotten.
    pub(crate) fn forgets_at(&self, record: &AllocationRecord, ended_at: Timestamp) -> Timestamp {
        let after_end = ended_at + self.ended_window;
        if record.request.idempotency_key().is_none() {
            return after_end;
        }
        after_end.max(record.created_at + self.idempotency_window)
    }
}
