//! What follows from every change: used instances are recycled, the queue is served, and the pool
//! is brought to its target.

use foreshadow_types::{AllocationId, InstanceId, TenantId, Timestamp};

use super::place::{Search, Spot};
use crate::{
    Allocator, Binding, Effect, EventKind, HoldMode, Phase, Recycle, StopCause, check_invariant,
    state::{Place, PoolIx, WaitKey},
};

/// How far down the queue is looked for a request that can be served when the first cannot,
/// because what is free is reserved, or its tenant has all that it may have.
const LOOK_DOWN: u32 = 8;
/// The part of the wanted instances that a rolling replacement takes away at once.
const ROLL_PART: u32 = 4;

/// How long a reset may take, in longest starts: in place, then to an end, then anew.
const RESET_STARTS: u32 = 3;

impl Allocator {
    /// Settles every pool in which something changed.
    pub(crate) fn settle(&mut self, now: Timestamp) {
        while let Some(ix) = self.touched.pop() {
            self.recycle(ix, now);
            self.roll(ix, now);
            self.serve_queue(ix, now);
            self.reach_target(ix, now);
            self.remove_if_empty(ix, now);
            let (total, max) = (
                self.state.pool(ix).total(),
                self.state.pool(ix).spec().max.0,
            );
            check_invariant!(
                CountsConserved,
                self.state.pool(ix).free() <= total,
                "pool {ix:?} has more free instances than instances, {total} of {max}"
            );
        }
        self.hold_idle();
    }

    /// Every instance that nobody holds and that may not serve as it is goes its way.
    fn recycle(&mut self, ix: PoolIx, now: Timestamp) {
        while let Some(&id) = self.state.pool(ix).loose.first() {
            self.recycle_instance(id, ix, now);
        }
    }

    fn recycle_instance(&mut self, id: InstanceId, ix: PoolIx, now: Timestamp) {
        let Some(instance) = self.state.instances.get(&id) else {
            return;
        };
        let pool = self.state.pool(ix);
        let spec = pool.spec();
        let requested_at = instance.record.requested_at;
        let aged = spec.max_age.is_some_and(|age| requested_at + age <= now);
        let used = instance.record.used;
        let wanted = used && !pool.record.retired && !aged && !instance.is_outdated(spec);
        match (wanted, spec.recycle) {
            (true, Recycle::Reuse) => {
                self.decide(
                    now,
                    EventKind::InstanceReady {
                        instance: id,
                        address: None,
                    },
                );
                self.to_hold.push_back(id);
            }
            (true, Recycle::Reset) => {
                // One that fails in place is followed by an end and a start.
                let deadline = now + spec.start_timeout.saturating_mul(RESET_STARTS);
                self.decide(
                    now,
                    EventKind::InstanceResetting {
                        instance: id,
                        deadline,
                    },
                );
                let pool = self.pool_name(ix);
                self.effects.push_back(Effect::Reset { instance: id, pool });
            }
            (true, Recycle::Delete) | (false, _) => {
                let cause = if used {
                    StopCause::Used
                } else {
                    StopCause::Replaced
                };
                self.stop(id, cause, now);
            }
        }
    }

    /// Replaces free instances of an older definition a few at a time: no more than a quarter of those
    /// wanted, but one at the least, are away at once, and none goes while starts of the new definition fail.
    fn roll(&mut self, ix: PoolIx, now: Timestamp) {
        let pool = self.state.pool(ix);
        if pool.outdated.is_empty() || !pool.starts_well(now) {
            return;
        }
        let wanted = pool.wanted();
        let away = pool.starting.len() as u32 + wanted.saturating_sub(pool.free());
        let at_once = (wanted / ROLL_PART).max(1);
        let going = at_once.saturating_sub(away) as usize;
        let oldest: Vec<InstanceId> = pool
            .outdated
            .iter()
            .take(going)
            .map(|&(_, id)| id)
            .collect();
        for id in oldest {
            self.stop(id, StopCause::Replaced, now);
        }
    }

    fn serve_queue(&mut self, ix: PoolIx, now: Timestamp) {
        while let Some((id, spot)) = self.next_served(ix, now) {
            let Some(alloc) = self.state.allocations.get(&id) else {
                return;
            };
            match alloc.record.binding {
                Binding::Queued { until, .. } => self.bind(id, &spot, until, now),
                Binding::Booked {
                    firm, prepare_at, ..
                } => self.promise(id, firm, prepare_at, &spot, now),
                Binding::Joined { .. } | Binding::Granted { .. } | Binding::Ended { .. } => return,
            }
        }
    }

    /// The first of those who wait for an instance of this pool that can be served, and where.
    fn next_served(&self, ix: PoolIx, now: Timestamp) -> Option<(AllocationId, Spot)> {
        let mut passed: Vec<&TenantId> = Vec::new();
        for id in self.first_waiting(ix, now) {
            let record = &self.state.allocations.get(&id)?.record;
            let request = &record.request;
            let search = Search {
                request,
                candidates: &[ix],
                at_once: false,
                waits: true,
                whole: matches!(record.binding, Binding::Booked { .. }),
            };
            let spot = self.find_spot(search, now);
            // Room on shared instances goes in order among those of one tenant: somebody who asks for
            // little does not keep it from who asks for much.
            let in_turn = |spot: &Spot| {
                !matches!(spot, Spot::Share { .. }) || !passed.contains(&request.tenant())
            };
            if let Some(spot) = spot.filter(in_turn) {
                return Some((id, spot));
            }
            passed.push(request.tenant());
        }
        None
    }

