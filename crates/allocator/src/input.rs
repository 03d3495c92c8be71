//! What the allocator is told, and what it answers.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use foreshadow_types::{AllocationId, EntityId, FencingToken, InstanceId, PoolName, TenantId};

use crate::{AdoptedPlan, Allocation, AllocationRequest, PoolSpec, TenantQuota};

/// Everything that can happen to the allocator, but for the passing of time.
#[derive(Debug, Clone)]
pub enum Input {
    /// A pool is new or has changed. The same definition again changes nothing.
    DefinePool(Box<PoolSpec>),
    /// A pool goes: what waits is rejected, warm instances stop, leases run to their end.
    RetirePool(PoolName),
    /// What a tenant may take; an empty quota takes the general limits again.
    LimitTenant {
        /// The tenant.
        tenant: TenantId,
        /// Its quota.
        quota: TenantQuota,
    },
    /// How much each entity is predicted to use, in percent of whoever uses most. It replaces what was
    /// told before, counts for requests that come later, and is not durable.
    PredictUsage(Arc<BTreeMap<EntityId, u8>>),
    /// The planner's newest plan.
    AdoptPlan(Box<AdoptedPlan>),
    /// A request.
    Allocate(Arc<AllocationRequest>),
    /// The holder gives its instance back.
    Release {
        /// Which allocation.
        id: AllocationId,
        /// Proof of the hold.
        token: FencingToken,
    },
    /// The holder wants to keep its instance; this also claims a booked one.
    Renew {
        /// Which allocation.
        id: AllocationId,
        /// Proof of the hold.
        token: FencingToken,
        /// How long from now; `None` repeats the lease's duration.
        duration: Option<Duration>,
    },
    /// A request that holds nothing yet is withdrawn.
    Cancel {
        /// Which allocation.
        id: AllocationId,
    },
    /// The provider says that an instance is up, after a start, a reset or a check.
    Ready {
        /// Which instance.
        instance: InstanceId,
        /// Where to reach it.
        address: Arc<str>,
    },
    /// The provider says that an instance is up which it was given rather than started: the time that
    /// took says nothing of how long starts take.
    Given {
        /// Which instance.
        instance: InstanceId,
        /// Where to reach it.
        address: Arc<str>,
    },
    /// The provider says that an instance does not work: its start failed, it is stuck or dead. It
    /// is stopped and replaced.
    Failed {
        /// Which instance.
        instance: InstanceId,
    },
    /// The provider says that nothing is left of an instance.
    Gone {
        /// Which instance.
        instance: InstanceId,
    },
    /// An administrator wants an instance out: at once if it is free, after use if it is held.
    Drain {
        /// Which instance.
        instance: InstanceId,
    },
    /// The same for all instances that a pool has now; others are started in their place.
    DrainPool(PoolName),
}

/// The answer to an [`Input`]. It may be sent only when all events decided so far are durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// The allocation that the input was about, as it stands now.
    Allocation(Box<Allocation>),
    /// There is nothing to say.
    Done,
}
