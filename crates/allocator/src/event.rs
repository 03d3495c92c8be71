//! What was decided. The state is the sum of its events: recovery applies them and decides nothing.

use std::sync::Arc;

use foreshadow_types::{AllocationId, EntityId, InstanceId, PoolName, TenantId, Timestamp};

use crate::{
    AdoptedPlan, AllocationRecord, AllocationState, Binding, PoolSpec, TenantQuota,
    record::{Counters, InstanceRecord, PoolRecord},
};

/// One decision and its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// When it was decided.
    pub at: Timestamp,
    /// What was decided.
    pub kind: EventKind,
}

/// Why an instance was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StopCause {
    /// The target is lower.
    Surplus,
    /// It was used.
    Used,
    /// It failed, or its start or reset did.
    Failed,
    /// It was too old, or of an older revision, or drained, or its pool was retired.
    Replaced,
}

/// What was decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventKind {
    /// A pool was defined anew or changed.
    PoolDefined(Arc<PoolSpec>),
    /// A pool is on its way out.
    PoolRetired(PoolName),
    /// A retired pool has no instance and no live allocation left.
    PoolRemoved(PoolName),
    /// A tenant's quota was set or, if it is empty, taken away.
    TenantLimited {
        /// The tenant.
        tenant: TenantId,
        /// Its quota.
        quota: TenantQuota,
    },
    /// A plan came into force, bounded by the limits of the pools.
    PlanAdopted(Arc<AdoptedPlan>),
    /// An entity took one of the instances reserved for it.
    ReservationTaken {
        /// In which pool.
        pool: PoolName,
        /// For whom.
        entity: EntityId,
    },
    /// No start before this time, because starts fail; `None` lifts it.
    StartsBlocked {
        /// In which pool.
        pool: PoolName,
        /// Until when.
        until: Option<Timestamp>,
    },
    /// An instance is to be started.
    InstanceStarted {
        /// Its id.
        instance: InstanceId,
        /// Its pool.
        pool: PoolName,
        /// When the start counts as failed.
        deadline: Timestamp,
    },
    /// An instance is ready; without an address, the one it had.
    InstanceReady {
        /// Its id.
        instance: InstanceId,
        /// Where to reach it.
        address: Option<Arc<str>>,
    },
    /// An instance is ready that was given rather than started: how long that took says nothing of
    /// starts.
    InstanceGiven {
        /// Its id.
        instance: InstanceId,
        /// Where to reach it.
        address: Arc<str>,
    },
    /// An instance is to be cleaned.
    InstanceResetting {
        /// Its id.
        instance: InstanceId,
        /// When the reset counts as failed.
        deadline: Timestamp,
    },
    /// An instance is to stop when nobody holds it any more.
    InstanceDraining {
        /// Its id.
        instance: InstanceId,
    },
    /// An instance is to be stopped. Nobody holds it.
    InstanceStopping {
        /// Its id.
        instance: InstanceId,
        /// Why.
        cause: StopCause,
        /// When to ask again.
        retry_at: Timestamp,
    },
    /// Nothing is left of an instance. Nobody holds it.
    InstanceGone {
        /// Its id.
        instance: InstanceId,
    },
    /// A request was taken in.
    AllocationCreated(Box<AllocationRecord>),
    /// An allocation came to stand otherwise.
    AllocationBound {
        /// Its id.
        id: AllocationId,
        /// How it stands now; never `Ended`.
        binding: Binding,
    },
    /// A lease was extended.
    LeaseRenewed {
        /// Its allocation.
        id: AllocationId,
        /// When it ends now.
        expires_at: Timestamp,
    },
    /// An allocation is over; what it held is free of it.
    AllocationEnded {
        /// Its id.
        id: AllocationId,
        /// How it ended.
        state: AllocationState,
    },
    /// Part of a snapshot: where the numbering stands.
    CountersRestored(Counters),
    /// Part of a snapshot: a pool.
    PoolRestored(Box<PoolRecord>),
    /// Part of a snapshot: an instance, after its pool.
    InstanceRestored(Box<InstanceRecord>),
    /// Part of a snapshot: an allocation, after its instance.
    AllocationRestored(Box<AllocationRecord>),
}
