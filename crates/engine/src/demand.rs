//! What the owner tells the other parts of: requests and what became of them, and starts.

use std::{sync::Arc, time::Duration};

use foreshadow_allocator::{
    Allocation, AllocationRequest, AllocationState, Allocator, AllocatorError, Reply, Served,
    Target,
};
use foreshadow_history::RequestRecord;
use foreshadow_planner::Outcome;
use foreshadow_types::{AllocationId, PoolName, Timestamp};

use crate::error::EngineError;

/// One thing that happened, for the collector and for planning.
#[derive(Debug, Clone)]
pub(crate) enum Happening {
    /// A request, whatever became of it: demand is what was asked for.
    Request(RequestSeen),
    /// An instance became ready.
    Started { pool: PoolName, took: Duration },
    /// A start failed.
    StartFailed { pool: PoolName },
    /// What the history holds of a request has changed.
    Recorded(Recorded),
}

/// What was journalled for the history.
#[derive(Debug, Clone)]
pub(crate) enum Recorded {
    /// A request was taken in; its row is complete when it has ended.
    Opened(AllocationId, RequestRecord),
    /// A request has ended.
    Closed {
        id: AllocationId,
        row: RequestRecord,
        ended_at: Timestamp,
    },
    /// A request was refused.
    Refused(RequestRecord),
    /// All that was recorded before is in this segment of the journal or in earlier ones; none if the
    /// segment could not be ended.
    Segment(Option<u64>),
}

/// A request as it was seen.
#[derive(Debug, Clone)]
pub(crate) struct RequestSeen {
    pub(crate) at: Timestamp,
    pub(crate) pool: PoolName,
    pub(crate) request: Arc<AllocationRequest>,
    pub(crate) fate: Fate,
    /// Whether it waits, or was refused, for the shape alone that it asks for.
    pub(crate) shape_mismatch: bool,
}

/// What became of a request at first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Served(Outcome),
    /// By an instance that others hold: nothing was taken from the pool.
    Merged(Outcome),
    Booked,
    Rejected,
}

impl RequestSeen {
    /// What is to be noted of a request that was just decided on; nothing if it named no pool that
    /// there is.
    pub(crate) fn of(
        request: Arc<AllocationRequest>,
        outcome: &Result<Reply, EngineError>,
        at: Timestamp,
        allocator: &Allocator,
    ) -> Option<Self> {
        let (pool, fate) = match outcome {
            Ok(Reply::Allocation(allocation)) => (allocation.pool.clone(), fate(allocation)),
            Err(EngineError::Allocator(error)) => (asked_of(error, &request)?, Fate::Rejected),
            Ok(Reply::Done) | Err(_) => return None,
        };
        let lacked = lacked_instance(fate, &request, outcome);
        Some(Self {
            at,
            pool,
            shape_mismatch: lacked && allocator.waits_for_shape(&request),
            request,
            fate,
        })
    }
}

/// Whether the request found no ready instance, rather than being refused or given that of its key,
/// which it would get whatever it asked for.
fn lacked_instance(
    fate: Fate,
    request: &AllocationRequest,
    outcome: &Result<Reply, EngineError>,
) -> bool {
    match fate {
        Fate::Served(outcome) => outcome != Outcome::Hit,
        Fate::Merged(outcome) => outcome != Outcome::Hit && request.merge_key().is_none(),
        Fate::Rejected => matches!(
            outcome,
            Err(EngineError::Allocator(AllocatorError::Exhausted { .. }))
        ),
        Fate::Booked => false,
    }
}

fn fate(allocation: &Allocation) -> Fate {
    if allocation.state == AllocationState::Booked {
        return Fate::Booked;
    }
    let outcome = match allocation.served {
        Served::Ready | Served::Merged => Outcome::Hit,
        Served::Starting => Outcome::Join,
        Served::Started | Served::Nothing => Outcome::Miss,
    };
    if allocation.merged {
        Fate::Merged(outcome)
    } else {
        Fate::Served(outcome)
    }
}

/// The pool that a refused request would have used.
fn asked_of(error: &AllocatorError, request: &AllocationRequest) -> Option<PoolName> {
    match error {
        AllocatorError::Exhausted { pool, .. } => Some(pool.clone()),
        AllocatorError::TenantLimit { .. }
        | AllocatorError::TenantRate { .. }
        | AllocatorError::WarmCap { .. } => match request.target() {
            Target::Pool(pool) => Some(pool.clone()),
            Target::Requirements(_) => None,
        },
        AllocatorError::UnknownPool(_)
        | AllocatorError::NothingFits
        | AllocatorError::UnknownAllocation(_)
        | AllocatorError::UnknownInstance(_)
        | AllocatorError::StaleToken { .. }
        | AllocatorError::WrongState { .. }
        | AllocatorError::IdempotencyConflict { .. }
        | AllocatorError::BadLeaseDuration
        | AllocatorError::StalePlan { .. }
        | AllocatorError::PoolSpec(_)
        | AllocatorError::Quota(_) => None,
    }
}

#[cfg(test)]
mod tests;
