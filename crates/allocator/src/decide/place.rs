//! Where a request can be served: own reservation, joinable lease, best-fitting ready instance, an
//! instance that is starting, a new one.

use std::sync::Arc;

use foreshadow_types::{
    AllocationId, EntityId, InstanceId, PoolName, Requirements, Shape, Timestamp,
};

use crate::{
    AllocationRecord, AllocationRequest, Allocator, AllocatorError, Binding, Effect, EventKind,
    HoldMode, Phase, PoolSpec, Served, Target,
    record::Hold,
    state::{Pool, PoolIx, available_at},
};

/// Most sets of requirements whose pools are remembered.
const MAX_MATCHES: usize = 1_024;
/// Most shared instances looked at in one pool, for room or for those of a merge key.
pub(super) const MAX_SHARED_LOOKED_AT: usize = 16;

/// Pools that may serve a request, the preferred ones and among them the best fit first.
pub(super) enum Candidates {
    One(PoolIx),
    Several(Arc<[PoolIx]>),
}

impl Candidates {
    pub(super) fn as_slice(&self) -> &[PoolIx] {
        match self {
            Self::One(ix) => std::slice::from_ref(ix),
            Self::Several(several) => several,
        }
    }
}

/// Where a request can be served now.
#[derive(Debug, Clone)]
pub(super) enum Spot {
    /// By a free, ready instance.
    Ready {
        pool: PoolIx,
        instance: InstanceId,
        reserved_for: Option<EntityId>,
    },
    /// By sharing an instance.
    Share { pool: PoolIx, instance: InstanceId },
    /// By a free instance that is starting.
    Starting {
        pool: PoolIx,
        instance: InstanceId,
        reserved_for: Option<EntityId>,
    },
    /// By an instance yet to be started.
    Start { pool: PoolIx },
}

impl Spot {
    pub(super) fn pool(&self) -> PoolIx {
        match self {
            Self::Ready { pool, .. }
            | Self::Share { pool, .. }
            | Self::Starting { pool, .. }
            | Self::Start { pool } => *pool,
        }
    }
}

/// What a spot is looked for.
#[derive(Clone, Copy)]
pub(super) struct Search<'a> {
    pub(super) request: &'a AllocationRequest,
    pub(super) candidates: &'a [PoolIx],
    /// Whether spots are left out that make the request wait.
    pub(super) at_once: bool,
    /// Whether the request is one of those that wait already.
    pub(super) waits: bool,
    /// Whether it is to have an instance of its own: no spot to share is looked for.
    pub(super) whole: bool,
}

impl Search<'_> {
    /// Whether the tenant may hold one more instance of this pool.
    fn may_take(&self, pool: &Pool) -> bool {
        let tenant = self.request.tenant();
        if self.waits {
            pool.warm.may_hold(tenant)
        } else {
            pool.warm.may_ask(tenant)
        }
    }
}

impl Allocator {
    pub(super) fn candidates(&mut self, target: &Target) -> Result<Candidates, AllocatorError> {
        let requirements = match target {
            Target::Pool(name) => return self.candidate_named(name),
            Target::Requirements(requirements) => requirements,
        };
        if let Some(known) = self.matches.get(requirements) {
            return Ok(Candidates::Several(known.clone()));
        }
        let mut fitting: Vec<PoolIx> = self
            .state
            .pool_names
            .values()
            .copied()
            .filter(|&ix| fits(requirements, self.state.pool(ix)))
            .collect();
        if fitting.is_empty() {
            return Err(AllocatorError::NothingFits);
        }
        fitting.sort_by_key(|&ix| {
            let spec = self.state.pool(ix).spec();
            (requirements.preference(&spec.labels), spec.shape, ix)
        });
        let fitting: Arc<[PoolIx]> = fitting.into();
        if self.matches.len() >= MAX_MATCHES {
            self.matches.clear();
        }
        self.matches.insert(requirements.clone(), fitting.clone());
        Ok(Candidates::Several(fitting))
    }

    fn candidate_named(&self, name: &PoolName) -> Result<Candidates, AllocatorError> {
        let known = self.state.pool_named(name);
        known
            .filter(|&ix| !self.state.pool(ix).record.retired)
            .map(Candidates::One)
            .ok_or_else(|| AllocatorError::UnknownPool(name.clone()))
    }

