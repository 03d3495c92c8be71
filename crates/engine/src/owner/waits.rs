//! How far estimated waits are off.

use std::collections::BTreeMap;

use foreshadow_allocator::{Allocation, Binding, Event, EventKind};
use foreshadow_types::{AllocationId, Timestamp};

use crate::latency::Latency;

/// When the requests that wait should be granted, as they were told first.
#[derive(Debug, Default)]
pub(super) struct Waits(BTreeMap<AllocationId, Timestamp>);

impl Waits {
    /// A request was answered.
    pub(super) fn told(&mut self, allocation: &Allocation, now: Timestamp) {
        if let Some(wait) = allocation.estimated_wait
            && allocation.state.waits()
            && allocation.available_at <= now
        {
            self.0.entry(allocation.id).or_insert(now + wait);
        }
    }

    /// What was decided: a grant shows how far the estimate was off.
    pub(super) fn note(&mut self, event: &Event, errors: &Latency) {
        if self.0.is_empty() {
            return;
        }
        if let EventKind::AllocationEnded { id, .. } = &event.kind {
            self.0.remove(id);
        }
        if let EventKind::AllocationBound {
            id,
            binding: Binding::Granted { .. },
        } = &event.kind
            && let Some(due) = self.0.remove(id)
        {
            errors.record(event.at.since(due).max(due.since(event.at)));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use foreshadow_allocator::AllocationState;

    use super::{
        super::samples::{allocation, granted},
        *,
    };

    #[test]
    fn an_estimate_that_was_short_and_one_that_was_long_are_both_off() {
        let (mut waits, errors) = (Waits::default(), Latency::default());
        for id in 1..=2 {
            let told = Allocation {
                estimated_wait: Some(Duration::from_secs(4)),
                ..allocation(id, AllocationState::Queued)
            };
            waits.told(&told, told.created_at);
        }
        waits.note(&granted(1, 3_000), &errors);
        waits.note(&granted(2, 5_000), &errors);
        waits.note(&granted(2, 9_000), &errors);
        let seen = errors.snapshot();
        assert_eq!((seen.count, seen.sum_s), (2, 2.0));
    }
}
