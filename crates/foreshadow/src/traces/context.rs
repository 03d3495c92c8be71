//! The context of a trace, as W3C has it in headers.

use std::collections::HashMap;

use foreshadow_server::{GoneOn, TraceContext};
use opentelemetry::{
    Context,
    propagation::{Extractor, TextMapPropagator as _},
    trace::TraceContextExt as _,
};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// The headers that tell of a trace.
const HEADERS: [&str; 2] = ["traceparent", "tracestate"];

/// Trace contexts in the headers `traceparent` and `tracestate`.
#[derive(Debug, Default)]
pub(crate) struct W3c {
    propagator: TraceContextPropagator,
}

impl TraceContext for W3c {
    fn go_on(&self, span: &Span, header: &dyn Fn(&str) -> Option<String>) -> GoneOn {
        let caller = self
            .propagator
            .extract_with_context(&Context::new(), &Told::by(header));
        // A span that nobody collects has no place in a trace.
        let _ = span.set_parent(caller);
        let own = span.context();
        let mut headers = HashMap::new();
        self.propagator.inject_context(&own, &mut headers);
        GoneOn {
            sampled: own.span().span_context().is_sampled(),
            headers: headers.into_iter().collect(),
        }
    }

    fn rename(&self, span: &Span, name: String) {
        span.context().span().update_name(name);
    }
}

/// What the headers of a call tell of its trace.
struct Told(Vec<(&'static str, String)>);

impl Told {
    fn by(header: &dyn Fn(&str) -> Option<String>) -> Self {
        let told = HEADERS.into_iter();
        Self(
            told.filter_map(|name| Some((name, header(name)?)))
                .collect(),
        )
    }
}

impl Extractor for Told {
    fn get(&self, key: &str) -> Option<&str> {
        let found = self.0.iter().find(|(name, _)| *name == key);
        found.map(|(_, value)| value.as_str())
    }

    fn keys(&self) -> Vec<&str> {
        self.0.iter().map(|(name, _)| *name).collect()
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::TracerProvider as _;
    use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    /// Goes on from a caller's headers where a fresh trace is kept, or is not.
    fn gone_on(headers: &[(&str, &str)], fresh_is_kept: bool) -> (GoneOn, HashMap<String, String>) {
        let root = if fresh_is_kept {
            Sampler::AlwaysOn
        } else {
            Sampler::AlwaysOff
        };
        let provider = SdkTracerProvider::builder()
            .with_sampler(Sampler::ParentBased(Box::new(root)))
            .build();
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::with_default(subscriber, || {
            let span = tracing::info_span!("call");
            let header = |name: &str| {
                let found = headers.iter().find(|(key, _)| *key == name);
                found.map(|(_, value)| (*value).to_owned())
            };
            let mut gone = W3c::default().go_on(&span, &header);
            let headers = gone.headers.drain(..).collect();
            (gone, headers)
        })
    }

    #[test]
    fn a_callers_trace_goes_on_and_is_kept_as_the_caller_says() {
        for (flags, kept) in [("01", true), ("00", false)] {
            let parent = format!("00-{TRACE}-00f067aa0ba902b7-{flags}");
            let caller = [("traceparent", &*parent), ("tracestate", "vendor=1")];
            let (gone, headers) = gone_on(&caller, !kept);
            assert_eq!(gone.sampled, kept);
            let next = &headers["traceparent"];
            assert!(next.starts_with(&format!("00-{TRACE}-")), "{next}");
            assert!(next.ends_with(&format!("-{flags}")), "{next}");
            assert!(
                !next.contains("00f067aa0ba902b7"),
                "the next parent is this span: {next}"
            );
            assert_eq!(headers["tracestate"], "vendor=1");
        }
    }

    #[test]
    fn what_is_no_context_begins_a_trace() {
        let all_zero = format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32));
        let no_span = format!("00-{TRACE}-{}-01", "0".repeat(16));
        let of_255 = format!("ff-{TRACE}-00f067aa0ba902b7-01");
        let long = format!("00-{TRACE}-00f067aa0ba902b7-01-more");
        let shouted = format!("00-{}-00f067aa0ba902b7-01", TRACE.to_uppercase());
        for parent in [
            "", "00", "secret", &all_zero, &no_span, &of_255, &long, &shouted,
        ] {
            for kept in [true, false] {
                let (gone, headers) = gone_on(&[("traceparent", parent)], kept);
                assert_eq!(gone.sampled, kept, "{parent}");
                let next = &headers["traceparent"];
                assert!(!next.contains(TRACE), "{parent} gave {next}");
            }
        }
    }
}
