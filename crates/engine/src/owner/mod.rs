//! The one owner of the allocator: decides, makes durable, replies, then acts.

mod batch;
mod command;
mod forget;
mod index;
mod recorder;
mod run;
#[cfg(test)]
mod samples;
mod spans;
mod waits;
mod watchers;

use std::{collections::BTreeSet, sync::Arc};

use foreshadow_allocator::{
    Allocation, AllocationState, Allocator, Effect, Input, ListFilter, Reply,
};
use foreshadow_ledger::{Ledger, LedgerError};
use foreshadow_providers::{Claim, Lease, Provider, ProviderEvent};
use foreshadow_types::{AllocationId, InstanceId, PoolName, Timestamp};
use tokio::sync::mpsc;
use tracing::Span;

use self::{batch::Replies, index::UserIndex, spans::Spans, waits::Waits, watchers::Watchers};
pub(crate) use self::{
    command::{OwnerCommand, PoolInventory},
    recorder::Recorder,
    run::{Ending, Inbox},
};
use crate::{
    config::OnShutdown,
    demand::{Fate, Happening, Recorded, RequestSeen},
    error::EngineError,
    numbers::Numbers,
    trace,
};

/// Happenings that wait for the collector at most; beyond it the oldest are dropped and counted.
const MAX_HAPPENINGS: usize = 1 << 20;

/// Events since the last snapshot before another is made, at the least.
const SNAPSHOT_AFTER: u64 = 200_000;

/// The allocator, its ledger and those who are told of what it decides.
pub(crate) struct Owner {
    allocator: Allocator,
    ledger: Ledger,
    provider: Arc<dyn Provider>,
    numbers: Arc<Numbers>,
    watchers: Watchers,
    users: UserIndex,
    waits: Waits,
    spans: Spans,
    recorder: Recorder,
    /// The newest allocation so far: a request answered with an older one was a repetition.
    newest: Option<AllocationId>,
    happenings: mpsc::Sender<Vec<Happening>>,
    unsent: Vec<Happening>,
    /// Size of the last snapshot, in events.
    snapshot_events: u64,
}

impl Owner {
    /// The owner of a recovered allocator, whose events and effects have been drained.
    pub(crate) fn new(
        allocator: Allocator,
        ledger: Ledger,
        provider: Arc<dyn Provider>,
        numbers: Arc<Numbers>,
        happenings: mpsc::Sender<Vec<Happening>>,
        recorder: Recorder,
    ) -> Self {
        Self {
            allocator,
            ledger,
            provider,
            numbers,
            watchers: Watchers::default(),
            users: UserIndex::default(),
            waits: Waits::default(),
            spans: Spans::default(),
            recorder,
            newest: None,
            happenings,
            unsent: Vec::new(),
            snapshot_events: 0,
        }
    }

    /// All instances there are.
    pub(crate) fn instances(&self) -> BTreeSet<InstanceId> {
        let instances = self.allocator.instances();
        instances.map(|instance| instance.id).collect()
    }

    fn now(&self) -> Timestamp {
        self.numbers.clock.now()
    }

    /// Decides on one command; the reply waits for the commit.
    /// An error means that nothing more may be acknowledged.
    fn take(
        &mut self,
        command: OwnerCommand,
        replies: &mut Replies,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        match command {
            OwnerCommand::One {
                input,
                asked,
                span,
                reply,
            } => {
                let decision = Spans::decision(&span);
                let outcome = self.decide(input, now);
                let commit = self
                    .spans
                    .decided(&span, decision, std::slice::from_ref(&outcome));
                replies.one(reply, outcome, (asked, commit));
            }
            OwnerCommand::Many {
                inputs,
                asked,
                span,
                reply,
            } => {
                let decision = Spans::decision(&span);
                let outcomes = inputs.into_iter().map(|input| self.decide(input, now));
                let outcomes: Vec<_> = outcomes.collect();
                let commit = self.spans.decided(&span, decision, &outcomes);
                replies.many(reply, outcomes, (asked, commit));
            }
            OwnerCommand::Get { id, reply } => {
                replies.read(reply, self.known(id, now));
            }
            OwnerCommand::Watch { id, reply } => {
                let known = self.known(id, now);
                let watch = known.map(|known| self.watchers.watch(known, now));
                replies.read(reply, watch);
            }
            OwnerCommand::List {
                filter,
                after,
                limit,
                reply,
            } => replies.read(reply, self.allocator.list(&filter, after, limit, now)),
            OwnerCommand::OfUser { user, reply } => {
                let held = self.users.of(&user);
                let held = held.filter_map(|id| self.allocator.allocation(id, now));
                replies.read(reply, held.collect());
            }
            OwnerCommand::CheckToken {
                instance,
                token,
                reply,
            } => {
                let checked = self.allocator.check_token(instance, token);
                replies.read(reply, checked.map_err(EngineError::from));
            }
            OwnerCommand::Quotas { reply } => {
                replies.read(reply, self.allocator.quotas().collect());
            }
            OwnerCommand::Pools { reply } => replies.read(reply, self.allocator.pools()),
            OwnerCommand::Pool { name, reply } => {
                replies.read(reply, self.allocator.pool_status(&name));
            }
            OwnerCommand::Inventory { reply } => replies.read(reply, self.inventory()),
            OwnerCommand::EndSegment => self.end_segment(),
            OwnerCommand::Forget { user, reply } => {
                self.commit(now)?;
                replies.read(reply, self.forget(&user));
            }
            OwnerCommand::PutDocument { name, body, reply } => {
                let kept = self.ledger.put_document(name, &body);
                replies.read(reply, kept.map_err(|error| ledger_failed(&error)));
            }
        }
        Ok(())
    }

