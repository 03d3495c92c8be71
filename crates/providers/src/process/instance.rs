//! The life of one instance, from its start to its end.

use std::{io, path::Path, sync::Arc, time::Duration};

use foreshadow_types::{InstanceId, PoolName};
use rustix::process::Signal;
use tokio::{
    sync::{Semaphore, mpsc, watch},
    time::{Instant, sleep, sleep_until, timeout},
};

use super::{
    leader::Leader,
    port::{Port, Ports},
    probe::{LineSearch, answers},
    record::{Record, Records},
    reset::cleaned,
    spawn::spawn,
};
use crate::{
    clock,
    event::{GoneReason, ProviderEvent},
    spec::{ProcessSpec, Readiness},
    supervision::{Wishes, first_probe, stop_wished},
};

/// The first and the longest pause between two looks at a process that is starting.
const FIRST_LOOK: Duration = Duration::from_millis(2);
const LONGEST_LOOK: Duration = Duration::from_millis(200);

/// The most that is kept of what a process writes.
const MAX_OUTPUT_BYTES: u64 = 4 * 1024 * 1024;

/// How much of its last words is told when a start fails.
const MAX_LAST_WORDS: usize = 200;

/// What there is when supervision begins.
#[derive(Debug)]
pub(super) enum Origin {
    /// Nothing yet.
    New,
    /// The process of a start that an earlier run of the server began.
    Starting(Running),
    /// A process that was ready in an earlier run of the server.
    Ready(Running),
}

/// A process and its port.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) leader: Leader,
    pub(super) port: Port,
}

/// What all instances of a provider share.
#[derive(Debug, Clone)]
pub(super) struct Surroundings {
    pub(super) records: Records,
    pub(super) ports: Ports,
    pub(super) events: mpsc::Sender<ProviderEvent>,
    /// Bounds how many processes are forked at a time.
    pub(super) forks: Arc<Semaphore>,
}

/// One instance under supervision.
#[derive(Debug)]
pub(super) struct Instance {
    pub(super) id: InstanceId,
    pub(super) pool: PoolName,
    pub(super) spec: Arc<ProcessSpec>,
    pub(super) wishes: watch::Receiver<Wishes>,
    pub(super) around: Surroundings,
}

/// Why a start came to nothing.
enum StartEnd {
    Failed(String),
    Stopped,
}

/// What came first of a process that is starting.
enum Seen {
    Ready,
    Ended,
    Stop,
    Late,
}

/// Why a ready instance is not watched over any more.
enum LifeEnd {
    Gone(GoneReason),
    Reset,
}

impl Instance {
    /// Supervises it to its end and says how it ended; nothing of it is left then.
    pub(super) async fn live(&mut self, mut origin: Origin) -> ProviderEvent {
        let instance = self.id;
        loop {
            // What is wished from here on is meant for the process that comes now; once it is said
            // to be ready, the next wish may come before this task goes on.
            let begun = *self.wishes.borrow_and_update();
            let running = match self.bring_up(origin).await {
                Ok(running) => running,
                Err(StartEnd::Failed(reason)) => return ProviderEvent::Failed { instance, reason },
                Err(StartEnd::Stopped) => {
                    let reason = GoneReason::Stopped;
                    return ProviderEvent::Gone { instance, reason };
                }
            };
            match self.watch_over(running, begun).await {
                LifeEnd::Gone(reason) => return ProviderEvent::Gone { instance, reason },
                LifeEnd::Reset => origin = Origin::New,
            }
        }
    }

    async fn bring_up(&mut self, origin: Origin) -> Result<Running, StartEnd> {
        let asked = clock::now();
        let (running, took) = match origin {
            Origin::Ready(running) => (running, Duration::ZERO),
            Origin::Starting(running) => (self.await_ready(running).await?, asked.elapsed()),
            Origin::New => {
                let running = self.launch().await?;
                (self.await_ready(running).await?, asked.elapsed())
            }
        };
        self.report_ready(&running, took).await;
        Ok(running)
    }

