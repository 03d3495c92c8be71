//! The life of one instance at an external provider, from its start to its end.

use std::{sync::Arc, time::Duration};

use foreshadow_types::{InstanceId, PoolName};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep, sleep_until},
};
use tracing::{Instrument as _, Span};

use super::{
    calls::{Answer, CallError, Caller},
    spec::ExternalSpec,
};
use crate::{
    clock,
    event::{GoneReason, ProviderEvent},
    pause::Pause,
    spec::Hold,
    supervision::{Wishes, another, first_probe, stop_wished},
    trace,
    wire::v1::instance::State,
};

/// What there is when supervision begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// Nothing, or a start that was asked for already.
    New,
    /// What an earlier run of the server started; it may be gone.
    Earlier,
    /// The same, but it is to be as new.
    Used,
    /// The same, but nobody wants it.
    Unwanted,
}

/// An instance and the provider that has it.
#[derive(Debug)]
pub(super) struct Contact {
    pub(super) id: InstanceId,
    pub(super) pool: PoolName,
    pub(super) spec: Arc<ExternalSpec>,
    pub(super) caller: Caller,
}

/// One instance under supervision.
#[derive(Debug)]
pub(super) struct Instance {
    pub(super) contact: Contact,
    pub(super) wishes: watch::Receiver<Wishes>,
    pub(super) events: mpsc::Sender<ProviderEvent>,
    /// The span of its start, until it has started: a span lasts as long as anybody has it.
    pub(super) asked: Option<Span>,
}

/// Why an instance is not watched over any more.
#[derive(Debug, Clone, PartialEq, Eq)]
enum LifeEnd {
    /// Nothing is left of it.
    Gone(GoneReason),
    /// Its start came to nothing; something may be left of it.
    Failed(String),
    /// It is to be ended.
    End(GoneReason),
    /// It is to be ended and started anew.
    Renew,
}

impl Instance {
    /// Supervises it to its end and says how it ended; nothing of it is left then.
    pub(super) async fn live(&mut self, mut origin: Origin) -> ProviderEvent {
        let instance = self.contact.id;
        loop {
            // What is wished from here on is meant for the instance that comes now.
            let begun = *self.wishes.borrow_and_update();
            let end = match self.bring_up(origin).await {
                Ok(()) => self.watch_over(begun).await,
                Err(end) => end,
            };
            let reason = match end {
                LifeEnd::Gone(reason) => return ProviderEvent::Gone { instance, reason },
                LifeEnd::End(reason) => reason,
                LifeEnd::Failed(reason) => {
                    self.report(ProviderEvent::Failed { instance, reason })
                        .await;
                    GoneReason::Stopped
                }
                LifeEnd::Renew => {
                    self.contact.end().await;
                    origin = Origin::New;
                    continue;
                }
            };
            self.contact.end().await;
            return ProviderEvent::Gone { instance, reason };
        }
    }

    async fn report(&self, event: ProviderEvent) {
        // A receiver that is gone means that the server is going; the instance stays for the next.
        let _ = self.events.send(event).await;
    }

    async fn report_ready(&self, answer: Answer, took: Duration) {
        self.report(ProviderEvent::Ready {
            instance: self.contact.id,
            address: answer.address,
            took,
        })
        .await;
    }

    async fn bring_up(&mut self, origin: Origin) -> Result<(), LifeEnd> {
        if self.wishes.borrow().stop {
            return Err(LifeEnd::End(GoneReason::Stopped));
        }
        let asked = clock::now();
        let (answer, took) = match origin {
            Origin::Unwanted => return Err(LifeEnd::End(GoneReason::Stopped)),
            Origin::Used => return Err(LifeEnd::Renew),
            Origin::Earlier => (self.find().await?, Duration::ZERO),
            Origin::New => (self.start().await?, asked.elapsed()),
        };
        self.report_ready(answer, took).await;
        Ok(())
    }

    async fn find(&mut self) -> Result<Answer, LifeEnd> {
        tokio::select! {
            found = self.contact.find() => found,
            () = stop_wished(&mut self.wishes) => Err(LifeEnd::End(GoneReason::Stopped)),
        }
    }

