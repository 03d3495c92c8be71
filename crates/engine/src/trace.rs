//! What is told of calls, starts and ticks to whoever collects traces.
//!
//! Spans go through `tracing`, under a target of their own that logs leave out. While nobody collects
//! them, making one is a comparison.

use foreshadow_allocator::{Allocation, AllocationState, Reply};
pub use foreshadow_providers::trace::{TARGET, tell_with};
use tracing::Span;

use crate::error::EngineError;

/// The field of a span with the pool that it is about.
pub const POOL: &str = "foreshadow.pool";
/// The field with the id of an allocation.
pub const ALLOCATION: &str = "foreshadow.allocation.id";
/// The field with the id of an instance.
pub const INSTANCE: &str = "foreshadow.instance.id";
/// The field with what came of it, in one word.
pub const OUTCOME: &str = "foreshadow.outcome";

/// The outcome of what was asked for and not given.
pub const REFUSED: &str = "refused";

/// Whether anybody collects traces.
pub fn is_on() -> bool {
    tracing::span_enabled!(target: TARGET, tracing::Level::INFO)
}

/// The span of whoever calls this; none while nobody collects traces.
pub fn current() -> Span {
    if is_on() {
        Span::current()
    } else {
        Span::none()
    }
}

/// How an allocation stands, in the word of its state.
pub(crate) fn word(state: AllocationState) -> &'static str {
    match state {
        AllocationState::Queued => "queued",
        AllocationState::Booked => "booked",
        AllocationState::Joined => "joined",
        AllocationState::Granted => "granted",
        AllocationState::Released => "released",
        AllocationState::Expired => "expired",
        AllocationState::Cancelled => "cancelled",
        AllocationState::Rejected => "rejected",
        AllocationState::Lost => "lost",
    }
}

/// Tells a span what became of an allocation.
pub(crate) fn tell(span: &Span, allocation: &Allocation) {
    span.record(POOL, allocation.pool.as_str());
    span.record(ALLOCATION, tracing::field::display(allocation.id));
    span.record(OUTCOME, word(allocation.state));
    if let Some(instance) = &allocation.instance {
        span.record(INSTANCE, tracing::field::display(instance.id));
    }
}

/// Tells a span what came of an input.
pub(crate) fn tell_outcome(span: &Span, outcome: &Result<Reply, EngineError>) {
    match outcome {
        Ok(Reply::Allocation(allocation)) => tell(span, allocation),
        Ok(Reply::Done) => {}
        Err(_) => {
            span.record(OUTCOME, REFUSED);
        }
    }
}
