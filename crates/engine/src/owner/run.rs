//! The owner's loop, on a thread of its own.

use std::{sync::Arc, time::Duration};

use foreshadow_providers::ProviderEvent;
use foreshadow_types::InstanceId;
use tokio::{sync::mpsc, time::sleep};

use super::{Owner, OwnerCommand, batch::Replies, ledger_failed};
use crate::{
    config::OnShutdown,
    demand::{Happening, Recorded},
    error::EngineError,
    lifecycle::Lifecycle,
    pulse::BEAT,
};

/// How long the owner sleeps at most, so that happenings that could not be handed on are tried again.
const LONGEST_SLEEP: Duration = Duration::from_millis(100);

/// What the owner listens to.
pub(crate) struct Inbox {
    pub(crate) commands: mpsc::Receiver<OwnerCommand>,
    pub(crate) reports: mpsc::Receiver<ProviderEvent>,
    /// Commands or reports taken together at most.
    pub(crate) batch: usize,
}

/// What is left to do after the owner has ended.
pub(crate) struct Ending {
    /// Instances to be stopped.
    pub(crate) stop: Vec<InstanceId>,
}

impl Owner {
    /// Brings the index of users up to the recovered state.
    pub(crate) fn index(&mut self, opened: Vec<Recorded>) {
        for record in self.allocator.allocations() {
            self.users.created(record);
        }
        self.unsent
            .extend(opened.into_iter().map(Happening::Recorded));
    }

    /// Carries out what recovery decided; it is durable already.
    pub(crate) fn begin(&mut self) -> Result<(), EngineError> {
        let now = self.now();
        self.commit(now).map_err(|error| ledger_failed(&error))
    }

