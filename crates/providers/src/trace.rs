//! What is told of calls to providers to whoever collects traces.
//!
//! As the collector of spans is one for the whole process, so is what puts them into headers.

use std::sync::OnceLock;

use tonic::metadata::{AsciiMetadataKey, AsciiMetadataValue, MetadataMap};
use tracing::{Span, field::Empty, info_span};

/// The target of every span that belongs to a trace.
pub const TARGET: &str = "foreshadow_traces";

/// The headers that tell whoever is called which trace a span belongs to.
pub type TraceHeaders = fn(&Span) -> Vec<(String, String)>;

static HEADERS: OnceLock<TraceHeaders> = OnceLock::new();

/// Says how the trace of a span is told in headers; what is said first holds.
pub fn tell_with(headers: TraceHeaders) {
    HEADERS.get_or_init(|| headers);
}

/// The span of a call that starts an instance; none if its start is not traced.
pub(crate) fn call_of(start: &Span, method: &'static str) -> Span {
    if start.is_disabled() {
        return Span::none();
    }
    info_span!(
        target: TARGET,
        parent: start,
        "provider call",
        otel.name = format!("foreshadow.provider.v1.Provider/{method}"),
        otel.kind = "client",
        otel.status_code = Empty,
        rpc.system = "grpc",
        rpc.service = "foreshadow.provider.v1.Provider",
        rpc.method = method,
    )
}

/// Has a call tell of its span.
pub(crate) fn tell(span: &Span, metadata: &mut MetadataMap) {
    let Some(headers) = HEADERS.get().filter(|_| !span.is_disabled()) else {
        return;
    };
    for (name, value) in headers(span) {
        let name = name.parse::<AsciiMetadataKey>();
        let value = value.parse::<AsciiMetadataValue>();
        if let (Ok(name), Ok(value)) = (name, value) {
            metadata.insert(name, value);
        }
    }
}
