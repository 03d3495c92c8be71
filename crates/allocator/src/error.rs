//! Why an input was refused.

use std::time::Duration;

use foreshadow_types::{AllocationId, FencingToken, InstanceId, PoolName, TenantId};
use thiserror::Error;

use crate::{AllocationState, PoolSpecError, QuotaError, RequestRate};

/// Why an input was refused. A refused input has changed nothing.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AllocatorError {
    /// There is no such pool (not found).
    #[error("there is no pool {0}")]
    UnknownPool(PoolName),
    /// No pool meets the requirements, whether busy or not (failed precondition).
    #[error("no pool meets the requirements")]
    NothingFits,
    /// Nothing is free and the request may not or cannot wait (resource exhausted).
    #[error("pool {pool} has nothing free and {}", if *.queue_full {"its queue is full"} else {"the request does not wait"})]
    Exhausted {
        /// The pool that would have served it.
        pool: PoolName,
        /// Whether it was refused because the queue is full.
        queue_full: bool,
        /// When a retry is expected to find room.
        retry_after: Duration,
    },
    /// The tenant has as many live allocations as it may (resource exhausted).
    #[error("tenant {tenant} has {limit} live allocations, as many as it may")]
    TenantLimit {
        /// The tenant.
        tenant: TenantId,
        /// Its limit.
        limit: u32,
        /// When one of its leases is expected to end.
        retry_after: Duration,
    },
    /// The tenant asks more often than it may (resource exhausted).
    #[error("tenant {tenant} asks more often than it may, {} a second", .rate.per_second)]
    TenantRate {
        /// The tenant.
        tenant: TenantId,
        /// Its rate.
        rate: RequestRate,
        /// When its next request is taken.
        retry_after: Duration,
    },
    /// The tenant holds, or waits for, as many instances of the pool as it may (resource exhausted).
    #[error("tenant {tenant} holds or waits for {cap} instances of pool {pool}, as many as it may")]
    WarmCap {
        /// The tenant.
        tenant: TenantId,
        /// The pool that would have served it.
        pool: PoolName,
        /// Its cap there.
        cap: u32,
        /// When one of its leases is expected to end.
        retry_after: Duration,
    },
    /// There is no such allocation, or it ended long ago (not found).
    #[error("there is no allocation {0}")]
    UnknownAllocation(AllocationId),
    /// There is no such instance (not found). A driver stops an instance that it is told of so.
    #[error("there is no instance {0}")]
    UnknownInstance(InstanceId),
    /// The token is not the one of the hold (failed precondition).
    #[error("fencing token {} is stale for allocation {id}", .presented.0)]
    StaleToken {
        /// The allocation.
        id: AllocationId,
        /// What was presented.
        presented: FencingToken,
    },
    /// The allocation's state does not allow it (failed precondition).
    #[error("allocation {id} is {state:?} and cannot be {wanted}")]
    WrongState {
        /// The allocation.
        id: AllocationId,
        /// Where it stands.
        state: AllocationState,
        /// What was wanted: `released`, `renewed` or `cancelled`.
        wanted: &'static str,
    },
    /// The idempotency key was used with another body (already exists).
    #[error("the idempotency key was used before with another request, allocation {id}")]
    IdempotencyConflict {
        /// The allocation of the first use.
        id: AllocationId,
    },
    /// The lease duration asked for is zero or longer than 366 days (invalid argument).
    #[error("a lease lasts more than nothing and at most 366 days")]
    BadLeaseDuration,
    /// The plan is not newer than the one in force (aborted).
    #[error("plan {offered} is not newer than plan {current}, which is in force")]
    StalePlan {
        /// Generation of the plan in force.
        current: u64,
        /// Generation of the plan offered.
        offered: u64,
    },
    /// The pool's definition is wrong (invalid argument).
    #[error(transparent)]
    PoolSpec(#[from] PoolSpecError),
    /// The quota is wrong (invalid argument).
    #[error(transparent)]
    Quota(#[from] QuotaError),
}

impl AllocatorError {
    /// When a retry is expected to succeed, for errors that pass.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Exhausted { retry_after, .. }
            | Self::TenantLimit { retry_after, .. }
            | Self::TenantRate { retry_after, .. }
            | Self::WarmCap { retry_after, .. } => Some(*retry_after),
            Self::UnknownPool(_)
            | Self::NothingFits
            | Self::UnknownAllocation(_)
            | Self::UnknownInstance(_)
            | Self::StaleToken { .. }
            | Self::WrongState { .. }
            | Self::IdempotencyConflict { .. }
            | Self::BadLeaseDuration
            | Self::StalePlan { .. }
            | Self::PoolSpec(_)
            | Self::Quota(_) => None,
        }
    }
}
