//! The context of a trace, as W3C has it in headers.

use std::collections::HashMap;

use foreshadow_server::TraceContext;
use opentelemetry::{
    Context,
    propagation::{Extractor, TextMapPropagator as _},
    trace::TraceContextExt as _,
};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tonic::codegen::http::{HeaderMap, HeaderName, HeaderValue};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// Trace contexts in the headers `traceparent` and `tracestate`.
#[derive(Debug)]
pub(crate) struct W3c;

impl TraceContext for W3c {
    fn go_on(&self, span: &Span, headers: &mut HeaderMap) -> bool {
        let propagator = TraceContextPropagator::new();
        let caller = propagator.extract_with_context(&Context::new(), &Told(headers));
        // A span that nobody collects has no place in a trace.
        let _ = span.set_parent(caller);
        for name in propagator.fields() {
            headers.remove(name);
        }
        for (name, value) in headers_of(span) {
            let name = HeaderName::try_from(name);
            let value = HeaderValue::try_from(value);
            if let (Ok(name), Ok(value)) = (name, value) {
                headers.insert(name, value);
            }
        }
        span.context().span().span_context().is_sampled()
    }

    fn rename(&self, span: &Span, name: String) {
        span.context().span().update_name(name);
    }
}

/// The headers that tell of the trace of a span.
pub(crate) fn headers_of(span: &Span) -> Vec<(String, String)> {
    let mut headers = HashMap::new();
    TraceContextPropagator::new().inject_context(&span.context(), &mut headers);
    headers.retain(|_, value: &mut String| !value.is_empty());
    headers.into_iter().collect()
}

/// What the headers of a call tell of its trace.
struct Told<'a>(&'a HeaderMap);

impl Extractor for Told<'_> {
    /// A header that is there once: of several, none is to be believed.
    fn get(&self, key: &str) -> Option<&str> {
        let mut all = self.0.get_all(key).iter();
        let value = all.next()?.to_str().ok()?;
        all.next().is_none().then_some(value)
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::TracerProvider as _;
    use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    /// Goes on from a caller's headers where a fresh trace is kept, or is not; says whether this one is,
    /// and what the headers tell then.
    fn gone_on(told: &[(&'static str, &str)], fresh_is_kept: bool) -> (bool, HeaderMap) {
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
        let mut headers = HeaderMap::new();
        for (name, value) in told {
            headers.append(*name, value.parse().unwrap());
        }
        let kept = tracing::subscriber::with_default(subscriber, || {
            W3c.go_on(&tracing::info_span!("call"), &mut headers)
        });
        (kept, headers)
    }

    fn parent(headers: &HeaderMap) -> &str {
        headers["traceparent"].to_str().unwrap()
    }

    #[test]
    fn a_callers_trace_goes_on_and_is_kept_as_the_caller_says() {
        for (flags, kept) in [("01", true), ("00", false)] {
            let caller = format!("00-{TRACE}-00f067aa0ba902b7-{flags}");
            let told = [("traceparent", &*caller), ("tracestate", "vendor=1")];
            let (sampled, headers) = gone_on(&told, !kept);
            assert_eq!(sampled, kept);
            let next = parent(&headers);
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
    fn of_several_contexts_none_is_believed() {
        let one = format!("00-{TRACE}-00f067aa0ba902b7-01");
        let told = [("traceparent", &*one), ("traceparent", &*one)];
        let (_, headers) = gone_on(&told, true);
        assert!(!parent(&headers).contains(TRACE), "{headers:?}");
        assert_eq!(headers.get_all("traceparent").iter().count(), 1);
    }

    #[test]
    fn what_is_no_context_begins_a_trace() {
        let all_zero = format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32));
        let no_span = format!("00-{TRACE}-{}-01", "0".repeat(16));
        let of_255 = format!("ff-{TRACE}-00f067aa0ba902b7-01");
        let long = format!("00-{TRACE}-00f067aa0ba902b7-01-more");
        let shouted = format!("00-{}-00f067aa0ba902b7-01", TRACE.to_uppercase());
        for told in [
            "", "00", "secret", &all_zero, &no_span, &of_255, &long, &shouted,
        ] {
            for kept in [true, false] {
                let (sampled, headers) = gone_on(&[("traceparent", told)], kept);
                assert_eq!(sampled, kept, "{told}");
                let next = parent(&headers);
                assert!(!next.contains(TRACE), "{told} gave {next}");
            }
        }
    }
}
