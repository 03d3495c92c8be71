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
        let waits = matches!(
            allocation.state,
            AllocationState::Queued | AllocationState::Joined
        );
        if !waits || self.waits.len() >= MAX_FOLLOWED || self.waits.contains_key(&allocation.id) {
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
        // One that failed is told of by its provider, with the reason.
        if let EventKind::InstanceStopping {
            instance, cause, ..
        } = &event.kind
            && *cause != StopCause::Failed
        {
            self.started(*instance, "stopped");
        }
    }

    /// An instance is being started. Its span begins a trace of its own, since many calls may come to
    /// wait for it, and is linked to the one that it is started for.
    pub(super) fn start(
        &mut self,
        pool: &PoolName,
        instance: InstanceId,
        provider: &'static str,
        holder: Option<AllocationId>,
    ) {
        if self.starts.len() >= MAX_FOLLOWED {
            return;
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
        self.starts.insert(instance, Start { span, provider });
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
