//! Requests for a time ahead.

use std::{sync::Arc, time::Duration};

use foreshadow_types::{AllocationId, InstanceId, Timestamp};

use super::place::{Search, Spot};
use crate::{
    AllocationRequest, AllocationState, Allocator, AllocatorError, Binding, Effect, EventKind,
    Hold, Served,
    state::{Instance, Pool, PoolIx, available_at},
};

/// An instance is set aside this much earlier than the slow start-up time asks for.
const PREPARE_MARGIN: Duration = Duration::from_secs(1);

impl Allocator {
    /// Books the request where the pool is expected to cover it, else queues it for its time.
    pub(super) fn book(
        &mut self,
        request: Arc<AllocationRequest>,
        candidates: &[PoolIx],
        now: Timestamp,
    ) -> Result<AllocationId, AllocatorError> {
        let due = request.availability_time().unwrap_or(now);
        let covered = candidates.iter().copied().find(|&ix| {
            let pool = self.state.pool(ix);
            covers(pool, due)
                && pool.waiting() < pool.spec().max_queue
                && pool.warm.may_ask(request.tenant())
        });
        let ix = match covered {
            Some(ix) => ix,
            None => self.with_room_to_wait(&request, candidates, now)?,
        };
        let pool = self.state.pool(ix);
        let lead = pool.startups.slow(pool.spec().startup) + PREPARE_MARGIN;
        let binding = Binding::Booked {
            firm: covered.is_some(),
            prepare_at: (due - lead).max(now),
            promised: None,
        };
        let record = self.record(request, ix, Served::Nothing, binding, now);
        Ok(self.create(record, now))
    }

    /// A booking's preparation or its time has come.
    pub(super) fn booking_due(&mut self, id: AllocationId, now: Timestamp) {
        let Some(alloc) = self.state.allocations.get(&id) else {
            return;
        };
        let (ix, due) = (alloc.pool, available_at(&alloc.record));
        self.touched.insert(ix);
        if due > now {
            self.prepare(id, ix, due, now);
        } else {
            self.activate(id, ix, now);
        }
    }

    /// Sets an instance aside, or leaves it to the queue when the time comes.
    fn prepare(&mut self, id: AllocationId, ix: PoolIx, due: Timestamp, now: Timestamp) {
        let record = &self.state.allocations[&id].record;
        let Binding::Booked {
            firm,
            prepare_at,
            promised: None,
        } = record.binding
        else {
            return;
        };
        let request = record.request.clone();
        // A promise is of a whole instance: sharing is looked at when the time has come.
        let search = Search {
            request: &request,
            candidates: &[ix],
            at_once: false,
            waits: true,
            whole: true,
        };
        if let Some(spot) = self.find_spot(search, now) {
            self.promise(id, firm, prepare_at, &spot, now);
        } else {
            // From now on it is one of those who wait for an instance of the pool.
            let binding = Binding::Booked {
                firm,
                prepare_at: due,
                promised: None,
            };
            self.decide(now, EventKind::AllocationBound { id, binding });
        }
    }

    /// Sets the instance at the spot aside for a booking.
    pub(super) fn promise(
        &mut self,
        id: AllocationId,
        firm: bool,
        prepare_at: Timestamp,
        spot: &Spot,
        now: Timestamp,
    ) {
        let binding = Binding::Booked {
            firm,
            prepare_at,
            promised: Some(self.take(spot, now)),
        };
        self.decide(now, EventKind::AllocationBound { id, binding });
    }

    fn activate(&mut self, id: AllocationId, ix: PoolIx, now: Timestamp) {
        let record = self.state.allocations[&id].record.clone();
        let until = self.gives_up_at(&record.request, ix, record.created_at);
        // After a long pause of the server its whole wait may have passed.
        let at_once = until <= now;
        let promised = record.binding.hold();
        let usable = |hold: &Hold| !at_once || self.is_ready(hold.instance);
        if let Some(hold) = promised.filter(usable) {
            let binding = self.binding_to(hold, &record, until, now);
            self.decide(now, EventKind::AllocationBound { id, binding });
            self.effects.push_back(Effect::Notify { allocation: id });
            self.join_waiting(id, now);
            return;
        }
        if promised.is_some() {
            self.end(id, AllocationState::Rejected, now);
            return;
        }
        let search = Search {
            request: &record.request,
            candidates: &[ix],
            at_once,
            waits: true,
            whole: false,
        };
        if let Some(spot) = self.find_spot(search, now) {
            self.bind(id, &spot, until, now);
            return;
        }
        if at_once {
            self.end(id, AllocationState::Rejected, now);
            return;
        }
        let round = self.turn_of(&record, ix);
        let binding = Binding::Queued { round, until };
        self.decide(now, EventKind::AllocationBound { id, binding });
        self.effects.push_back(Effect::Notify { allocation: id });
    }
}

impl Allocator {
    fn is_ready(&self, id: InstanceId) -> bool {
        let instance = self.state.instances.get(&id);
        instance.is_some_and(Instance::is_ready)
    }
}

/// Whether what is warm or starting covers the demand predicted until then, the bookings until
/// then, what is reserved, and one more.
fn covers(pool: &Pool, due: Timestamp) -> bool {
    let predicted = predicted_until(&pool.record.predicted_demand, due);
    let booked = pool.firm.rank(&(due, AllocationId(u64::MAX)));
    let spoken_for = predicted
        .saturating_add(booked)
        .saturating_add(pool.spoken_for());
    pool.free() > spoken_for
}

/// Demand predicted up to a time: that of the first point at or after it, or the last there is.
fn predicted_until(curve: &[(Timestamp, u32)], due: Timestamp) -> u32 {
    let after = curve.partition_point(|&(at, _)| at < due);
    let point = curve.get(after).or(curve.last());
    point.map_or(0, |&(_, demand)| demand)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn demand_between_two_points_is_taken_as_that_of_the_later() {
        let at = Timestamp::from_millis;
        let curve = [(at(10), 1), (at(20), 5)];
        let until = |ms| predicted_until(&curve, at(ms));
        assert_eq!([until(5), until(10), until(11), until(99)], [1, 1, 5, 5]);
        assert_eq!(predicted_until(&[], at(5)), 0);
    }
}