    /// Owns until asked to stop, on the calling thread.
    pub(crate) fn run(
        mut self,
        mut inbox: Inbox,
        lifecycle: &Lifecycle,
        on_shutdown: OnShutdown,
    ) -> Result<Ending, EngineError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(|error| EngineError::Ledger(format!("no thread to decide on: {error}")))?;
        runtime.block_on(self.serve(&mut inbox, lifecycle, on_shutdown))
    }

    async fn serve(
        &mut self,
        inbox: &mut Inbox,
        lifecycle: &Lifecycle,
        on_shutdown: OnShutdown,
    ) -> Result<Ending, EngineError> {
        let mut commands = Vec::with_capacity(inbox.batch);
        let mut reports = Vec::with_capacity(inbox.batch);
        let mut replies = Replies::default();
        let mut stop = std::pin::pin!(lifecycle.asked_to_stop());
        loop {
            lifecycle.pulse().beat();
            let pause = self.pause();
            let asked = tokio::select! {
                biased;
                asked = &mut stop => Some(asked.unwrap_or(on_shutdown)),
                _ = inbox.commands.recv_many(&mut commands, inbox.batch) => None,
                _ = inbox.reports.recv_many(&mut reports, inbox.batch) => None,
                () = sleep(pause) => None,
            };
            if asked.is_some() {
                inbox.commands.close();
                while let Ok(command) = inbox.commands.try_recv() {
                    commands.push(command);
                }
            }
            while reports.len() < inbox.batch
                && let Ok(report) = inbox.reports.try_recv()
            {
                reports.push(report);
            }
            self.handle_group(&mut commands, &mut reports, &mut replies)?;
            if let Some(processes) = asked {
                let stop = self.to_stop(processes, self.now());
                self.tell_the_rest().await;
                return Ok(Ending { stop });
            }
        }
    }

    fn pause(&self) -> Duration {
        let deadline = self.allocator.next_deadline();
        let next = deadline.into_iter().chain(self.watchers.next_look()).min();
        let until_next = next.map_or(Duration::MAX, |next| next.since(self.now()));
        let longest = if self.unsent.is_empty() {
            BEAT
        } else {
            LONGEST_SLEEP
        };
        until_next.min(longest)
    }

    /// One group: decided together, durable together, answered together.
    fn handle_group(
        &mut self,
        commands: &mut Vec<OwnerCommand>,
        reports: &mut Vec<ProviderEvent>,
        replies: &mut Replies,
    ) -> Result<(), EngineError> {
        let now = self.now();
        if self.allocator.next_deadline().is_some_and(|due| due <= now) {
            self.allocator.handle_timeout(now);
        }
        for report in reports.drain(..) {
            self.take_report(report, now);
        }
        let taken = commands
            .drain(..)
            .try_for_each(|command| self.take(command, replies, now));
        match taken.and_then(|()| self.commit(now)) {
            Ok(()) => {
                self.watchers.look(&self.allocator, now);
                let numbers = Arc::clone(&self.numbers);
                replies.send(&numbers.decisions.reply_time);
                Ok(())
            }
            Err(error) => {
                replies.fail(&error);
                Err(ledger_failed(&error))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, mpsc as std_mpsc};

    use foreshadow_allocator::{Allocator, AllocatorConfig, Input, PoolSpec};
    use foreshadow_ledger::{Durability, Ledger};
    use foreshadow_providers::Provider;
    use foreshadow_types::{InstanceCount, PoolName};
    use tokio::sync::oneshot;
    use tracing::Span;

    use super::*;
    use crate::{
        clock::Stopwatch,
        collector::{HistoryFolder, begin_journals},
        numbers::Numbers,
        owner::Recorder,
    };

    /// A provider that does not come back from a start until it is let go.
    struct Stuck(Mutex<std_mpsc::Receiver<()>>);

    impl Provider for Stuck {
        fn kind(&self, _: &PoolName) -> &'static str {
            "stuck"
        }
        fn start(&self, _: &PoolName, _: InstanceId) {
            let _ = self.0.lock().unwrap().recv();
        }
        fn verify(&self, _: &PoolName, _: InstanceId) {}
        fn reset(&self, _: &PoolName, _: InstanceId) {}
        fn hold(&self, _: InstanceId) {}
        fn thaw(&self, _: InstanceId, _: Option<foreshadow_providers::Lease>) {}
        fn stop(&self, _: InstanceId) {}
        fn probe(&self, _: InstanceId) {}
    }

    fn owner(folder: &std::path::Path, provider: Stuck) -> Owner {
        let history = HistoryFolder::open(folder, &folder.join("journal")).unwrap();
        let numbers = Arc::new(Numbers::default());
        let journals = begin_journals(&history, numbers.clock.now()).unwrap();
        Owner::new(
            Allocator::new(AllocatorConfig::default()),
            Ledger::open(folder, Durability::Memory).unwrap(),
            Arc::new(provider),
            numbers,
            mpsc::channel(8).0,
            Recorder::new(journals.requests),
        )
    }

    fn wait_until(what: impl Fn() -> bool) -> bool {
        let mut tries = (0..200).map(|_| std::thread::sleep(Duration::from_millis(50)));
        tries.any(|()| what())
    }

    #[test]
    fn an_owner_beats_while_it_has_nothing_to_do_and_not_while_it_is_stuck() {
        let folder = tempfile::tempdir().unwrap();
        let (let_go, stuck) = std_mpsc::channel();
        let owner = owner(folder.path(), Stuck(Mutex::new(stuck)));
        let (commands, taken) = mpsc::channel(8);
        let (_reports, reports) = mpsc::channel(8);
        let inbox = Inbox {
            commands: taken,
            reports,
            batch: 8,
        };
        let lifecycle = Lifecycle::new();
        lifecycle.serving();
        let seen = lifecycle.clone();
        let running =
            std::thread::spawn(move || owner.run(inbox, &seen, OnShutdown::Keep).map(|_| ()));
        std::thread::sleep(BEAT * 2);
        assert!(lifecycle.pulse().still() < BEAT * 2, "it beats while idle");

        let mut spec = PoolSpec::new(PoolName::new("p").unwrap());
        (spec.min, spec.max) = (InstanceCount(1), InstanceCount(1));
        let (reply, _answer) = oneshot::channel();
        let define = OwnerCommand::One {
            input: Input::DefinePool(Box::new(spec)),
            asked: Stopwatch::start(),
            span: Span::none(),
            reply,
        };
        commands.blocking_send(define).unwrap();
        assert!(
            wait_until(|| lifecycle.pulse().still() > BEAT * 2),
            "it is stuck in the provider"
        );
        let_go.send(()).unwrap();
        assert!(wait_until(|| lifecycle.pulse().still() < BEAT * 2));
        drop(let_go);
        lifecycle.ask_to_stop(None);
        running.join().unwrap().unwrap();
    }
}
