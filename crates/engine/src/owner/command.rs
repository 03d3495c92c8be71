//! What the owner is asked.

use foreshadow_allocator::{Allocation, Input, ListFilter, Page, PoolStatus, Reply, TenantQuota};
use foreshadow_types::{
    AllocationId, FencingToken, InstanceId, PoolName, TenantId, Timestamp, UserId,
};
use tokio::sync::{oneshot, watch};
use tracing::Span;

use crate::{clock::Stopwatch, error::EngineError};

/// Where one answer goes.
pub(crate) type Answer<T> = oneshot::Sender<T>;

/// What came of one input.
pub(crate) type Outcome = Result<Reply, EngineError>;

/// A pool as planning sees it.
#[derive(Debug, Clone)]
pub(crate) struct PoolInventory {
    pub(crate) status: PoolStatus,
    /// The times of requests ahead that have no instance yet.
    pub(crate) bookings: Vec<Timestamp>,
}

/// One question or command.
#[derive(Debug)]
pub(crate) enum OwnerCommand {
    One {
        input: Input,
        asked: Stopwatch,
        /// Of whoever asks, if traced.
        span: Span,
        reply: Answer<Outcome>,
    },
    Many {
        inputs: Vec<Input>,
        asked: Stopwatch,
        /// Of whoever asks, if traced.
        span: Span,
        reply: Answer<Vec<Outcome>>,
    },
    Get {
        id: AllocationId,
        reply: Answer<Result<Allocation, EngineError>>,
    },
    Watch {
        id: AllocationId,
        reply: Answer<Result<watch::Receiver<Allocation>, EngineError>>,
    },
    List {
        filter: ListFilter,
        after: Option<AllocationId>,
        limit: usize,
        reply: Answer<Page>,
    },
    OfUser {
        user: UserId,
        reply: Answer<Vec<Allocation>>,
    },
    CheckToken {
        instance: InstanceId,
        token: FencingToken,
        reply: Answer<Result<(), EngineError>>,
    },
    Quotas {
        reply: Answer<Vec<(TenantId, TenantQuota)>>,
    },
    Pools {
        reply: Answer<Vec<PoolStatus>>,
    },
    Pool {
        name: PoolName,
        reply: Answer<Option<PoolStatus>>,
    },
    Inventory {
        reply: Answer<Vec<PoolInventory>>,
    },
    /// Ends the segment of the journal that is being written, if it holds anything.
    EndSegment,
    /// Leaves a user out of everything decided so far.
    Forget {
        user: UserId,
        reply: Answer<Result<u64, EngineError>>,
    },
    PutDocument {
        name: &'static str,
        body: Vec<u8>,
        reply: Answer<Result<(), EngineError>>,
    },
}