    fn known(&self, id: AllocationId, now: Timestamp) -> Result<Allocation, EngineError> {
        let known = self.allocator.allocation(id, now);
        known.ok_or_else(|| foreshadow_allocator::AllocatorError::UnknownAllocation(id).into())
    }

    fn inventory(&self) -> Vec<PoolInventory> {
        let pools = self.allocator.pools().into_iter();
        pools
            .map(|status| PoolInventory {
                bookings: self.allocator.bookings(&status.name),
                status,
            })
            .collect()
    }

    fn decide(&mut self, input: Input, now: Timestamp) -> command::Outcome {
        self.numbers.decisions.inputs.add(1);
        let request = match &input {
            Input::Allocate(request) => Some(request.clone()),
            _ => None,
        };
        let outcome = self.allocator.handle(input, now).map_err(EngineError::from);
        if outcome.is_err() {
            self.numbers.decisions.refused.add(1);
        }
        if let (Some(_), Ok(Reply::Allocation(allocation))) = (&request, &outcome) {
            self.waits.told(allocation, now);
        }
        if let Some(request) = request
            && self.is_new(&outcome)
            && let Some(seen) = RequestSeen::of(request, &outcome, now, &self.allocator)
        {
            if seen.fate == Fate::Rejected {
                let row = self.recorder.refused(&seen, &self.allocator);
                self.happened(Happening::Recorded(Recorded::Refused(row)));
            }
            self.happened(Happening::Request(seen));
        }
        outcome
    }

    /// Whether a request was not the repetition of an earlier one under its idempotency key.
    fn is_new(&mut self, outcome: &command::Outcome) -> bool {
        let Ok(Reply::Allocation(allocation)) = outcome else {
            return true;
        };
        let new = self.newest.is_none_or(|newest| allocation.id > newest);
        self.newest = self.newest.max(Some(allocation.id));
        new
    }

    fn happened(&mut self, happening: Happening) {
        if self.unsent.len() < MAX_HAPPENINGS {
            self.unsent.push(happening);
        } else {
            self.numbers.telemetry.history_rows_lost.add(1);
        }
    }

    /// What a provider reports becomes an input.
    fn take_report(&mut self, event: ProviderEvent, now: Timestamp) {
        let (instance, input) = match event {
            ProviderEvent::Ready {
                instance,
                address,
                took,
            } => {
                if let Some(pool) = self.pool_of(instance)
                    && !took.is_zero()
                {
                    self.happened(Happening::Started { pool, took });
                }
                self.spans.started(instance, "ready");
                let address = address.into();
                (instance, Input::Ready { instance, address })
            }
            ProviderEvent::Given { instance, address } => {
                self.spans.given(instance);
                let address = address.into();
                (instance, Input::Given { instance, address })
            }
            ProviderEvent::Failed { instance, reason } => {
                self.spans.failed(instance, &reason);
                if let Some(pool) = self.pool_of(instance) {
                    tracing::warn!(%pool, %instance, reason, "a start failed");
                    self.happened(Happening::StartFailed { pool });
                }
                (instance, Input::Failed { instance })
            }
            ProviderEvent::Gone { instance, reason } => {
                tracing::debug!(%instance, %reason, "an instance is gone");
                self.spans.started(instance, "gone");
                (instance, Input::Gone { instance })
            }
        };
        self.numbers.decisions.inputs.add(1);
        let was_ready = matches!(input, Input::Ready { .. } | Input::Given { .. });
        if self.allocator.handle(input, now).is_err() && was_ready {
            // Nobody wants it any more.
            self.provider.stop(instance);
        }
    }

    fn pool_of(&self, instance: InstanceId) -> Option<PoolName> {
        let known = self.allocator.instance(instance)?;
        Some(known.pool.clone())
    }

    /// Makes all that was decided durable, then acts on it. An error means that nothing more may be
    /// acknowledged.
    fn commit(&mut self, now: Timestamp) -> Result<(), LedgerError> {
        let events: Vec<_> = std::iter::from_fn(|| self.allocator.poll_event()).collect();
        if !events.is_empty() {
            let watch = crate::clock::Stopwatch::start();
            self.ledger.append(&events)?;
            let numbers = self.numbers.clone();
            let decisions = &numbers.decisions;
            decisions.commit_time.record(watch.elapsed());
            decisions.commits.add(1);
            decisions.events.add(events.len() as u64);
            for event in &events {
                self.users.note(event, &self.allocator);
                self.waits.note(event, &decisions.wait_error);
                self.spans.note(event);
                if let Some(recorded) = self.recorder.note(event, &self.allocator) {
                    self.happened(Happening::Recorded(recorded));
                }
            }
        }
        self.journal();
        while let Some(effect) = self.allocator.poll_effect() {
            self.carry_out(&effect, now);
        }
        self.tell_happenings();
        self.snapshot_when_due()
    }

