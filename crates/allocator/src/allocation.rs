//! What a caller is told about a request of theirs.

use std::{sync::Arc, time::Duration};

use foreshadow_types::{
    AllocationId, ApplicationId, FencingToken, InstanceId, PoolName, TenantId, Timestamp, UserId,
};

/// Where an allocation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AllocationState {
    /// Waits for a free instance. → Joined or Granted when one is free; → Rejected when `max_wait`
    /// has passed; → Cancelled.
    Queued,
    /// Promised for a time ahead. → Granted, Joined or Queued at that time; → Cancelled.
    Booked,
    /// Bound to an instance that is still starting. → Granted when it is ready; → Queued or Joined
    /// elsewhere when the start fails; → Rejected when `max_wait` has passed; → Cancelled.
    Joined,
    /// Holds an instance. → Released by its holder; → Expired at its deadline; → Lost when the
    /// instance fails.
    Granted,
    /// Given back. Final.
    Released,
    /// The lease ran out, or a booking was not claimed within its grace period. Final.
    Expired,
    /// Withdrawn before it held an instance. Final.
    Cancelled,
    /// Nothing was free within `max_wait`, or its pool was retired. Final.
    Rejected,
    /// The instance failed while it was held. Final.
    Lost,
}

impl AllocationState {
    /// Whether the allocation waits for an instance, free or starting.
    pub fn waits(self) -> bool {
        matches!(self, Self::Queued | Self::Joined)
    }

    /// Whether the allocation counts against its tenant and can still change.
    pub fn is_live(self) -> bool {
        match self {
            Self::Queued | Self::Booked | Self::Joined | Self::Granted => true,
            Self::Released | Self::Expired | Self::Cancelled | Self::Rejected | Self::Lost => false,
        }
    }
}

/// How an allocation was served at first: what a demand model learns from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Served {
    /// By an instance that was ready: a hit.
    Ready,
    /// By sharing an instance that another allocation holds already.
    Merged,
    /// By joining an instance that was starting already: a join.
    Starting,
    /// By an instance started for it: a miss.
    Started,
    /// By nothing yet: queued, a miss too, or booked ahead.
    Nothing,
}

/// The instance of an allocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceRef {
    /// Its id.
    pub id: InstanceId,
    /// Where to reach it; `None` while it is starting.
    pub address: Option<Arc<str>>,
}

/// One request and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allocation {
    /// Its id.
    pub id: AllocationId,
    /// Where it stands.
    pub state: AllocationState,
    /// The pool that serves it.
    pub pool: PoolName,
    /// Who pays.
    pub tenant: TenantId,
    /// Who asked.
    pub user: Option<UserId>,
    /// What runs.
    pub application: Option<ApplicationId>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it was needed.
    pub available_at: Timestamp,
    /// Whether an instance was ready when it was asked for.
    pub warm: bool,
    /// Whether it shares its instance with an earlier allocation.
    pub merged: bool,
    /// How it was served at first.
    pub served: Served,
    /// Its instance, if it has one.
    pub instance: Option<InstanceRef>,
    /// Proof of the hold, asked for on release and renewal; `None` while queued.
    pub fencing_token: Option<FencingToken>,
    /// When the lease ends unless renewed; `None` unless granted.
    pub lease_expires_at: Option<Timestamp>,
    /// Place in the queue, from 1; `None` unless queued.
    pub queue_position: Option<u32>,
    /// How long until it is granted, by what is known now; `None` unless it waits.
    pub estimated_wait: Option<Duration>,
}

/// Which allocations to list; an empty filter lists all.
#[derive(Debug, Clone, Default)]
pub struct ListFilter {
    /// Only of this tenant.
    pub tenant: Option<TenantId>,
    /// Only of this user.
    pub user: Option<UserId>,
    /// Only in this pool.
    pub pool: Option<PoolName>,
    /// Only in one of these states; empty means any.
    pub states: Vec<AllocationState>,
}

/// Allocations in order of their ids.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// The allocations of this page.
    pub allocations: Vec<Allocation>,
    /// Where the next page starts (pass it as `after`); `None` at the end. A page may hold fewer
    /// allocations than asked for, even none, when the filter passes few.
    pub next: Option<AllocationId>,
}
