//! Writes down why pools have the size they have and who changed what, and finds it again.

use std::{path::PathBuf, thread, time::Duration};

use foreshadow_ledger::{
    AuditLog, AuditQuery, AuditRecord, LedgerError, PlanAndNext, PlanLog, PlanRecord,
};
use foreshadow_types::{PoolName, Timestamp};
use tokio::sync::{mpsc, oneshot};

use crate::error::{EngineError, StartError};

/// Messages that wait for the scribe.
const WAITING: usize = 256;

/// How often what is old is forgotten.
const PRUNE_EVERY: Duration = Duration::from_hours(1);

enum Command {
    Write(Vec<PlanRecord>, Timestamp),
    Find {
        pool: PoolName,
        at: Timestamp,
        reply: oneshot::Sender<Result<Option<PlanAndNext>, EngineError>>,
    },
    Between {
        pool: PoolName,
        span: (Timestamp, Timestamp),
        step: Duration,
        reply: oneshot::Sender<Result<Vec<PlanRecord>, EngineError>>,
    },
    Audit {
        record: AuditRecord,
        reply: oneshot::Sender<Result<(), EngineError>>,
    },
    Audited {
        query: AuditQuery,
        reply: oneshot::Sender<Result<Vec<AuditRecord>, EngineError>>,
    },
    Strike {
        name: String,
        reply: oneshot::Sender<Result<(), EngineError>>,
    },
}

/// How long each log is kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kept {
    pub(crate) plans: Duration,
    pub(crate) audit: Duration,
}

/// Both logs, or why they cannot be used.
struct Logs {
    plans: Result<PlanLog, String>,
    audit: Result<AuditLog, String>,
}

/// The way to the thread that owns the log of plans. It ends when nobody holds one any more.
#[derive(Debug, Clone)]
pub(crate) struct Scribe {
    to: mpsc::Sender<Command>,
}

impl Scribe {
    /// Opens the log of a data folder. One that cannot be used stops nothing: whoever asks is told.
    pub(crate) fn start(folder: PathBuf, kept: Kept) -> Result<Self, StartError> {
        let (to, inbox) = mpsc::channel(WAITING);
        thread::Builder::new()
            .name("foreshadow-scribe".to_owned())
            .spawn(move || {
                let logs = Logs {
                    plans: PlanLog::open(&folder).map_err(|error| error.to_string()),
                    audit: AuditLog::open(&folder).map_err(|error| error.to_string()),
                };
                if let Err(reason) = &logs.plans {
                    tracing::warn!(reason, "plans are not written down");
                }
                if let Err(reason) = &logs.audit {
                    tracing::warn!(reason, "changes are not written down");
                }
                write_down(inbox, logs, kept);
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

    /// The plan in force at the start of a span, and the last of each of its steps.
    pub(crate) async fn between(
        &self,
        pool: PoolName,
        from: Timestamp,
        to: Timestamp,
        step: Duration,
    ) -> Result<Vec<PlanRecord>, EngineError> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Between {
            pool,
            span: (from, to),
            step,
            reply,
        })
        .await?;
        answer.await.map_err(|_| EngineError::Stopped)?
    }

    /// Writes a change down, through to the disk.
    pub(crate) async fn audit(&self, record: AuditRecord) -> Result<(), EngineError> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Audit { record, reply }).await?;
        answer.await.map_err(|_| EngineError::Stopped)?
    }

    /// The changes that a query asks for, the latest first.
    pub(crate) async fn audited(&self, query: AuditQuery) -> Result<Vec<AuditRecord>, EngineError> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Audited { query, reply }).await?;
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

fn write_down(mut inbox: mpsc::Receiver<Command>, mut logs: Logs, kept: Kept) {
    let mut pruned = Timestamp::MIN;
    while let Some(command) = inbox.blocking_recv() {
        let written_at = match &command {
            Command::Write(_, now) => Some(*now),
            Command::Audit { record, .. } => Some(record.at),
            Command::Find { .. }
            | Command::Between { .. }
            | Command::Audited { .. }
            | Command::Strike { .. } => None,
        };
        if let Some(now) = written_at.filter(|now| now.since(pruned) >= PRUNE_EVERY) {
            pruned = now;
            logs.prune(now, kept);
        }
        // Whoever asked may have gone away.
        match command {
            Command::Write(plans, _) => logs.write(&plans),
            Command::Find { pool, at, reply } => {
                let _ = reply.send(using(&mut logs.plans, |log| log.at(&pool, at)));
            }
            Command::Between {
                pool,
                span,
                step,
                reply,
            } => {
                let work = |log: &mut PlanLog| log.between(&pool, span, step);
                let _ = reply.send(using(&mut logs.plans, work));
            }
            Command::Audit { record, reply } => {
                let _ = reply.send(using(&mut logs.audit, |log| log.append(&record)));
            }
            Command::Audited { query, reply } => {
                let _ = reply.send(using(&mut logs.audit, |log| log.list(&query)));
            }
            Command::Strike { name, reply } => {
                let _ = reply.send(logs.strike(&name));
            }
        }
    }
}

impl Logs {
    fn write(&mut self, plans: &[PlanRecord]) {
        if let Ok(log) = &mut self.plans
            && let Err(error) = log.append(plans)
        {
            tracing::warn!(%error, "plans were not written down");
        }
    }

    fn prune(&mut self, now: Timestamp, kept: Kept) {
        let plans = self.plans.as_mut().ok();
        let plans = plans.map_or(Ok(()), |log| log.prune(now, kept.plans));
        let audit = self.audit.as_mut().ok();
        let audit = audit.map_or(Ok(()), |log| log.prune(now, kept.audit));
        if let Err(error) = plans.and(audit) {
            tracing::warn!(%error, "old plans and changes were not forgotten");
        }
    }

    /// A log that cannot be used holds no name that could be read.
    fn strike(&mut self, name: &str) -> Result<(), EngineError> {
        if self.plans.is_ok() {
            using(&mut self.plans, |log| log.strike(name))?;
        }
        if self.audit.is_ok() {
            using(&mut self.audit, |log| log.strike(name))?;
        }
        Ok(())
    }
}

fn using<L, T>(
    log: &mut Result<L, String>,
    work: impl FnOnce(&mut L) -> Result<T, LedgerError>,
) -> Result<T, EngineError> {
    let log = log.as_mut();
    let log = log.map_err(|reason| EngineError::Log(reason.clone()))?;
    work(log).map_err(|error| EngineError::Log(error.to_string()))
}
