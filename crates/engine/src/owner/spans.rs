//! The spans of what the owner does and waits for, for whoever collects traces.

use std::collections::BTreeMap;

use foreshadow_allocator::{
    Allocation, AllocationState, Binding, Event, EventKind, Reply, StopCause,
};
use foreshadow_types::{AllocationId, InstanceId, PoolName};
use tracing::{Span, field::Empty, info_span};

use super::command::Outcome;
use crate::trace::{self, TARGET};

/// Waits, and starts, that are followed at a time; further ones have no span.
const MAX_FOLLOWED: usize = 16_384;

/// The spans that outlive a group of commands.
#[derive(Debug, Default)]
pub(super) struct Spans {
    /// Of requests that wait for an instance.
    waits: BTreeMap<AllocationId, Span>,
    /// Of instances that are being started.
    starts: BTreeMap<InstanceId, Start>,
}

/// An instance that is being started, and by which kind of provider.
#[derive(Debug)]
struct Start {
    span: Span,
    provider: &'static str,
}

impl Start {
    fn end(&self, provider: &'static str, outcome: &'static str) {
        // What was left last says when a span ended.
        let _here = self.span.enter();
        self.span.record("foreshadow.provider", provider);
        self.span.record(trace::OUTCOME, outcome);
    }
}

impl Spans {
    /// The span of a decision that somebody asked for; none if they are not traced.
    pub(super) fn decision(asked: &Span) -> Span {
        if asked.is_disabled() {
            return Span::none();
        }
        info_span!(
            target: TARGET,
            parent: asked,
            "decide",
            foreshadow.pool = Empty,
            foreshadow.allocation.id = Empty,
            foreshadow.instance.id = Empty,
            foreshadow.outcome = Empty,
        )
    }

    /// What was asked is decided; gives the span of the commit that its reply waits for.
    pub(super) fn decided(&mut self, asked: &Span, decision: Span, outcomes: &[Outcome]) -> Span {
        if decision.is_disabled() {
            return Span::none();
        }
        if let [outcome] = outcomes {
            trace::tell_outcome(&decision, outcome);
            trace::tell_outcome(asked, outcome);
        }
        for outcome in outcomes {
            if let Ok(Reply::Allocation(allocation)) = outcome {
                self.wait(asked, allocation);
            }
        }
        drop(decision);
        info_span!(target: TARGET, parent: asked, "commit", otel.status_code = Empty)
    }

    /// A request that was not granted at once is followed until it is, or has ended.
    fn wait(&mut self, asked: &Span, allocation: &Allocation) {
        let is_new = allocation.state.waits() && !self.waits.contains_key(&allocation.id);
        if !is_new || self.waits.len() >= MAX_FOLLOWED {
            return;
        }
        let span = info_span!(
            target: TARGET,
            parent: asked,
            "wait",
            foreshadow.pool = allocation.pool.as_str(),
            foreshadow.allocation.id = %allocation.id,
            foreshadow.instance.id = Empty,
            foreshadow.outcome = Empty,
        );
        self.waits.insert(allocation.id, span);
    }

    /// Follows one event: a grant, or an end, is the end of a wait.
    pub(super) fn note(&mut self, event: &Event) {
        if self.waits.is_empty() && self.starts.is_empty() {
            return;
        }
        if let EventKind::AllocationBound {
            id,
            binding: Binding::Granted { hold, .. },
        } = &event.kind
            && let Some(span) = self.waits.remove(id)
        {
            span.record(trace::INSTANCE, tracing::field::display(hold.instance));
            span.record(trace::OUTCOME, trace::word(AllocationState::Granted));
        }
        if let EventKind::AllocationEnded { id, state } = &event.kind
            && let Some(span) = self.waits.remove(id)
        {
            span.record(trace::OUTCOME, trace::word(*state));
        }
        if let EventKind::InstanceStopping {
            instance, cause, ..
        } = &event.kind
        {
            self.stopping(*instance, *cause);
        }
    }

    /// A provider that says why a start has failed has said so before.
    fn stopping(&mut self, instance: InstanceId, cause: StopCause) {
        if cause == StopCause::Failed {
            self.failed(instance, "it was not ready in time");
        } else {
            self.started(instance, "stopped");
        }
    }

