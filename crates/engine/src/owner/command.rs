//! What the owner is asked.

use foreshadow_allocator::{Allocation, Input, ListFilter, Page, PoolStatus, Reply};
use foreshadow_types::{AllocationId, UserId};
use tokio::sync::{oneshot, watch};

use crate::error::EngineError;

/// Where one answer goes.
pub(crate) type Answer<T> = oneshot::Sender<T>;

/// What came of one input.
pub(crate) type Outcome = Result<Reply, EngineError>;

/// One question or command.
#[derive(Debug)]
pub(crate) enum OwnerCommand {
    One {
        input: Input,
        reply: Answer<Outcome>,
    },
    Many {
        inputs: Vec<Input>,
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
    Pools {
        reply: Answer<Vec<PoolStatus>>,
    },
}