    /// The first spot in the order of preference; `at_once` leaves out those that make it wait.
    pub(super) fn find_spot(&self, search: Search<'_>, now: Timestamp) -> Option<Spot> {
        let (request, at_once) = (search.request, search.at_once);
        let each = || search.candidates.iter().copied();
        let open = || each().filter(|&ix| search.may_take(self.state.pool(ix)));
        let shared = || each().filter(|_| !search.whole);
        open()
            .find_map(|ix| self.own_reservation(request, ix))
            .or_else(|| shared().find_map(|ix| self.same_merge_key(request, ix, at_once)))
            .or_else(|| shared().find_map(|ix| self.room_on(request, ix, false)))
            .or_else(|| open().find_map(|ix| self.free_ready(request, ix)))
            .or_else(|| {
                if at_once {
                    return None;
                }
                shared()
                    .find_map(|ix| self.room_on(request, ix, true))
                    .or_else(|| open().find_map(|ix| self.free_starting(request, ix)))
                    .or_else(|| open().find_map(|ix| self.new_instance(request, ix, now)))
            })
    }

    pub(super) fn own_reservation(&self, request: &AllocationRequest, ix: PoolIx) -> Option<Spot> {
        let pool = self.state.pool(ix);
        let &(_, instance) = pool.ready.first()?;
        let entity = reservation_of(pool, request)?;
        if pool.ready.len() as u32 <= kept_from(pool, request) {
            return None;
        }
        Some(Spot::Ready {
            pool: ix,
            instance,
            reserved_for: Some(entity),
        })
    }

    /// The fullest shared instance of the tenant with enough room.
    pub(super) fn room_on(
        &self,
        request: &AllocationRequest,
        ix: PoolIx,
        starting: bool,
    ) -> Option<Spot> {
        let pool = self.state.pool(ix);
        if pool.shared.is_empty() {
            return None;
        }
        let (asked, tenant) = (asked_of(request, pool), request.tenant());
        let from = (tenant.clone(), starting, asked, InstanceId(0));
        let to = (
            tenant.clone(),
            starting,
            Shape::LARGEST,
            InstanceId(u64::MAX),
        );
        pool.shared
            .range(from..=to)
            .take(MAX_SHARED_LOOKED_AT)
            .find(|(_, _, room, _)| room.fits(&asked))
            .map(|&(_, _, _, instance)| Spot::Share { pool: ix, instance })
    }

    pub(super) fn free_ready(&self, request: &AllocationRequest, ix: PoolIx) -> Option<Spot> {
        let pool = self.state.pool(ix);
        let &(_, instance) = pool.ready.first()?;
        let open = pool.ready.len() as u32 > reserved_for_others(pool, request);
        open.then_some(Spot::Ready {
            pool: ix,
            instance,
            reserved_for: None,
        })
    }

    fn free_starting(&self, request: &AllocationRequest, ix: PoolIx) -> Option<Spot> {
        let pool = self.state.pool(ix);
        let &instance = pool.starting.first()?;
        let reserved_for = reservation_of(pool, request);
        let taken = match reserved_for {
            Some(_) => kept_from(pool, request),
            None => reserved_for_others(pool, request),
        };
        let open = pool.free() > taken;
        open.then_some(Spot::Starting {
            pool: ix,
            instance,
            reserved_for,
        })
    }

    fn new_instance(
        &self,
        request: &AllocationRequest,
        ix: PoolIx,
        now: Timestamp,
    ) -> Option<Spot> {
        let pool = self.state.pool(ix);
        // Where floors are not filled, the room for them is not free either.
        let unfilled = kept_from(pool, request).saturating_sub(pool.free());
        let has_room = pool.total().saturating_add(unfilled) < pool.spec().max.0;
        (has_room && pool.can_start(now)).then_some(Spot::Start { pool: ix })
    }

    /// Takes the spot: starts what must be started and uses up the reservation. Gives the hold.
    pub(super) fn take(&mut self, spot: &Spot, now: Timestamp) -> Hold {
        self.touched.insert(spot.pool());
        let (instance, reserved_for) = match spot {
            Spot::Ready {
                instance,
                reserved_for,
                ..
            }
            | Spot::Starting {
                instance,
                reserved_for,
                ..
            } => (*instance, reserved_for.clone()),
            Spot::Share { instance, .. } => (*instance, None),
            Spot::Start { pool } => (self.start(*pool, now), None),
        };
        if let Some(entity) = reserved_for {
            let pool = self.pool_name(spot.pool());
            self.decide(now, EventKind::ReservationTaken { pool, entity });
        }
        Hold {
            instance,
            token: self.token_for(instance),
        }
    }

