//! Replies that wait until what they say is durable.

use foreshadow_ledger::LedgerError;

use super::{
    command::{Answer, Outcome},
    ledger_failed,
};
use crate::{clock::Stopwatch, latency::Latency};

/// The replies of one group of commands.
#[derive(Default)]
pub(super) struct Replies {
    one: Vec<(Answer<Outcome>, Outcome, Stopwatch)>,
    many: Vec<(Answer<Vec<Outcome>>, Vec<Outcome>, Stopwatch)>,
    reads: Vec<Box<dyn FnOnce() + Send>>,
}

impl Replies {
    pub(super) fn one(&mut self, reply: Answer<Outcome>, outcome: Outcome, asked: Stopwatch) {
        self.one.push((reply, outcome, asked));
    }

    pub(super) fn many(
        &mut self,
        reply: Answer<Vec<Outcome>>,
        outcomes: Vec<Outcome>,
        asked: Stopwatch,
    ) {
        self.many.push((reply, outcomes, asked));
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
        for (reply, outcome, asked) in self.one.drain(..) {
            times.record(asked.elapsed());
            let _ = reply.send(outcome);
        }
        for (reply, outcomes, asked) in self.many.drain(..) {
            times.record(asked.elapsed());
            let _ = reply.send(outcomes);
        }
        for send in self.reads.drain(..) {
            send();
        }
    }

    /// Nothing is durable: each caller is told so, and readers are told nothing.
    pub(super) fn fail(&mut self, error: &LedgerError) {
        for (reply, _, _) in self.one.drain(..) {
            let _ = reply.send(Err(ledger_failed(error)));
        }
        for (reply, outcomes, _) in self.many.drain(..) {
            let failed = outcomes.iter().map(|_| Err(ledger_failed(error)));
            let _ = reply.send(failed.collect());
        }
        self.reads.clear();
    }
}
