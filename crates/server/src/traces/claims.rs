//! What a claim tells its span before anything is decided.

use foreshadow_api::v1::{AllocateStreamRequest, AllocateStreamResponse, allocate_result::Result};
use foreshadow_engine::trace;
use tracing::{Span, field::Empty, info_span};

use crate::error::ApiError;

/// A claim is refused before anything is decided.
pub(crate) fn not_taken(error: ApiError) -> ApiError {
    trace::current().record(trace::OUTCOME, trace::REFUSED);
    error
}

/// The span of one message of a stream; none if the stream is not traced.
pub(crate) fn exchange(stream: &Span, message: &AllocateStreamRequest) -> Span {
    if stream.is_disabled() {
        return Span::none();
    }
    info_span!(
        target: trace::TARGET,
        parent: stream,
        "exchange",
        foreshadow.requests = message.requests.len() as i64,
        foreshadow.releases = message.releases.len() as i64,
        foreshadow.refused = Empty,
    )
}

/// A message of a stream is answered.
pub(crate) fn exchanged(answer: &AllocateStreamResponse) {
    let span = trace::current();
    if span.is_disabled() {
        return;
    }
    let requests = answer.results.iter();
    let refused = requests.filter(|one| matches!(one.result, Some(Result::Error(_))));
    let releases = answer.releases.iter().filter(|one| one.error.is_some());
    let count = refused.count() + releases.count();
    span.record("foreshadow.refused", count as i64);
}
