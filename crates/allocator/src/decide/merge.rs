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

    /// Whoever waits with the merge key of an allocation that has its instance now joins it.
    pub(super) fn join_waiting(&mut self, id: AllocationId, now: Timestamp) {
        let Some(alloc) = self.state.allocations.get(&id) else {
            return;
        };
        let Some(key) = alloc.record.request.merge_key() else {
            return;
        };
        let (key, ix) = (tenant_key(alloc.record.request.tenant(), key), alloc.pool);
        for other in self.state.waiting.with_merge_key(&key) {
            self.join_in(other, ix, now);
        }
    }

    /// Whoever has lost its instance while it waited joins others with its merge key, if there are any.
    pub(super) fn join_another(&mut self, id: AllocationId, now: Timestamp) {
        let Some(alloc) = self.state.allocations.get(&id) else {
            return;
        };
        if alloc.record.request.merge_key().is_none() {
            return;
        }
        let request = alloc.record.request.clone();
        if let Ok(candidates) = self.candidates(request.target()) {
            for &ix in candidates.as_slice() {
                self.join_in(id, ix, now);
            }
        }
    }

    /// Has one that is queued share an instance of this pool, if one of its merge key is there.
    fn join_in(&mut self, id: AllocationId, ix: PoolIx, now: Timestamp) {
        let alloc = &self.state.allocations[&id];
        let Binding::Queued { until, .. } = alloc.record.binding else {
            return;
        };
        let request = alloc.record.request.clone();
        let fits = match request.target() {
            Target::Pool(_) => alloc.pool == ix,
            Target::Requirements(asked) => fits(asked, self.state.pool(ix)),
        };
        let spot = fits.then(|| self.same_merge_key(&request, ix, false));
        if let Some(spot) = spot.flatten() {
            self.bind_one(id, &spot, until, now);
        }
    }
}
