//! Which live allocations each user has.

use std::collections::{BTreeMap, BTreeSet};

use foreshadow_allocator::{Allocator, Event, EventKind};
use foreshadow_types::{AllocationId, Timestamp, UserId};

/// The live allocations of each user, kept up by the events.
#[derive(Debug, Default)]
pub(super) struct UserIndex(BTreeMap<UserId, BTreeSet<AllocationId>>);

impl UserIndex {
    pub(super) fn note(&mut self, event: &Event, allocator: &Allocator, now: Timestamp) {
        match &event.kind {
            EventKind::AllocationCreated(record) | EventKind::AllocationRestored(record) => {
                if let Some(user) = record.request.user()
                    && record.binding.state().is_live()
                {
                    self.0.entry(user.clone()).or_default().insert(record.id);
                }
            }
            EventKind::AllocationEnded { id, .. } => {
                let user = allocator.allocation(*id, now).and_then(|ended| ended.user);
                if let Some(user) = user {
                    self.forget(&user, *id);
                }
            }
            EventKind::PoolDefined(_)
            | EventKind::PoolRetired(_)
            | EventKind::PoolRemoved(_)
            | EventKind::TenantLimited { .. }
            | EventKind::PlanAdopted(_)
            | EventKind::ReservationTaken { .. }
            | EventKind::StartsBlocked { .. }
            | EventKind::InstanceStarted { .. }
            | EventKind::InstanceReady { .. }
            | EventKind::InstanceResetting { .. }
            | EventKind::InstanceDraining { .. }
            | EventKind::InstanceStopping { .. }
            | EventKind::InstanceGone { .. }
            | EventKind::AllocationBound { .. }
            | EventKind::LeaseRenewed { .. }
            | EventKind::CountersRestored(_)
            | EventKind::PoolRestored(_)
            | EventKind::InstanceRestored(_) => {}
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