    /// Who waits for an instance of this pool, the most urgent first and no further down than the first
    /// may be passed over: its queue, requests that queue elsewhere and that it fits, and bookings for
    /// which none was free in time.
    fn first_waiting(&self, ix: PoolIx, now: Timestamp) -> Vec<AllocationId> {
        let pool = self.state.pool(ix);
        if !pool.may_serve(now) {
            return Vec::new();
        }
        let depth = if pool.serves_out_of_order() || !pool.shared.is_empty() {
            LOOK_DOWN
        } else {
            1
        };
        let queued = (0..depth).map_while(|rank| pool.queue.nth(rank));
        let mut waiting: Vec<WaitKey> = queued.map(|&(rank, _, at, id)| (rank, at, id)).collect();
        let guests = self.state.waiting.guests(pool.spec(), depth as usize);
        let unprepared = pool.unprepared.iter().take(depth as usize).copied();
        merge_into(&mut waiting, guests);
        merge_into(&mut waiting, unprepared);
        waiting.into_iter().map(|(.., id)| id).collect()
    }

    /// Starts or stops free instances until there are as many as wanted.
    fn reach_target(&mut self, ix: PoolIx, now: Timestamp) {
        let wanted = self.state.pool(ix).wanted();
        while self.state.pool(ix).free() < wanted && self.state.pool(ix).can_start(now) {
            self.start(ix, now);
        }
        while self.state.pool(ix).free() > wanted {
            let pool = self.state.pool(ix);
            let newest_starting = pool.starting.last().copied();
            let oldest_ready = pool.ready.first().map(|&(_, id)| id);
            let Some(id) = newest_starting.or(oldest_ready) else {
                return;
            };
            self.stop(id, StopCause::Surplus, now);
        }
    }

    pub(super) fn start(&mut self, ix: PoolIx, now: Timestamp) -> InstanceId {
        let instance = InstanceId(self.state.counters.next_instance);
        let (pool, deadline) = {
            let spec = self.state.pool(ix).spec();
            (spec.name.clone(), now + spec.start_timeout)
        };
        let (total, max) = (
            self.state.pool(ix).total(),
            self.state.pool(ix).spec().max.0,
        );
        check_invariant!(
            MaximumRespected,
            total < max,
            "{pool} has {total} of {max} instances"
        );
        let kind = EventKind::InstanceStarted {
            instance,
            pool: pool.clone(),
            deadline,
        };
        self.decide(now, kind);
        self.effects.push_back(Effect::Start { instance, pool });
        instance
    }

    pub(super) fn stop(&mut self, id: InstanceId, cause: StopCause, now: Timestamp) {
        let Some(instance) = self.state.instances.get(&id) else {
            return;
        };
        let holders = instance.holders.len();
        check_invariant!(
            AcknowledgedLeaseSurvives,
            holders == 0,
            "{id} is held and stopped"
        );
        let spec = self.state.pool(instance.pool).spec();
        let (pool, retry_at) = (spec.name.clone(), now + spec.stop_timeout);
        self.touched.insert(instance.pool);
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

    /// Freezes what became ready and is still free after everybody was served.
    fn hold_idle(&mut self) {
        while let Some(id) = self.to_hold.pop_front() {
            let Some(instance) = self.state.instances.get(&id) else {
                continue;
            };
            let spec = self.state.pool(instance.pool).spec();
            if spec.hold == HoldMode::Freeze && matches!(instance.place(), Place::Ready(_)) {
                let pool = spec.name.clone();
                self.effects.push_back(Effect::Hold { instance: id, pool });
            }
        }
    }

    /// The effects that may have been lost with the last process.
    pub(crate) fn repeat_effects(&mut self) {
        for instance in self.state.instances.values() {
            let id = instance.record.id;
            let pool = instance.record.pool.clone();
            self.effects.push_back(match instance.record.phase {
                Phase::Starting { .. } => Effect::Start { instance: id, pool },
                Phase::Resetting { .. } => Effect::Reset { instance: id, pool },
                Phase::Stopping { .. } => Effect::Stop { instance: id, pool },
                Phase::Ready { .. } => Effect::Verify { instance: id, pool },
            });
            if matches!(instance.record.phase, Phase::Ready { .. }) {
                let spec = self.state.pool(instance.pool).spec();
                self.to_hold.push_back(id);
                if spec.hold == HoldMode::Freeze && instance.record.used {
                    let pool = instance.record.pool.clone();
                    self.effects.push_back(Effect::Thaw { instance: id, pool });
                }
            }
        }
    }
}

/// Puts what waits elsewhere, in order, before the first of the list that is less urgent. The order of
/// the list, in which tenants take turns, stays as it is.
fn merge_into(list: &mut Vec<WaitKey>, others: impl IntoIterator<Item = WaitKey>) {
    let mut from = 0;
    for other in others {
        let later = list[from..].iter().position(|listed| *listed > other);
        from = later.map_or(list.len(), |place| from + place);
        list.insert(from, other);
    }
}
