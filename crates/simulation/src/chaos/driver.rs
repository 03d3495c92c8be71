//! The driver as the live one is: decisions become durable in groups, then answers go out and
//! effects are carried out. It can die between any two of these.

use std::fmt::Write;

use foreshadow_allocator::{
    AllocatorConfig, AllocatorError, Effect, Event, Input, Invariant, Reply,
};
use foreshadow_types::Timestamp;

use super::{
    action::Call,
    bug::{Bug, Core},
    faults::{Fault, FaultCounts},
    model::Model,
    provider::Provider,
};

/// Deadlines that a core may take to come to rest at one moment.
const MOST_TIMEOUTS: usize = 10_000;

/// How a group of decisions ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    Durable,
    CrashBefore,
    CrashAfter,
}

#[derive(Debug)]
pub(super) struct Driver {
    pub(super) core: Core,
    config: AllocatorConfig,
    bug: Option<Bug>,
    durable: Vec<Event>,
    /// Digest of the state at the end of the durable events.
    durable_digest: u128,
    undurable: Vec<Event>,
    effects: Vec<Effect>,
    answers: Vec<(Call, Result<Reply, AllocatorError>)>,
    /// Everything said and done, when wanted.
    pub(super) transcript: Option<String>,
}

impl Driver {
    pub(super) fn new(config: AllocatorConfig, bug: Option<Bug>, transcript: bool) -> Self {
        let core = Core::new(config.clone(), bug);
        Self {
            durable_digest: core.allocator().digest(),
            core,
            config,
            bug,
            durable: Vec::new(),
            undurable: Vec::new(),
            effects: Vec::new(),
            answers: Vec::new(),
            transcript: transcript.then(String::new),
        }
    }

    pub(super) fn call(&mut self, call: Call, model: &mut Model, now: Timestamp) {
        model.sent(&call.input, now);
        let result = self.core.handle(call.input.clone(), now);
        self.note(|| format!("{now} {call:?} -> {result:?}"));
        self.collect();
        self.answers.push((call, result));
    }

    /// Calls that wait for their answers.
    pub(super) fn unanswered(&self) -> usize {
        self.answers.len()
    }

    /// A report of the provider; an instance that is not known is stopped.
    pub(super) fn report(
        &mut self,
        input: Input,
        model: &mut Model,
        provider: &mut Provider,
        now: Timestamp,
        faults: &mut FaultCounts,
    ) {
        model.sent(&input, now);
        let result = self.core.handle(input.clone(), now);
        self.note(|| format!("{now} {input:?} -> {result:?}"));
        self.collect();
        if let (
            Err(AllocatorError::UnknownInstance(id)),
            Input::Ready { .. } | Input::Given { .. },
        ) = (result, input)
        {
            provider.stop(id, now, faults);
        }
    }

    pub(super) fn keep_deadlines(&mut self, model: &mut Model, now: Timestamp) {
        for _ in 0..MOST_TIMEOUTS {
            if self.core.next_deadline().is_none_or(|due| due > now) {
                return;
            }
            self.core.handle_timeout(now);
            self.collect();
        }
        model.breach(
            Invariant::DeadlinesKept,
            format!("deadlines never end at {now}"),
        );
    }

    fn collect(&mut self) {
        while let Some(event) = self.core.poll_event() {
            self.note(|| format!("  {event:?}"));
            self.undurable.push(event);
        }
        while let Some(effect) = self.core.poll_effect() {
            self.note(|| format!("  {effect:?}"));
            self.effects.push(effect);
        }
    }

    /// Makes the group durable and lets it out, or dies.
    pub(super) fn flush(
        &mut self,
        ending: Ending,
        model: &mut Model,
        provider: &mut Provider,
        now: Timestamp,
        faults: &mut FaultCounts,
    ) {
        let reported = std::mem::take(&mut model.reported);
        if ending != Ending::CrashBefore {
            model.broken.extend(reported);
            self.durable.append(&mut self.undurable);
            self.durable_digest = self.core.allocator().digest();
        }
        match ending {
            Ending::Durable => {}
            Ending::CrashBefore => {
                faults.count(Fault::CrashBeforeWrite);
                return self.restart(model, provider, now, faults);
            }
            Ending::CrashAfter => {
                faults.count(Fault::CrashAfterWrite);
                return self.restart(model, provider, now, faults);
            }
        }
        for (call, result) in std::mem::take(&mut self.answers) {
            model.answered(&call.input, &result, call.stale);
        }
        for effect in std::mem::take(&mut self.effects) {
            provider.carry_out(&effect, now, faults);
        }
    }

    /// A new process takes over from the durable events.
    fn restart(
        &mut self,
        model: &mut Model,
        provider: &mut Provider,
        now: Timestamp,
        faults: &mut FaultCounts,
    ) {
        self.note(|| format!("{now} crash"));
        self.undurable.clear();
        self.effects.clear();
        self.answers.clear();
        provider.lose_mail(faults);
        match Core::recover(self.config.clone(), &self.durable, self.bug) {
            Ok(core) => self.core = core,
            Err(error) => return model.breach(Invariant::RecoveryIsExact, error.to_string()),
        }
        if self.core.allocator().digest() != self.durable_digest {
            let what = format!("the state recovered at {now} differs");
            model.breach(Invariant::RecoveryIsExact, what);
        }
        for spec in model.specs.clone().into_values() {
            let defined = self.core.handle(Input::DefinePool(Box::new(spec)), now);
            if let Err(error) = defined {
                model.breach(Invariant::EventsFit, error.to_string());
            }
        }
        self.core.resume(now);
        self.keep_deadlines(model, now);
        self.collect();
        self.flush(Ending::Durable, model, provider, now, faults);
    }

    /// A snapshot in the place of all events.
    pub(super) fn snapshot(&mut self, faults: &mut FaultCounts) {
        if self.undurable.is_empty() {
            faults.count(Fault::Snapshot);
            self.durable = self.core.allocator().snapshot();
            self.durable_digest = self.core.allocator().digest();
        }
    }

    fn note(&mut self, what: impl FnOnce() -> String) {
        if let Some(transcript) = &mut self.transcript {
            // Writing to a string does not fail.
            let _ = writeln!(transcript, "{}", what());
        }
    }
}