    async fn start(&mut self) -> Result<Answer, LifeEnd> {
        let mut trouble = None;
        let asked = self.asked.take().unwrap_or_else(Span::none);
        let limit = self.contact.spec.start_timeout;
        tokio::select! {
            started = self.contact.start(&asked, &mut trouble) => started,
            () = stop_wished(&mut self.wishes) => Err(LifeEnd::End(GoneReason::Stopped)),
            () = sleep(limit) => {
                let trouble = trouble.map_or_else(String::new, |words| format!("; {words}"));
                Err(LifeEnd::Failed(format!("it was not ready within {limit:?}{trouble}")))
            }
        }
    }

    /// Fulfils what is wished beyond `begun`, until the instance has ended or must be replaced.
    async fn watch_over(&mut self, begun: Wishes) -> LifeEnd {
        let freezes = self.contact.spec.hold == Hold::Freeze;
        let interval = self.contact.spec.probe_interval;
        let mut seen = begun;
        let mut resting = false;
        let mut tries = Pause::of_tries();
        let mut next_try = Instant::now();
        let mut next_probe = next_try + first_probe(self.contact.id, interval);
        loop {
            let wished = *self.wishes.borrow_and_update();
            let now = Instant::now();
            let changes_rest = freezes && wished.rest != resting;
            if wished.stop {
                return LifeEnd::End(GoneReason::Stopped);
            }
            if wished.resets != seen.resets {
                seen.resets = wished.resets;
                match self.reset(resting).await {
                    Some(answer) => self.report_ready(answer, Duration::ZERO).await,
                    None if self.wishes.borrow().stop => {}
                    None => return LifeEnd::Renew,
                }
                resting = false;
            } else if changes_rest && now >= next_try {
                match self.contact.rest(wished.rest).await {
                    Ok(()) => {
                        resting = wished.rest;
                        tries = Pause::of_tries();
                    }
                    Err(CallError::NotFound) => return LifeEnd::Gone(forgotten()),
                    Err(_) => next_try = now + tries.take(),
                }
            } else if wished.probes != seen.probes || now >= next_probe {
                tokio::select! {
                    checked = self.contact.check() => {
                        if let Err(end) = checked {
                            return end;
                        }
                        seen.probes = wished.probes;
                        next_probe = Instant::now() + interval;
                    }
                    // What is wished now does not wait for a slow provider; the check comes again.
                    () = another(&mut self.wishes) => {}
                }
            } else {
                let wake = if changes_rest {
                    next_try.min(next_probe)
                } else {
                    next_probe
                };
                tokio::select! {
                    () = another(&mut self.wishes) => {}
                    () = sleep_until(wake) => {}
                }
            }
        }
    }

    /// Makes it as new; `None` if it cannot be, or is to be stopped instead.
    async fn reset(&mut self, resting: bool) -> Option<Answer> {
        let limit = self.contact.spec.start_timeout;
        tokio::select! {
            renewed = self.contact.reset(resting) => renewed,
            () = stop_wished(&mut self.wishes) => None,
            () = sleep(limit) => None,
        }
    }
}

impl Contact {
    /// Asks for a start until the instance is ready; `trouble` is what stood in its way last.
    async fn start(&self, asked: &Span, trouble: &mut Option<String>) -> Result<Answer, LifeEnd> {
        let mut looks = Pause::of_looks();
        let mut begun = false;
        loop {
            let answer = if begun {
                self.caller.get(self.id).await
            } else {
                self.ask_to_start(asked).await
            };
            match answer {
                Ok(answer) => match answer.state {
                    State::Ready => return Ok(answer),
                    State::Starting => {
                        begun = true;
                        *trouble = None;
                    }
                    State::Failed | State::Gone | State::Stopping | State::Unspecified => {
                        return Err(LifeEnd::Failed(answer.because()));
                    }
                },
                // It was restarted and has lost the start; a start may be asked for again.
                Err(CallError::NotFound) if begun => begun = false,
                Err(CallError::Passing(reason)) => *trouble = Some(reason),
                Err(error) => return Err(LifeEnd::Failed(error.to_string())),
            }
            looks.wait().await;
        }
    }

