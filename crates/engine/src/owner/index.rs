//! Which live allocations each user has.

use std::collections::{BTreeMap, BTreeSet};

use foreshadow_allocator::{AllocationRecord, Allocator, Event, EventKind};
use foreshadow_types::{AllocationId, UserId};

/// The live allocations of each user, kept up by the events.
#[derive(Debug, Default)]
pub(super) struct UserIndex(BTreeMap<UserId, BTreeSet<AllocationId>>);

impl UserIndex {
    pub(super) fn note(&mut self, event: &Event, allocator: &Allocator) {
        if let EventKind::AllocationCreated(record) = &event.kind {
            self.created(record);
        }
        if let EventKind::AllocationEnded { id, .. } = &event.kind
            && let Some(ended) = allocator.allocation_record(*id)
            && let Some(user) = ended.request.user()
        {
            self.forget(user, *id);
        }
    }

    pub(super) fn created(&mut self, record: &AllocationRecord) {
        if let Some(user) = record.request.user()
            && record.binding.state().is_live()
        {
            self.0.entry(user.clone()).or_default().insert(record.id);
        }
    }

    fn forget(&mut self, user: &UserId, id: AllocationId) {
        if let Some(held) = self.0.get_mut(user) {
            held.remove(&id);
            if held.is_empty() {
                self.0.remove(user);
            }
        }
    }

    pub(super) fn forget_all(&mut self, user: &UserId) {
        self.0.remove(user);
    }

    pub(super) fn of(&self, user: &UserId) -> impl Iterator<Item = AllocationId> + '_ {
        self.0.get(user).into_iter().flatten().copied()
    }
}
