//! Those who watch allocations.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use foreshadow_allocator::{Allocation, AllocationState, Allocator};
use foreshadow_types::{AllocationId, Timestamp};
use tokio::sync::watch;

/// When there are more watched allocations than at the last tidying, those that nobody watches any
/// more are forgotten.
const TIDY_FROM: usize = 1_024;

/// How often those who watch a request in the queue are told how it comes along.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Requests looked at together at the most: others wait meanwhile, and the next look goes on with the
/// rest.
const LOOKED_AT: usize = 1_024;

/// The watched allocations.
#[derive(Debug)]
pub(super) struct Watchers {
    watched: BTreeMap<AllocationId, watch::Sender<Allocation>>,
    tidy_at: usize,
    /// Those that were in the queue when they were last told of.
    queued: BTreeSet<AllocationId>,
    /// When they are looked at next, and after which of them.
    look_at: Timestamp,
    looked_up_to: AllocationId,
}

impl Default for Watchers {
    fn default() -> Self {
        Self {
            watched: BTreeMap::new(),
            tidy_at: TIDY_FROM,
            queued: BTreeSet::new(),
            look_at: Timestamp::from_millis(0),
            looked_up_to: AllocationId(0),
        }
    }
}

impl Watchers {
    /// A receiver that holds the allocation as it stands; closed if it has ended.
    pub(super) fn watch(
        &mut self,
        allocation: Allocation,
        now: Timestamp,
    ) -> watch::Receiver<Allocation> {
        if !allocation.state.is_live() {
            return watch::channel(allocation).1;
        }
        self.tidy();
        self.note(&allocation, now);
        let id = allocation.id;
        let sender = self
            .watched
            .entry(id)
            .or_insert_with(|| watch::Sender::new(allocation.clone()));
        // Others who watch it are told of changes only.
        sender.send_if_modified(|told| {
            *told = allocation;
            false
        });
        sender.subscribe()
    }

    /// Tells those who watch; after the end they are told no more.
    pub(super) fn notify(&mut self, id: AllocationId, allocator: &Allocator, now: Timestamp) {
        if !self.watched.contains_key(&id) {
            return;
        }
        let Some(allocation) = allocator.allocation(id, now) else {
            self.forget(id);
            return;
        };
        self.note(&allocation, now);
        let ended = !allocation.state.is_live();
        if let Some(sender) = self.watched.get(&id) {
            sender.send_replace(allocation);
        }
        if ended {
            self.forget(id);
        }
    }

    /// Once in a while, tells those who watch a request in the queue of its place and its wait, where
    /// these have changed. What is told must be durable.
    pub(super) fn look(&mut self, allocator: &Allocator, now: Timestamp) {
        if self.queued.is_empty() || now < self.look_at {
            return;
        }
        self.look_at = now + LOOK_EVERY;
        for id in self.next_to_look_at() {
            self.looked_up_to = id;
            let sender = self.watched.get(&id);
            let Some(sender) = sender.filter(|sender| sender.receiver_count() > 0) else {
                self.forget(id);
                continue;
            };
            if let Some(present) = allocator.allocation(id, now) {
                sender.send_if_modified(|told| {
                    let tell = comes_along(told, &present);
                    if tell {
                        *told = present;
                    }
                    tell
                });
            }
        }
    }

    /// When [`look`](Self::look) has something to do; never if nobody watches a request in the queue.
    pub(super) fn next_look(&self) -> Option<Timestamp> {
        (!self.queued.is_empty()).then_some(self.look_at)
    }

    /// Those after the last one looked at, from the first again after the last.
    fn next_to_look_at(&self) -> Vec<AllocationId> {
        let after = AllocationId(self.looked_up_to.0.saturating_add(1));
        let rest = self.queued.range(after..);
        let first = self.queued.range(..after);
        rest.chain(first).take(LOOKED_AT).copied().collect()
    }

    fn note(&mut self, allocation: &Allocation, now: Timestamp) {
        if allocation.state != AllocationState::Queued {
            self.queued.remove(&allocation.id);
            return;
        }
        if self.queued.is_empty() {
            self.look_at = now + LOOK_EVERY;
        }
        self.queued.insert(allocation.id);
    }

    fn forget(&mut self, id: AllocationId) {
        self.watched.remove(&id);
        self.queued.remove(&id);
    }

    fn tidy(&mut self) {
        if self.watched.len() < self.tidy_at {
            return;
        }
        self.watched.retain(|_, sender| sender.receiver_count() > 0);
        self.queued.retain(|id| self.watched.contains_key(id));
        self.tidy_at = (2 * self.watched.len()).max(TIDY_FROM);
    }
}

/// Whether a request in the queue has another place, or a wait that differs by more than a tenth: one
/// that only runs down is told of now and then.
fn comes_along(told: &Allocation, present: &Allocation) -> bool {
    let wait = |allocation: &Allocation| allocation.estimated_wait.unwrap_or_default();
    let (before, after) = (wait(told), wait(present));
    told.queue_position != present.queue_position || before.abs_diff(after) > before.max(after) / 10
}

#[cfg(test)]
mod tests {
    use super::{super::samples::allocation, *};

    fn queued(position: u32, wait_s: u64) -> Allocation {
        Allocation {
            queue_position: Some(position),
            estimated_wait: Some(Duration::from_secs(wait_s)),
            ..allocation(1, AllocationState::Queued)
        }
    }

    #[test]
    fn a_place_and_a_wait_that_differ_are_told_and_a_wait_that_runs_down_only_now_and_then() {
        let told = queued(3, 100);
        assert!(!comes_along(&told, &queued(3, 100)));
        assert!(!comes_along(&told, &queued(3, 91)));
        assert!(comes_along(&told, &queued(3, 85)));
        assert!(comes_along(&told, &queued(3, 120)));
        assert!(comes_along(&told, &queued(2, 100)));
    }

    #[test]
    fn many_are_looked_at_in_turns() {
        let now = Timestamp::from_millis(0);
        let mut watchers = Watchers::default();
        let count = LOOKED_AT as u64 + 10;
        let watches: Vec<_> = (1..=count)
            .map(|id| watchers.watch(allocation(id, AllocationState::Queued), now))
            .collect();
        assert_eq!(watchers.next_look(), Some(now + LOOK_EVERY));
        let first = watchers.next_to_look_at();
        assert_eq!((first.len(), first[0]), (LOOKED_AT, AllocationId(1)));
        watchers.looked_up_to = first[LOOKED_AT - 1];
        let next = watchers.next_to_look_at();
        assert_eq!(next[0], AllocationId(LOOKED_AT as u64 + 1));
        assert_eq!(next[10], AllocationId(1), "and again from the first");
        drop(watches);
        let granted = allocation(1, AllocationState::Granted);
        watchers.note(&granted, now);
        assert!(!watchers.queued.contains(&AllocationId(1)));
    }
}
