//! Which of the traces that begin here are kept.

use opentelemetry::{
    Context, KeyValue,
    trace::{Link, SpanKind, TraceId},
};
use opentelemetry_sdk::trace::{Sampler, SamplingResult, ShouldSample};

/// A span that begins a trace is kept if one that it is linked to is; else as the other says. So whoever
/// follows a claim that waited finds the start that it waited for.
#[derive(Debug, Clone)]
pub(super) struct LinkedOr(pub(super) Sampler);

impl ShouldSample for LinkedOr {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        let linked = links.iter().any(|link| link.span_context.is_sampled());
        let sampler = if linked { &Sampler::AlwaysOn } else { &self.0 };
        sampler.should_sample(parent, trace, name, kind, attributes, links)
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceState};
    use opentelemetry_sdk::trace::SamplingDecision;

    use super::*;

    fn kept(sampler: &LinkedOr, links: &[Link]) -> bool {
        let (trace, kind) = (TraceId::from(u128::MAX / 2), SpanKind::Internal);
        let result = sampler.should_sample(None, trace, "start", &kind, &[], links);
        result.decision == SamplingDecision::RecordAndSample
    }

    fn link(flags: TraceFlags) -> Link {
        let (trace, span) = (TraceId::from(7), SpanId::from(7));
        Link::with_context(SpanContext::new(
            trace,
            span,
            flags,
            false,
            TraceState::NONE,
        ))
    }

    #[test]
    fn what_a_kept_span_links_to_is_kept() {
        let never = LinkedOr(Sampler::TraceIdRatioBased(0.0));
        assert!(!kept(&never, &[]));
        assert!(!kept(&never, &[link(TraceFlags::default())]));
        assert!(kept(
            &never,
            &[link(TraceFlags::default()), link(TraceFlags::SAMPLED)]
        ));
        assert!(kept(&LinkedOr(Sampler::TraceIdRatioBased(1.0)), &[]));
    }
}