    /// Journals what the history is to hold, before the replies leave. Decisions do not wait for a
    /// history that cannot be written: what is lost is counted.
    fn journal(&mut self) {
        let (rows, written) = self.recorder.write();
        if let Err(error) = written {
            tracing::error!(%error, rows, "requests of the history are lost");
            self.numbers.telemetry.history_rows_lost.add(rows as u64);
        }
    }

    /// Ends the segment of the journal and says so in its order among the happenings.
    fn end_segment(&mut self) {
        self.journal();
        let ended = self.recorder.end_segment();
        if let Err(error) = &ended {
            tracing::error!(%error, "the journal of requests cannot go on");
        }
        let segment = Recorded::Segment(ended.ok());
        self.unsent.push(Happening::Recorded(segment));
    }

    /// The collector is told of everything before the owner goes.
    async fn tell_the_rest(&mut self) {
        self.end_segment();
        // A collector that has gone away seals nothing any more; the journal keeps what there is.
        let _ = self.happenings.send(std::mem::take(&mut self.unsent)).await;
    }

    fn carry_out(&mut self, effect: &Effect, now: Timestamp) {
        match effect {
            Effect::Start { instance, pool } => self.start(*instance, pool, now),
            Effect::Stop { instance, .. } => self.provider.stop(*instance),
            Effect::Reset { instance, pool } => self.provider.reset(pool, *instance),
            Effect::Hold { instance, .. } => self.provider.hold(*instance),
            Effect::Thaw { instance, .. } => {
                // Its lease may be over again by now.
                let lease = self.allocator.first_hold(*instance);
                let lease = lease.map(|(allocation, token)| Lease { allocation, token });
                self.provider.thaw(*instance, lease);
            }
            Effect::Verify { instance, pool } => self.provider.verify(pool, *instance),
            Effect::Notify { allocation } => {
                self.watchers.notify(*allocation, &self.allocator, now);
            }
        }
    }

    fn start(&mut self, instance: InstanceId, pool: &PoolName, now: Timestamp) {
        let holder = self.allocator.first_holder(instance, now);
        let span = if trace::is_on() {
            let holder = holder.as_ref().map(|holder| holder.id);
            let kind = self.provider.kind(pool);
            self.spans.start(pool, instance, kind, holder)
        } else {
            Span::none()
        };
        let _asking = span.enter();
        match holder {
            Some(holder) => self.provider.start_for(pool, instance, &claim_of(holder)),
            None => self.provider.start(pool, instance),
        }
    }

    /// Hands happenings on without waiting: the owner waits for nobody.
    fn tell_happenings(&mut self) {
        if self.unsent.is_empty() {
            return;
        }
        if let Ok(permit) = self.happenings.try_reserve() {
            permit.send(std::mem::take(&mut self.unsent));
        }
    }

    fn snapshot_when_due(&mut self) -> Result<(), LedgerError> {
        let due = SNAPSHOT_AFTER.max(2 * self.snapshot_events);
        if self.ledger.tail_events() < due {
            return Ok(());
        }
        let snapshot = self.allocator.snapshot();
        self.snapshot_events = snapshot.len() as u64;
        self.ledger.snapshot(&snapshot)
    }

    /// The instances that a shutdown stops.
    fn to_stop(&self, processes: OnShutdown, now: Timestamp) -> Vec<InstanceId> {
        let all = || self.allocator.instances().map(|instance| instance.id);
        match processes {
            OnShutdown::Keep => Vec::new(),
            OnShutdown::StopAll => all().collect(),
            OnShutdown::StopWarm => {
                let held = self.held(now);
                all().filter(|id| !held.contains(id)).collect()
            }
        }
    }

    fn held(&self, now: Timestamp) -> BTreeSet<InstanceId> {
        let filter = ListFilter {
            states: vec![
                AllocationState::Granted,
                AllocationState::Joined,
                AllocationState::Booked,
            ],
            ..ListFilter::default()
        };
        let mut held = BTreeSet::new();
        let mut after = None;
        loop {
            let page = self.allocator.list(&filter, after, usize::MAX, now);
            let instances = page.allocations.iter().filter_map(|a| a.instance.as_ref());
            held.extend(instances.map(|instance| instance.id));
            after = page.next;
            if after.is_none() {
                return held;
            }
        }
    }
}

/// What a provider is told of the request that waits for an instance.
fn claim_of(holder: Allocation) -> Claim {
    Claim {
        allocation: holder.id,
        tenant: holder.tenant,
        user: holder.user,
        application: holder.application,
    }
}

pub(crate) fn ledger_failed(error: &LedgerError) -> EngineError {
    EngineError::Ledger(error.to_string())
}
