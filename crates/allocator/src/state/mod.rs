//! The state: records, and indices over them that hold nothing of their own.

mod apply;
mod digest;
mod holders;
mod index;
mod live;
mod pool;
mod restore;
mod snapshot;
mod waiting;
mod warm;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use foreshadow_types::{AllocationId, InstanceId, PoolName, Shape, TenantId, Timestamp};

pub use apply::ApplyError;
pub(crate) use holders::Holders;
pub(crate) use index::{ahead_key, available_at};
pub(crate) use live::Live;
pub(crate) use waiting::{WaitKey, Waiting, wait_key};
pub(crate) use warm::Warm;

use crate::{
    AllocationRecord, AllocatorConfig, Counters, InstanceRecord, Phase, PoolRecord, PoolSpec,
    RequestRate, TenantQuota, WarmQuota,
    keys::{Keys, TenantKey, hash_of},
    ranked::Ranked,
    startup::Startups,
    table::Table,
    timers::Timers,
};

/// Index of a pool in [`State::pools`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PoolIx(pub(crate) u32);

/// Order of the queue: priority, turn, time, id.
pub(crate) type QueueKey = (Reverse<i32>, u64, Timestamp, AllocationId);

/// A shared instance with room: tenant, whether it is still starting, room, id.
pub(crate) type SharedKey = (TenantId, bool, Shape, InstanceId);

/// A holder that others of its merge key may join: key, pool, instance, holder.
pub(crate) type MergeKey = (TenantKey, PoolIx, InstanceId, AllocationId);

/// What a point in time is waited for by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Timer {
    Allocation(AllocationId),
    Instance(InstanceId),
    Pool(PoolIx),
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) config: AllocatorConfig,
    pub(crate) counters: Counters,
    pub(crate) pool_names: BTreeMap<PoolName, PoolIx>,
    pub(crate) pools: Vec<Pool>,
    pub(crate) instances: Table<InstanceId, Instance>,
    pub(crate) allocations: Table<AllocationId, Alloc>,
    pub(crate) live: Live,
    pub(crate) waiting: Waiting,
    /// Tenants by a hash of their names and their names.
    pub(crate) tenants: BTreeMap<(u64, TenantId), Tenant>,
    /// Floors and caps by pool, whether the pool is there or not.
    pub(crate) warm: BTreeMap<PoolName, BTreeMap<TenantId, WarmQuota>>,
    pub(crate) idempotency: Keys,
    pub(crate) merge: BTreeSet<MergeKey>,
    pub(crate) timers: Timers<Timer>,
    /// Ended allocations by the time at which they are forgotten.
    pub(crate) ended: BTreeSet<(Timestamp, AllocationId)>,
}

#[derive(Debug, Default)]
pub(crate) struct Tenant {
    pub(crate) live: u32,
    pub(crate) quota: TenantQuota,
}

#[derive(Debug)]
pub(crate) struct Alloc {
    pub(crate) record: AllocationRecord,
    pub(crate) pool: PoolIx,
}

#[derive(Debug)]
pub(crate) struct Instance {
    pub(crate) record: InstanceRecord,
    pub(crate) pool: PoolIx,
    pub(crate) holders: Holders,
    /// Whose holders they are.
    pub(crate) tenant: Option<TenantId>,
    /// Sum of the shapes that holders asked for.
    pub(crate) asked: Shape,
    /// Holders that asked for the pool by name, without a shape.
    pub(crate) shapeless: u32,
}