    async fn ask_to_start(&self, asked: &Span) -> Result<Answer, CallError> {
        let span = trace::call_of(asked, "Start");
        let call = self.caller.start(&self.pool, self.id, &self.spec);
        let answer = call.instrument(span.clone()).await;
        if answer.is_err() {
            span.record("otel.status_code", "ERROR");
        }
        answer
    }

    /// Finds out what became of an instance of an earlier run, however long the provider is away.
    async fn find(&self) -> Result<Answer, LifeEnd> {
        let mut tries = Pause::of_tries();
        loop {
            match self.caller.get(self.id).await {
                Ok(answer) => match answer.state {
                    State::Ready | State::Starting => return Ok(answer),
                    State::Gone => return Err(LifeEnd::Gone(GoneReason::Missing)),
                    State::Failed | State::Stopping | State::Unspecified => {
                        return Err(LifeEnd::End(GoneReason::Exited(answer.because())));
                    }
                },
                Err(CallError::NotFound) => return Err(LifeEnd::Gone(GoneReason::Missing)),
                Err(CallError::Passing(_) | CallError::Refused(_) | CallError::Unimplemented) => {
                    tries.wait().await;
                }
            }
        }
    }

    /// Whether it still lives. Only what the provider says for sure counts.
    async fn check(&self) -> Result<(), LifeEnd> {
        match self.caller.check(self.id).await {
            Ok(answer) => match answer.state {
                State::Ready | State::Starting => Ok(()),
                State::Gone => Err(LifeEnd::Gone(GoneReason::Exited(answer.because()))),
                State::Failed | State::Stopping | State::Unspecified => {
                    Err(LifeEnd::End(GoneReason::Exited(answer.because())))
                }
            },
            Err(CallError::NotFound) => Err(LifeEnd::Gone(forgotten())),
            Err(error) => {
                tracing::debug!(instance = %self.id, %error, "an instance could not be checked");
                Ok(())
            }
        }
    }

    /// Puts it at rest or wakes it. A provider that does not offer that keeps it running.
    async fn rest(&self, rest: bool) -> Result<(), CallError> {
        match self.caller.rest(self.id, rest).await {
            Err(CallError::Unimplemented) => Ok(()),
            Err(CallError::Refused(reason)) => {
                tracing::warn!(instance = %self.id, rest, reason, "rest was refused; tried again");
                Err(CallError::Refused(reason))
            }
            outcome => outcome,
        }
    }

    /// Asks for a reset until the instance is as new; `None` if it cannot be.
    async fn reset(&self, resting: bool) -> Option<Answer> {
        if resting && let Err(error) = self.rest(false).await {
            tracing::debug!(instance = %self.id, %error, "an instance was not woken for its reset");
        }
        let mut looks = Pause::of_looks();
        let mut begun = false;
        loop {
            let answer = if begun {
                self.caller.get(self.id).await
            } else {
                self.caller.reset(self.id).await
            };
            match answer {
                Ok(answer) => match answer.state {
                    State::Ready => return Some(answer),
                    State::Starting => begun = true,
                    State::Failed | State::Gone | State::Stopping | State::Unspecified => {
                        return None;
                    }
                },
                Err(CallError::Passing(_)) => {}
                Err(CallError::NotFound | CallError::Unimplemented | CallError::Refused(_)) => {
                    return None;
                }
            }
            looks.wait().await;
        }
    }

    /// Asks for its end until the provider says that nothing is left, however long that takes.
    async fn end(&self) {
        let mut tries = Pause::of_tries();
        let mut told = false;
        loop {
            match self.caller.stop(self.id, self.spec.stop_grace).await {
                Ok(answer) if answer.state == State::Gone => return,
                Err(CallError::NotFound) => return,
                // On its way, or the provider is away, which is told once for all its instances.
                Ok(_) | Err(CallError::Passing(_)) => {}
                Err(error) => {
                    if !told {
                        tracing::warn!(instance = %self.id, %error, "a stop was refused; tried again");
                        told = true;
                    }
                }
            }
            tries.wait().await;
        }
    }
}

fn forgotten() -> GoneReason {
    GoneReason::Exited("the provider knows it no more".to_owned())
}
