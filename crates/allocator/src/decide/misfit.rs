//! Whether it is the shape alone that a request asks for which makes it wait.

use foreshadow_types::{InstanceId, Requirements, Shape, TenantId};

use super::place::MAX_SHARED_LOOKED_AT;
use crate::{
    AllocationRequest, Allocator, Target,
    state::{Pool, PoolIx},
};

impl Allocator {
    /// Whether the request cannot be served at once, but could be if it asked for less: an instance is
    /// ready that it may have, and is free but too small, or is held by its own tenant and has some
    /// room left, but too little. A request that names a pool asks for no shape.
    ///
    /// To be asked when the request was decided on: it tells of the instances as they are now.
    pub fn waits_for_shape(&self, request: &AllocationRequest) -> bool {
        match request.target() {
            Target::Pool(_) => false,
            Target::Requirements(asked) => self.all_ready_are_too_small(request, asked),
        }
    }

    fn all_ready_are_too_small(&self, request: &AllocationRequest, asked: &Requirements) -> bool {
        let pools = || self.state.pool_names.values().copied();
        let fits = |ix| self.state.pool(ix).spec().shape.fits(&asked.shape);
        let too_small = |ix| {
            self.has_too_little_room(request.tenant(), &asked.shape, ix)
                || (!fits(ix) && self.gives_ready(request, ix))
        };
        let serves = |ix| fits(ix) && self.serves_at_once(request, ix);
        let may = |ix| allowed(asked, self.state.pool(ix));
        pools().any(|ix| too_small(ix) && may(ix)) && !pools().any(|ix| serves(ix) && may(ix))
    }

    fn serves_at_once(&self, request: &AllocationRequest, ix: PoolIx) -> bool {
        self.gives_ready(request, ix)
            || self.room_on(request, ix, false).is_some()
            || self.same_merge_key(request, ix, true).is_some()
    }

    /// Whether a free instance of the pool is ready that the request may have.
    fn gives_ready(&self, request: &AllocationRequest, ix: PoolIx) -> bool {
        let spot = self.free_ready(request, ix);
        spot.or_else(|| self.own_reservation(request, ix)).is_some()
            && self.state.pool(ix).warm.may_hold(request.tenant())
    }

    /// Whether a ready instance of the tenant has some room, but less than is asked for; those with the
    /// most are looked at.
    fn has_too_little_room(&self, tenant: &TenantId, asked: &Shape, ix: PoolIx) -> bool {
        let pool = self.state.pool(ix);
        if pool.shared.is_empty() {
            return false;
        }
        let from = (tenant.clone(), false, Shape::default(), InstanceId(0));
        let to = (tenant.clone(), false, Shape::LARGEST, InstanceId(u64::MAX));
        pool.shared
            .range(from..=to)
            .rev()
            .take(MAX_SHARED_LOOKED_AT)
            .any(|(_, _, room, _)| !room.fits(asked) && room.offers_some_of(asked))
    }
}

/// Whether the request may have instances of a pool if their shape is right.
fn allowed(asked: &Requirements, pool: &Pool) -> bool {
    let spec = pool.spec();
    !pool.record.retired && asked.met_but_for_shape(&spec.dependencies, &spec.labels)
}