    /// The token of the holders that are there already, or a new one for the first.
    fn token_for(&self, id: InstanceId) -> foreshadow_types::FencingToken {
        match self.state.instances.get(&id) {
            Some(instance) if !instance.holders.is_empty() => instance.record.token,
            Some(_) | None => foreshadow_types::FencingToken(self.state.counters.next_token),
        }
    }

    /// The binding to an instance as it is now, ready or starting.
    pub(super) fn binding_to(
        &mut self,
        hold: Hold,
        record: &AllocationRecord,
        until: Timestamp,
        now: Timestamp,
    ) -> Binding {
        let Some(instance) = self.state.instances.get(&hold.instance) else {
            return Binding::Joined { hold, until };
        };
        let spec = self.state.pool(instance.pool).spec();
        if !matches!(instance.record.phase, Phase::Ready { .. }) {
            return Binding::Joined { hold, until };
        }
        let lasts = first_span(record, spec);
        if spec.hold == HoldMode::Freeze && !instance.record.used {
            let pool = spec.name.clone();
            self.effects.push_back(Effect::Thaw {
                instance: hold.instance,
                pool,
            });
        }
        Binding::Granted {
            hold,
            expires_at: now + lasts,
        }
    }

    /// Binds an allocation that waits to a spot, and with it those who wait to share.
    pub(super) fn bind(&mut self, id: AllocationId, spot: &Spot, until: Timestamp, now: Timestamp) {
        self.bind_one(id, spot, until, now);
        self.join_waiting(id, now);
    }

    pub(super) fn bind_one(
        &mut self,
        id: AllocationId,
        spot: &Spot,
        until: Timestamp,
        now: Timestamp,
    ) {
        let Some(record) = self
            .state
            .allocations
            .get(&id)
            .map(|alloc| alloc.record.clone())
        else {
            return;
        };
        let hold = self.take(spot, now);
        let binding = self.binding_to(hold, &record, until, now);
        self.decide(now, EventKind::AllocationBound { id, binding });
        self.effects.push_back(Effect::Notify { allocation: id });
    }

    /// How the request counts when it is served at this spot.
    pub(super) fn served_at(&self, spot: &Spot) -> Served {
        match spot {
            Spot::Ready { .. } => Served::Ready,
            Spot::Share { instance, .. } => match self.state.instances.get(instance) {
                Some(instance) if instance.is_ready() => Served::Merged,
                Some(_) | None => Served::Starting,
            },
            Spot::Starting { .. } => Served::Starting,
            Spot::Start { .. } => Served::Started,
        }
    }
}

/// How long a lease lasts at first: a booking has to be claimed within its grace period.
pub(super) fn first_span(record: &AllocationRecord, spec: &PoolSpec) -> std::time::Duration {
    let lease = record
        .request
        .lease_duration()
        .unwrap_or(spec.lease_duration);
    if available_at(record) > record.created_at {
        return lease.min(spec.grace);
    }
    lease
}

/// Whether a pool may serve a request for this.
pub(super) fn fits(asked: &Requirements, pool: &Pool) -> bool {
    let spec = pool.spec();
    !pool.record.retired && asked.met_by(&spec.shape, &spec.dependencies, &spec.labels)
}

/// What the request takes of a shared instance of the pool.
fn asked_of(request: &AllocationRequest, pool: &Pool) -> Shape {
    match request.target() {
        Target::Pool(_) => pool.spec().shape.share(pool.spec().shares),
        Target::Requirements(requirements) => requirements.shape,
    }
}

/// The first of the request's entities that has a reservation left.
fn reservation_of(pool: &Pool, request: &AllocationRequest) -> Option<EntityId> {
    if pool.reserved == 0 {
        return None;
    }
    let left = |entity: &EntityId| pool.record.reservations.contains_key(entity);
    request.entities().find(left)
}

/// Free instances that the request may not take because floors keep them. One of a tenant below
/// its own floor may take any: whoever comes first of those who are promised one.
fn kept_from(pool: &Pool, request: &AllocationRequest) -> u32 {
    if pool.warm.kept() == 0 || pool.warm.kept_for(request.tenant()) > 0 {
        return 0;
    }
    pool.warm.kept()
}

fn reserved_for_others(pool: &Pool, request: &AllocationRequest) -> u32 {
    let kept = kept_from(pool, request);
    if pool.reserved == 0 || kept < pool.warm.kept() {
        return kept;
    }
    let own: u32 = request
        .entities()
        .filter_map(|entity| pool.record.reservations.get(&entity))
        .fold(0, |sum, &count| sum.saturating_add(count));
    pool.reserved.saturating_sub(own).saturating_add(kept)
}