    /// An instance is being started: gives its span, which begins a trace of its own, since many calls
    /// may come to wait for it, and is linked to the one that it is started for.
    pub(super) fn start(
        &mut self,
        pool: &PoolName,
        instance: InstanceId,
        provider: &'static str,
        holder: Option<AllocationId>,
    ) -> Span {
        // After a restart a start is asked for again.
        if let Some(start) = self.starts.get(&instance) {
            return start.span.clone();
        }
        if self.starts.len() >= MAX_FOLLOWED {
            return Span::none();
        }
        let span = info_span!(
            target: TARGET,
            parent: None,
            "start",
            foreshadow.pool = pool.as_str(),
            foreshadow.instance.id = %instance,
            foreshadow.provider = Empty,
            foreshadow.outcome = Empty,
            otel.status_code = Empty,
            otel.status_description = Empty,
        );
        if let Some(wait) = holder.and_then(|holder| self.waits.get(&holder)) {
            span.follows_from(wait);
        }
        let start = Start {
            span: span.clone(),
            provider,
        };
        self.starts.insert(instance, start);
        span
    }

    /// A start is over.
    pub(super) fn started(&mut self, instance: InstanceId, outcome: &'static str) {
        if let Some(start) = self.starts.remove(&instance) {
            start.end(start.provider, outcome);
        }
    }

    /// An allocator that the pool falls back on has given the instance instead.
    pub(super) fn given(&mut self, instance: InstanceId) {
        if let Some(start) = self.starts.remove(&instance) {
            start.end("fallback", "ready");
        }
    }

    /// A start has failed.
    pub(super) fn failed(&mut self, instance: InstanceId, reason: &str) {
        if let Some(start) = self.starts.remove(&instance) {
            start.end(start.provider, "failed");
            start.span.record("otel.status_code", "ERROR");
            start.span.record("otel.status_description", reason);
        }
    }
}

#[cfg(test)]
mod tests {
    use foreshadow_types::Timestamp;

    use super::{
        super::samples::{allocation, granted},
        *,
    };

    const AT: Timestamp = Timestamp::from_millis(0);

    fn pool() -> PoolName {
        PoolName::new("p").expect("the name is valid")
    }

    fn note(spans: &mut Spans, kind: EventKind) {
        spans.note(&Event { at: AT, kind });
    }

    #[test]
    fn whatever_ends_a_wait_it_is_followed_no_longer() {
        let mut spans = Spans::default();
        for (id, state) in [
            (1, AllocationState::Queued),
            (2, AllocationState::Joined),
            (3, AllocationState::Granted),
            (4, AllocationState::Booked),
        ] {
            spans.wait(&Span::none(), &allocation(id, state));
        }
        assert_eq!(spans.waits.len(), 2, "two of them wait");
        spans.note(&granted(1, 0));
        let cancelled = EventKind::AllocationEnded {
            id: AllocationId(2),
            state: AllocationState::Cancelled,
        };
        note(&mut spans, cancelled);
        assert!(spans.waits.is_empty(), "{spans:?}");
    }

    #[test]
    fn whatever_ends_a_start_it_is_followed_no_longer() {
        let mut spans = Spans::default();
        for id in 1..=6 {
            spans.start(&pool(), InstanceId(id), "process", None);
        }
        spans.started(InstanceId(1), "ready");
        spans.started(InstanceId(2), "gone");
        spans.given(InstanceId(3));
        spans.failed(InstanceId(4), "it has ended");
        for (id, cause) in [(5, StopCause::Surplus), (6, StopCause::Failed)] {
            let instance = InstanceId(id);
            let stopping = EventKind::InstanceStopping {
                instance,
                cause,
                retry_at: AT,
            };
            note(&mut spans, stopping);
        }
        assert!(spans.starts.is_empty(), "{spans:?}");
    }

    #[test]
    fn no_more_are_followed_than_there_is_room_for() {
        let mut spans = Spans::default();
        for id in 0..=MAX_FOLLOWED as u64 {
            spans.start(&pool(), InstanceId(id), "process", None);
            spans.wait(&Span::none(), &allocation(id, AllocationState::Queued));
        }
        assert_eq!(spans.starts.len(), MAX_FOLLOWED);
        assert_eq!(spans.waits.len(), MAX_FOLLOWED);
    }
}
