//! Deadlines that have come.

use foreshadow_types::{AllocationId, InstanceId, Timestamp};

use crate::{AllocationState, Allocator, Binding, Effect, EventKind, Phase, StopCause};

impl Allocator {
    pub(crate) fn allocation_due(&mut self, id: AllocationId, now: Timestamp) {
        let Some(alloc) = self.state.allocations.get(&id) else {
            return;
        };
        match alloc.record.binding {
            Binding::Queued { .. } | Binding::Joined { .. } => {
                self.end(id, AllocationState::Rejected, now);
            }
            Binding::Granted { .. } => self.end(id, AllocationState::Expired, now),
            Binding::Booked { .. } => self.booking_due(id, now),
            Binding::Ended { .. } => {}
        }
    }

    pub(crate) fn instance_due(&mut self, id: InstanceId, now: Timestamp) {
        let Some(instance) = self.state.instances.get(&id) else {
            return;
        };
        match instance.record.phase {
            Phase::Starting { .. } | Phase::Resetting { .. } => self.fail(id, now),
            Phase::Ready { .. } => self.stop(id, StopCause::Replaced, now),
            Phase::Stopping { .. } => self.stop_again(id, now),
        }
    }

    /// The stop was not confirmed: it is asked for again.
    fn stop_again(&mut self, id: InstanceId, now: Timestamp) {
        let instance = &self.state.instances[&id];
        let spec = self.state.pool(instance.pool).spec();
        let (pool, retry_at) = (instance.record.pool.clone(), now + spec.stop_timeout);
        let cause = StopCause::Replaced;
        self.decide(
            now,
            EventKind::InstanceStopping {
                instance: id,
                cause,
                retry_at,
            },
        );
        self.effects.push_back(Effect::Stop { instance: id, pool });
    }
}