    async fn report_ready(&self, running: &Running, took: Duration) {
        let ready = ProviderEvent::Ready {
            instance: self.id,
            address: format!("127.0.0.1:{}", running.port.number()),
            took,
        };
        // A receiver that is gone means that the server is going; the process stays for the next.
        let _ = self.around.events.send(ready).await;
    }

    async fn launch(&self) -> Result<Running, StartEnd> {
        let failed = |error: io::Error| {
            let program = self.spec.command.first().map_or("", String::as_str);
            StartEnd::Failed(format!("cannot start `{program}`: {error}"))
        };
        let permit = self.around.forks.acquire().await;
        let port = self.around.ports.free().map_err(failed)?;
        let (spec, pool, id) = (self.spec.clone(), self.pool.clone(), self.id);
        let (records, number) = (self.around.records.clone(), port.number());
        let spawned =
            tokio::task::spawn_blocking(move || spawn(&spec, &pool, id, number, &records)).await;
        drop(permit);
        let leader = spawned
            .unwrap_or_else(|error| Err(io::Error::other(error)))
            .map_err(failed)?;
        let running = Running { leader, port };
        if let Err(error) = self.write_record(&running) {
            self.kill(running).await;
            return Err(failed(error));
        }
        Ok(running)
    }

    fn write_record(&self, running: &Running) -> io::Result<()> {
        self.around.records.write(&Record {
            instance: self.id,
            pool: self.pool.clone(),
            process: running.leader.identity()?,
            port: running.port.number(),
        })
    }

    async fn await_ready(&mut self, running: Running) -> Result<Running, StartEnd> {
        running.leader.signal(Signal::CONT);
        let seen = tokio::select! {
            () = readiness(&self.spec, &self.around.records, self.id, running.port.number()) => Seen::Ready,
            () = running.leader.ended() => Seen::Ended,
            () = stop_wished(&mut self.wishes) => Seen::Stop,
            () = sleep(self.spec.start_timeout) => Seen::Late,
        };
        match seen {
            Seen::Ready => Ok(running),
            Seen::Ended => {
                let last_words = self.last_words();
                let status = running.leader.collect();
                Err(StartEnd::Failed(format!(
                    "it ended with {status} before it was ready{last_words}"
                )))
            }
            Seen::Stop => {
                self.end(running).await;
                Err(StartEnd::Stopped)
            }
            Seen::Late => {
                let last_words = self.last_words();
                self.end(running).await;
                let limit = self.spec.start_timeout;
                Err(StartEnd::Failed(format!(
                    "it was not ready within {limit:?}{last_words}"
                )))
            }
        }
    }

    /// Fulfils what is wished beyond `begun`, until the process has ended or must be replaced.
    async fn watch_over(&mut self, running: Running, begun: Wishes) -> LifeEnd {
        let mut seen = Wishes {
            rest: false,
            ..begun
        };
        let mut failures = 0;
        let mut next_probe = Instant::now() + first_probe(self.id, self.spec.probe.interval);
        loop {
            let wished = *self.wishes.borrow_and_update();
            if wished.stop {
                self.end(running).await;
                return LifeEnd::Gone(GoneReason::Stopped);
            }
            if wished.resets != seen.resets {
                running.leader.signal(Signal::CONT);
                let (spec, pool, port) =
                    (self.spec.clone(), self.pool.clone(), running.port.number());
                let records = self.around.records.clone();
                let cleaned = tokio::select! {
                    cleaned = cleaned(&spec, &pool, self.id, port, &records) => cleaned,
                    () = running.leader.ended() => {
                        return LifeEnd::Gone(GoneReason::Exited(running.leader.collect()));
                    }
                    () = stop_wished(&mut self.wishes) => continue,
                };
                if !cleaned {
                    self.end(running).await;
                    return LifeEnd::Reset;
                }
                self.report_ready(&running, Duration::ZERO).await;
                seen = Wishes {
                    rest: false,
                    ..wished
                };
                continue;
            }
            apply_rest(&running.leader, wished.rest);
            let probe_now = wished.probes != seen.probes;
            seen = wished;
            if probe_now || Instant::now() >= next_probe {
                next_probe = Instant::now() + self.spec.probe.interval;
                failures = if self.probe(&running).await {
                    0
                } else {
                    failures + 1
                };
                if failures >= self.spec.probe.failures.max(1) {
                    self.kill(running).await;
                    return LifeEnd::Gone(GoneReason::Stuck);
                }
                continue;
            }
            tokio::select! {
                () = running.leader.ended() => {
                    return LifeEnd::Gone(GoneReason::Exited(running.leader.collect()));
                }
                changed = self.wishes.changed() => if changed.is_err() {
                    // The provider was dropped; the process stays for the next run.
                    std::future::pending::<()>().await;
                },
                () = sleep_until(next_probe) => {}
            }
        }
    }

