//! Those who watch allocations.

use std::collections::BTreeMap;

use foreshadow_allocator::{Allocation, Allocator};
use foreshadow_types::{AllocationId, Timestamp};
use tokio::sync::watch;

/// When there are more watched allocations than at the last tidying, those that nobody watches any
/// more are forgotten.
const TIDY_FROM: usize = 1_024;

/// The watched allocations.
#[derive(Debug)]
pub(super) struct Watchers {
    watched: BTreeMap<AllocationId, watch::Sender<Allocation>>,
    tidy_at: usize,
}

impl Default for Watchers {
    fn default() -> Self {
        Self {
            watched: BTreeMap::new(),
            tidy_at: TIDY_FROM,
        }
    }
}

impl Watchers {
    /// A receiver that holds the allocation as it stands; closed if it has ended.
    pub(super) fn watch(&mut self, allocation: Allocation) -> watch::Receiver<Allocation> {
        if !allocation.state.is_live() {
            return watch::channel(allocation).1;
        }
        self.tidy();
        let id = allocation.id;
        let sender = self.watched.entry(id);
        sender
            .or_insert_with(|| watch::Sender::new(allocation))
            .subscribe()
    }

    /// Tells those who watch; after the end they are told no more.
    pub(super) fn notify(&mut self, id: AllocationId, allocator: &Allocator, now: Timestamp) {
        let Some(sender) = self.watched.get(&id) else {
            return;
        };
        let Some(allocation) = allocator.allocation(id, now) else {
            self.watched.remove(&id);
            return;
        };
        let ended = !allocation.state.is_live();
        sender.send_replace(allocation);
        if ended {
            self.watched.remove(&id);
        }
    }

    fn tidy(&mut self) {
        if self.watched.len() < self.tidy_at {
            return;
        }
        self.watched.retain(|_, sender| sender.receiver_count() > 0);
        self.tidy_at = (2 * self.watched.len()).max(TIDY_FROM);
    }
}
