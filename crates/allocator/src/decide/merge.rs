//! Those with one merge key share an instance, wherever in a queue they stand: whoever joins takes
//! nothing from those before it.

use foreshadow_types::{AllocationId, InstanceId, Timestamp};

use super::place::{MAX_SHARED_LOOKED_AT, Spot, fits};
use crate::{AllocationRequest, Allocator, Binding, Target, keys::tenant_key, state::PoolIx};

impl Allocator {
    /// The first instance of the pool whose holders have the request's merge key and may be joined.
    pub(super) fn same_merge_key(
        &self,
        request: &AllocationRequest,
        ix: PoolIx,
        at_once: bool,
    ) -> Option<Spot> {
        let key = tenant_key(request.tenant(), request.merge_key()?);
        let mut next = InstanceId(0);
        for _ in 0..MAX_SHARED_LOOKED_AT {
            let from = (key.clone(), ix, next, AllocationId(0));
            let (found_key, found_pool, id, _) = self.state.merge.range(from..).next()?;
            if *found_key != key || *found_pool != ix {
                return None;
            }
            let instance = self.state.instances.get(id)?;
            let joinable = !instance.is_outdated(self.state.pool(ix).spec())
                && instance.holders.len() < self.state.config.max_merged
                && (instance.is_ready() || !at_once);
            if joinable {
                return Some(Spot::Share {
                    pool: ix,
                    instance: *id,
                });
            }
            next = InstanceId(id.0.saturating_add(1));
        }
        None
    }

    /// Whoever waits with the merge key of an allocation joins those of its pool who have an instance,
    /// as long as there is room: when it has got its own, and when it has made room by its end.
    pub(super) fn join_waiting(&mut self, id: AllocationId, now: Timestamp) {
        let Some(alloc) = self.state.allocations.get(&id) else {
            return;
        };
        let (request, ix) = (&alloc.record.request, alloc.pool);
        let Some(key) = request.merge_key() else {
            return;
        };
        let key = tenant_key(request.tenant(), key);
        let waiting = self.state.waiting.with_merge_key(&key, &alloc.record.pool);
        for other in waiting {
            if !self.join_in(other, ix, now) {
                return;
            }
        }
    }

    /// Whoever has lost its instance while it waited joins others with its merge key, if there are any.
    pub(super) fn join_another(&mut self, id: AllocationId, now: Timestamp) {
        let Some(alloc) = self.state.allocations.get(&id) else {
            return;
        };
        let request = alloc.record.request.clone();
        if request.merge_key().is_none() {
            return;
        }
        if let Ok(candidates) = self.candidates(request.target()) {
            for &ix in candidates.as_slice() {
                self.join_in(id, ix, now);
            }
        }
    }

    /// Has one that is queued share an instance of this pool, if one of its merge key is there. False if
    /// the pool fits it and has no room.
    fn join_in(&mut self, id: AllocationId, ix: PoolIx, now: Timestamp) -> bool {
        let alloc = &self.state.allocations[&id];
        let Binding::Queued { until, .. } = alloc.record.binding else {
            return true;
        };
        let request = alloc.record.request.clone();
        if let Target::Requirements(asked) = request.target()
            && !fits(asked, self.state.pool(ix))
        {
            return true;
        }
        let spot = self.same_merge_key(&request, ix, false);
        if let Some(spot) = &spot {
            self.bind_one(id, spot, until, now);
        }
        spot.is_some()
    }
}