    /// A frozen process is woken for the question; the caller puts it to rest again.
    async fn probe(&self, running: &Running) -> bool {
        cut_output(&self.around.records.stdout(self.id));
        cut_output(&self.around.records.stderr(self.id));
        running.leader.signal(Signal::CONT);
        let within = self.spec.probe.timeout;
        tokio::select! {
            well = answers(&self.spec.ready, running.port.number(), within) => well,
            // Its end is told by the caller.
            () = running.leader.ended() => true,
        }
    }

    /// Ends it in order: asked first, killed when it does not follow.
    async fn end(&self, running: Running) {
        running.leader.signal(Signal::TERM);
        running.leader.signal(Signal::CONT);
        if timeout(self.spec.stop_grace, running.leader.ended())
            .await
            .is_err()
        {
            running.leader.signal(Signal::KILL);
            running.leader.ended().await;
        }
        running.leader.collect();
    }

    async fn kill(&self, running: Running) {
        running.leader.signal(Signal::KILL);
        running.leader.ended().await;
        running.leader.collect();
    }

    /// The last line that it wrote, as a hint in an error message.
    fn last_words(&self) -> String {
        let records = &self.around.records;
        [records.stderr(self.id), records.stdout(self.id)]
            .iter()
            .find_map(|path| last_line(path))
            .map_or_else(String::new, |line| format!("; its last line: {line}"))
    }
}

/// Waits until the process is ready, looking less and less often.
async fn readiness(spec: &ProcessSpec, records: &Records, id: InstanceId, port: u16) {
    let mut pause = FIRST_LOOK;
    let mut lines = match &spec.ready {
        Readiness::Stdout(line) => Some(LineSearch::new(line)),
        Readiness::Http(_) | Readiness::Tcp => None,
    };
    loop {
        let ready = match &mut lines {
            Some(lines) => lines.found(&records.stdout(id)).await.unwrap_or(false),
            None => answers(&spec.ready, port, spec.probe.timeout).await,
        };
        if ready {
            return;
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_LOOK);
    }
}

fn apply_rest(leader: &Leader, rest: bool) {
    if leader.is_frozen() != rest {
        leader.signal(if rest { Signal::STOP } else { Signal::CONT });
    }
}

fn cut_output(path: &Path) {
    let long = std::fs::metadata(path).is_ok_and(|metadata| metadata.len() > MAX_OUTPUT_BYTES);
    if long {
        let cut = std::fs::OpenOptions::new().write(true).open(path);
        if let Err(error) = cut.and_then(|file| file.set_len(0)) {
            tracing::warn!(path = %path.display(), %error, "output of an instance not cut");
        }
    }
}

fn last_line(path: &Path) -> Option<String> {
    let text = std::fs::read(path).ok()?;
    let text = String::from_utf8_lossy(&text[text.len().saturating_sub(4 * MAX_LAST_WORDS)..]);
    let line = text.lines().rfind(|line| !line.trim().is_empty())?;
    Some(line.trim().chars().take(MAX_LAST_WORDS).collect())
}