#[derive(Debug)]
pub(crate) struct Pool {
    pub(crate) record: PoolRecord,
    pub(crate) startups: Startups,
    /// Clean, ready, nobody's; oldest first.
    pub(crate) ready: BTreeSet<(Timestamp, InstanceId)>,
    /// Those of the ready that were started from an older definition.
    pub(crate) outdated: BTreeSet<(Timestamp, InstanceId)>,
    /// Starting or being reset, nobody's; oldest first.
    pub(crate) starting: BTreeSet<InstanceId>,
    /// Nobody's, to be recycled or replaced.
    pub(crate) loose: BTreeSet<InstanceId>,
    pub(crate) shared: BTreeSet<SharedKey>,
    pub(crate) held: u32,
    pub(crate) stopping: u32,
    pub(crate) reserved: u32,
    pub(crate) queue: Ranked<QueueKey>,
    /// The same requests by tenant, for their turns.
    pub(crate) turns: BTreeSet<(TenantId, i32, u64, AllocationId)>,
    /// Firm bookings without an instance yet, by time.
    pub(crate) firm: Ranked<(Timestamp, AllocationId)>,
    /// Other requests for a time ahead: first those that are queued for it, by time, then those that
    /// have an instance already.
    pub(crate) ahead: Ranked<AheadKey>,
    /// Bookings that should have an instance by now and found none.
    pub(crate) unprepared: BTreeSet<WaitKey>,
    /// Live allocations.
    pub(crate) live: u32,
    /// Floors and caps of tenants.
    pub(crate) warm: Warm,
}

/// Whether a request for a time ahead has an instance already, and for when it is.
pub(crate) type AheadKey = ((bool, Timestamp), AllocationId);

/// Where an instance counts in its pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Ready(Timestamp),
    Starting,
    Loose,
    Held,
    Stopping,
}

impl State {
    pub(crate) fn new(config: AllocatorConfig) -> Self {
        let first = config.numbers_above + 1;
        Self {
            config,
            counters: Counters {
                next_instance: first,
                next_allocation: first,
                next_token: 1,
                plan_generation: 0,
            },
            pool_names: BTreeMap::new(),
            pools: Vec::new(),
            instances: Table::default(),
            allocations: Table::default(),
            live: Live::default(),
            waiting: Waiting::default(),
            tenants: BTreeMap::new(),
            warm: BTreeMap::new(),
            idempotency: Keys::default(),
            merge: BTreeSet::new(),
            timers: Timers::default(),
            ended: BTreeSet::new(),
        }
    }

    pub(crate) fn pool(&self, ix: PoolIx) -> &Pool {
        &self.pools[ix.0 as usize]
    }

    pub(crate) fn pool_named(&self, name: &PoolName) -> Option<PoolIx> {
        self.pool_names.get(name).copied()
    }

    /// Live allocations of a tenant, how many it may have, and how often it may ask.
    pub(crate) fn tenant_limits(&self, tenant: &TenantId) -> (u32, u32, Option<RequestRate>) {
        let known = self.tenants.get(&tenant_slot(tenant));
        let general = self.config.tenant_limit;
        known.map_or((0, general, None), |known| {
            let quota = &known.quota;
            (known.live, quota.live.unwrap_or(general), quota.rate)
        })
    }

    pub(crate) fn quota(&self, tenant: &TenantId) -> TenantQuota {
        let known = self.tenants.get(&tenant_slot(tenant));
        known.map_or_else(TenantQuota::default, |known| known.quota.clone())
    }
}

impl Pool {
    pub(crate) fn new(record: PoolRecord) -> Self {
        Self {
            startups: Startups::of(&record.startups_ms),
            reserved: reserved(&record),
            record,
            ready: BTreeSet::new(),
            outdated: BTreeSet::new(),
            starting: BTreeSet::new(),
            loose: BTreeSet::new(),
            shared: BTreeSet::new(),
            held: 0,
            stopping: 0,
            queue: Ranked::default(),
            turns: BTreeSet::new(),
            firm: Ranked::default(),
            ahead: Ranked::default(),
            unprepared: BTreeSet::new(),
            live: 0,
            warm: Warm::default(),
        }
    }

    pub(crate) fn spec(&self) -> &Arc<PoolSpec> {
        &self.record.spec
    }

    /// Instances in any state.
    pub(crate) fn total(&self) -> u32 {
        self.free() + self.loose.len() as u32 + self.held + self.stopping
    }

    /// Ready or starting instances that are nobody's.
    pub(crate) fn free(&self) -> u32 {
        (self.ready.len() + self.starting.len()) as u32
    }

