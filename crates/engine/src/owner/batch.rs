//! Replies that wait until what they say is durable.

use foreshadow_ledger::LedgerError;
use tracing::Span;

use super::{
    command::{Answer, Outcome},
    ledger_failed,
};
use crate::{clock::Stopwatch, latency::Latency};

/// Since when a reply is waited for, and the span of the commit that it waits for.
type Waiting = (Stopwatch, Span);

/// The replies of one group of commands.
#[derive(Default)]
pub(super) struct Replies {
    one: Vec<(Answer<Outcome>, Outcome, Waiting)>,
    many: Vec<(Answer<Vec<Outcome>>, Vec<Outcome>, Waiting)>,
    reads: Vec<Box<dyn FnOnce() + Send>>,
}

impl Replies {
    pub(super) fn one(&mut self, reply: Answer<Outcome>, outcome: Outcome, waiting: Waiting) {
        self.one.push((reply, outcome, waiting));
    }

    pub(super) fn many(
        &mut self,
        reply: Answer<Vec<Outcome>>,
        outcomes: Vec<Outcome>,
        waiting: Waiting,
    ) {
        self.many.push((reply, outcomes, waiting));
    }

    /// Readers wait too: they must not learn of what a crash may undo.
    pub(super) fn read<T: Send + 'static>(&mut self, reply: Answer<T>, answer: T) {
        self.reads.push(Box::new(move || {
            // A caller that has gone away needs no answer.
            let _ = reply.send(answer);
        }));
    }

    /// All is durable: the replies leave.
    pub(super) fn send(&mut self, times: &Latency) {
        for (reply, outcome, (asked, commit)) in self.one.drain(..) {
            times.record(asked.elapsed());
            drop(commit);
            let _ = reply.send(outcome);
        }
        for (reply, outcomes, (asked, commit)) in self.many.drain(..) {
            times.record(asked.elapsed());
            drop(commit);
            let _ = reply.send(outcomes);
        }
        for send in self.reads.drain(..) {
            send();
        }
    }

    /// Nothing is durable: each caller is told so, and readers are told nothing.
    pub(super) fn fail(&mut self, error: &LedgerError) {
        for (reply, _, (_, commit)) in self.one.drain(..) {
            commit.record("otel.status_code", "ERROR");
            drop(commit);
            let _ = reply.send(Err(ledger_failed(error)));
        }
        for (reply, outcomes, (_, commit)) in self.many.drain(..) {
            commit.record("otel.status_code", "ERROR");
            drop(commit);
            let failed = outcomes.iter().map(|_| Err(ledger_failed(error)));
            let _ = reply.send(failed.collect());
        }
        self.reads.clear();
    }
}
