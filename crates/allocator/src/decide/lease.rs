//! What a holder may do with an allocation.

use std::time::Duration;

use foreshadow_types::{AllocationId, FencingToken, InstanceId, Timestamp};

use crate::{
    AllocationRecord, AllocationState, Allocator, AllocatorError, Binding, Effect, EventKind,
    MAX_SPAN,
};

impl Allocator {
    pub(crate) fn release(
        &mut self,
        id: AllocationId,
        token: FencingToken,
        now: Timestamp,
    ) -> Result<AllocationId, AllocatorError> {
        let record = self.holder(id, token)?;
        match record.binding {
            Binding::Granted { .. } | Binding::Joined { .. } | Binding::Booked { .. } => {
                self.end(id, AllocationState::Released, now);
                Ok(id)
            }
            // Said twice, meant once.
            Binding::Ended {
                state: AllocationState::Released,
                ..
            } => Ok(id),
            Binding::Ended { .. } | Binding::Queued { .. } => Err(wrong_state(record, "released")),
        }
    }

    pub(crate) fn renew(
        &mut self,
        id: AllocationId,
        token: FencingToken,
        duration: Option<Duration>,
        now: Timestamp,
    ) -> Result<AllocationId, AllocatorError> {
        if duration.is_some_and(|asked| asked.is_zero() || asked > MAX_SPAN) {
            return Err(AllocatorError::BadLeaseDuration);
        }
        let record = self.holder(id, token)?;
        let Binding::Granted { expires_at, .. } = record.binding else {
            return Err(wrong_state(record, "renewed"));
        };
        if expires_at <= now {
            let state = AllocationState::Expired;
            return Err(AllocatorError::WrongState {
                id,
                state,
                wanted: "renewed",
            });
        }
        let lasts = duration
            .or(record.request.lease_duration())
            .unwrap_or_else(|| {
                let pool = self.state.pool_named(&record.pool);
                pool.map_or(MAX_SPAN, |ix| self.state.pool(ix).spec().lease_duration)
            });
        self.decide(
            now,
            EventKind::LeaseRenewed {
                id,
                expires_at: now + lasts,
            },
        );
        Ok(id)
    }

    pub(crate) fn cancel(
        &mut self,
        id: AllocationId,
        now: Timestamp,
    ) -> Result<AllocationId, AllocatorError> {
        let alloc = self.state.allocations.get(&id);
        let record = &alloc.ok_or(AllocatorError::UnknownAllocation(id))?.record;
        match record.binding {
            Binding::Queued { .. } | Binding::Booked { .. } | Binding::Joined { .. } => {
                self.end(id, AllocationState::Cancelled, now);
                Ok(id)
            }
            Binding::Ended {
                state: AllocationState::Cancelled,
                ..
            } => Ok(id),
            Binding::Ended { .. } | Binding::Granted { .. } => {
                Err(wrong_state(record, "cancelled"))
            }
        }
    }

    /// Whether this token is that of the present holders of the instance: what the resource's side
    /// asks before it serves a caller.
    ///
    /// # Errors
    /// [`AllocatorError::UnknownInstance`] if there is none or nobody holds it,
    /// [`AllocatorError::StaleToken`] if others hold it now.
    pub fn check_token(
        &self,
        instance: InstanceId,
        token: FencingToken,
    ) -> Result<(), AllocatorError> {
        let unknown = AllocatorError::UnknownInstance(instance);
        let Some(known) = self.state.instances.get(&instance) else {
            return Err(unknown);
        };
        let Some(id) = known.holders.first() else {
            return Err(unknown);
        };
        if known.record.token == token {
            return Ok(());
        }
        Err(AllocatorError::StaleToken {
            id,
            presented: token,
        })
    }

    /// The allocation, if the token is that of its hold.
    fn holder(
        &self,
        id: AllocationId,
        token: FencingToken,
    ) -> Result<&AllocationRecord, AllocatorError> {
        let alloc = self.state.allocations.get(&id);
        let record = &alloc.ok_or(AllocatorError::UnknownAllocation(id))?.record;
        let hold = match record.binding {
            Binding::Ended { hold, .. } => hold,
            Binding::Queued { .. }
            | Binding::Booked { .. }
            | Binding::Joined { .. }
            | Binding::Granted { .. } => record.binding.hold(),
        };
        if hold.is_some_and(|hold| hold.token == token) {
            return Ok(record);
        }
        Err(AllocatorError::StaleToken {
            id,
            presented: token,
        })
    }

    /// Ends an allocation; its instance is seen to when the pool is settled.
    pub(super) fn end(&mut self, id: AllocationId, state: AllocationState, now: Timestamp) {
        if let Some(alloc) = self.state.allocations.get(&id) {
            self.touched.insert(alloc.pool);
        }
        self.decide(now, EventKind::AllocationEnded { id, state });
        self.effects.push_back(Effect::Notify { allocation: id });
        self.join_waiting(id, now);
    }
}

fn wrong_state(record: &AllocationRecord, wanted: &'static str) -> AllocatorError {
    AllocatorError::WrongState {
        id: record.id,
        state: record.binding.state(),
        wanted,
    }
}