    /// Requests waiting, for now or for a time ahead.
    pub(crate) fn waiting(&self) -> u32 {
        self.queue.len() + self.firm.len() + self.ahead.len()
    }

    /// Free instances that not everybody may take: reservations and floors.
    pub(crate) fn spoken_for(&self) -> u32 {
        self.reserved.saturating_add(self.warm.kept())
    }

    /// Whether what is free may be for another than the first of the queue.
    pub(crate) fn serves_out_of_order(&self) -> bool {
        self.reserved > 0 || !self.warm.is_empty()
    }

    /// How many instances to keep free.
    pub(crate) fn wanted(&self) -> u32 {
        let spec = self.spec();
        if self.record.retired {
            return 0;
        }
        let asked = self.record.target.max(spec.min.0).max(self.spoken_for());
        asked.min(spec.max.0)
    }

    /// Whether nothing says that a start would fail.
    pub(crate) fn starts_well(&self, now: Timestamp) -> bool {
        let blocked = self.record.starts_blocked_until;
        self.record.failed_starts_in_a_row == 0 && blocked.is_none_or(|until| until <= now)
    }

    /// Whether there is anything that somebody who waits could be given.
    pub(crate) fn may_serve(&self, now: Timestamp) -> bool {
        let has_room = self.free() > 0 || !self.shared.is_empty() || self.can_start(now);
        has_room && !self.record.retired
    }

    pub(crate) fn can_start(&self, now: Timestamp) -> bool {
        !self.record.retired
            && self.total() < self.spec().max.0
            && self
                .record
                .starts_blocked_until
                .is_none_or(|until| until <= now)
    }
}

pub(crate) fn reserved(record: &PoolRecord) -> u32 {
    record
        .reservations
        .values()
        .fold(0, |sum: u32, &count| sum.saturating_add(count))
}

impl Instance {
    pub(crate) fn new(record: InstanceRecord, pool: PoolIx) -> Self {
        Self {
            record,
            pool,
            holders: Holders::default(),
            tenant: None,
            asked: Shape::default(),
            shapeless: 0,
        }
    }

    pub(crate) fn place(&self) -> Place {
        if let Phase::Stopping { .. } = self.record.phase {
            return Place::Stopping;
        }
        if !self.holders.is_empty() {
            return Place::Held;
        }
        if self.record.used || self.record.draining {
            return Place::Loose;
        }
        match self.record.phase {
            Phase::Ready { since } => Place::Ready(since),
            Phase::Starting { .. } | Phase::Resetting { .. } => Place::Starting,
            Phase::Stopping { .. } => Place::Stopping,
        }
    }

    /// Whether nobody new may join its holders, and whether it goes after use.
    pub(crate) fn is_outdated(&self, spec: &PoolSpec) -> bool {
        self.record.draining || self.is_of_old(spec)
    }

    /// Whether it was started from an older definition of its pool. While it is free it serves until
    /// it is replaced.
    pub(crate) fn is_of_old(&self, spec: &PoolSpec) -> bool {
        self.record.revision != spec.revision
    }

    pub(crate) fn is_ready(&self) -> bool {
        matches!(self.record.phase, Phase::Ready { .. })
    }

    /// What is left for another holder of the same tenant, if sharing is allowed at all.
    pub(crate) fn room(&self, spec: &PoolSpec) -> Option<Shape> {
        if spec.shares <= 1
            || self.holders.is_empty()
            || self.holders.len() >= spec.shares
            || self.is_outdated(spec)
            || matches!(self.record.phase, Phase::Stopping { .. })
        {
            return None;
        }
        let by_name = spec.shape.share(spec.shares).times(self.shapeless);
        spec.shape.less(&by_name.plus(&self.asked))
    }
}

/// Where a tenant is kept.
pub(crate) fn tenant_slot(tenant: &TenantId) -> (u64, TenantId) {
    (hash_of(tenant.as_str().bytes()), tenant.clone())
}
