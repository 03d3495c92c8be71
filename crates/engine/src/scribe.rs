//! Writes down why pools have the size they have, and finds it again.

use std::{path::PathBuf, thread, time::Duration};

use foreshadow_ledger::{PlanAndNext, PlanLog, PlanRecord};
use foreshadow_types::{PoolName, Timestamp};
use tokio::sync::{mpsc, oneshot};

use crate::error::{EngineError, StartError};

/// Messages that wait for the scribe.
const WAITING: usize = 256;

/// How often old plans are forgotten.
const PRUNE_EVERY: Duration = Duration::from_hours(1);

enum Command {
    Write(Vec<PlanRecord>, Timestamp),
    Find {
        pool: PoolName,
        at: Timestamp,
        reply: oneshot::Sender<Result<Option<PlanAndNext>, EngineError>>,
    },
    Strike {
        name: String,
        reply: oneshot::Sender<Result<(), EngineError>>,
    },
}

/// The way to the thread that owns the log of plans. It ends when nobody holds one any more.
#[derive(Debug, Clone)]
pub(crate) struct Scribe {
    to: mpsc::Sender<Command>,
}

impl Scribe {
    /// Opens the log of a data folder. One that cannot be used stops nothing: whoever asks is told.
    pub(crate) fn start(folder: PathBuf, keep: Duration) -> Result<Self, StartError> {
        let (to, inbox) = mpsc::channel(WAITING);
        thread::Builder::new()
            .name("foreshadow-scribe".to_owned())
            .spawn(move || {
                let log = PlanLog::open(&folder).map_err(|error| error.to_string());
                if let Err(reason) = &log {
                    tracing::warn!(reason, "plans are not written down");
                }
                write_down(inbox, log, keep);
            })
            .map_err(|source| StartError::Io {
                path: "the scribe's thread".into(),
                source,
            })?;
        Ok(Self { to })
    }

    /// Keeps plans; those that come faster than the disk takes them are left out.
    pub(crate) fn write(&self, plans: Vec<PlanRecord>, now: Timestamp) {
        if !plans.is_empty() && self.to.try_send(Command::Write(plans, now)).is_err() {
            tracing::warn!("the log of plans is behind; a tick's plans are left out of it");
        }
    }

    /// The plan in force at a time and the next.
    pub(crate) async fn find(
        &self,
        pool: PoolName,
        at: Timestamp,
    ) -> Result<Option<PlanAndNext>, EngineError> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Find { pool, at, reply }).await?;
        answer.await.map_err(|_| EngineError::Stopped)?
    }

    /// Strikes a name from all that was written down.
    pub(crate) async fn strike(&self, name: &str) -> Result<(), EngineError> {
        let (reply, answer) = oneshot::channel();
        let name = name.to_owned();
        self.send(Command::Strike { name, reply }).await?;
        answer.await.map_err(|_| EngineError::Stopped)?
    }

    async fn send(&self, command: Command) -> Result<(), EngineError> {
        let sent = self.to.send(command).await;
        sent.map_err(|_| EngineError::Stopped)
    }
}

fn write_down(
    mut inbox: mpsc::Receiver<Command>,
    mut log: Result<PlanLog, String>,
    keep: Duration,
) {
    let mut pruned = Timestamp::MIN;
    while let Some(command) = inbox.blocking_recv() {
        // Whoever asked may have gone away.
        match command {
            Command::Write(plans, now) => {
                if let Ok(log) = &mut log {
                    let due = now.since(pruned) >= PRUNE_EVERY;
                    if due {
                        pruned = now;
                    }
                    write(log, &plans, due.then_some((now, keep)));
                }
            }
            Command::Find { pool, at, reply } => {
                let _ = reply.send(readable(&log).and_then(|log| {
                    let found = log.at(&pool, at);
                    found.map_err(|error| EngineError::PlanLog(error.to_string()))
                }));
            }
            Command::Strike { name, reply } => {
                let struck = match &mut log {
                    Ok(log) => log
                        .strike(&name)
                        .map_err(|error| EngineError::PlanLog(error.to_string())),
                    Err(_) => Ok(()),
                };
                let _ = reply.send(struck);
            }
        }
    }
}

fn write(log: &mut PlanLog, plans: &[PlanRecord], prune: Option<(Timestamp, Duration)>) {
    if let Err(error) = log.append(plans) {
        tracing::warn!(%error, "plans were not written down");
    }
    if let Some((now, keep)) = prune
        && let Err(error) = log.prune(now, keep)
    {
        tracing::warn!(%error, "old plans were not forgotten");
    }
}

fn readable(log: &Result<PlanLog, String>) -> Result<&PlanLog, EngineError> {
    log.as_ref()
        .map_err(|reason| EngineError::PlanLog(reason.clone()))
}
