//! Deleting what the ledger says of a user: the state without them replaces all events so far.

use std::sync::Arc;

use foreshadow_allocator::{AllocationRequest, Event, EventKind, RequestError};
use foreshadow_types::{EntityId, UserId};

use super::{Owner, ledger_failed};
use crate::error::EngineError;

impl Owner {
    /// Leaves a user out of all allocations, live ones included, which stay with their holder; how
    /// many there were. What was decided before is durable.
    pub(super) fn forget(&mut self, user: &UserId) -> Result<u64, EngineError> {
        let mut events = self.allocator.snapshot();
        let unusable = |error: &dyn std::fmt::Display| {
            EngineError::Ledger(format!("a user cannot be left out: {error}"))
        };
        let count = leave_out(&mut events, user).map_err(|error| unusable(&error))?;
        let without = self
            .allocator
            .with_events(events.iter().cloned())
            .map_err(|error| unusable(&error))?;
        self.ledger
            .snapshot(&events)
            .and_then(|()| self.ledger.compact())
            .map_err(|error| ledger_failed(&error))?;
        self.snapshot_events = events.len() as u64;
        self.allocator = without;
        self.users.forget_all(user);
        self.recorder.forget(user);
        Ok(count)
    }
}

fn leave_out(events: &mut [Event], user: &UserId) -> Result<u64, RequestError> {
    let entity = EntityId::from(user);
    let mut count = 0;
    for event in events {
        match &mut event.kind {
            EventKind::AllocationRestored(record) if record.request.user() == Some(user) => {
                record.request = Arc::new(of_nobody(&record.request)?);
                count += 1;
            }
            EventKind::PoolRestored(record) => {
                record.reservations.remove(&entity);
            }
            _ => {}
        }
    }
    Ok(count)
}

fn of_nobody(request: &AllocationRequest) -> Result<AllocationRequest, RequestError> {
    AllocationRequest::builder(request.tenant().clone(), request.target().clone())
        .application(request.application().cloned())
        .priority(request.priority())
        .availability_time(request.availability_time())
        .max_wait(request.max_wait())
        .lease_duration(request.lease_duration())
        .merge_key(request.merge_key().map(|key| &**key))
        .idempotency_key(request.idempotency_key().map(|key| &**key))
        .build()
}
