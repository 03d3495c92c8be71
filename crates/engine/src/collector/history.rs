//! Rows for the history: journalled before they are acknowledged, then sealed in Parquet files.

use std::{
    collections::BTreeMap,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use foreshadow_history::{HistoryError, Journal, RequestRecord};
use foreshadow_shadow::Observation;
use foreshadow_types::{AllocationId, EntityId, Timestamp};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::sleep,
};

use super::{
    compact::{Upkeep, Upkept},
    folder::{HistoryFolder, Kind},
    rows::encode_usage,
    seal::{Due, SealError, seal_left, seal_requests, seal_usage, write_requests},
};
use crate::{
    clock::Stopwatch, demand::Recorded, error::EngineError, numbers::Numbers, owner::OwnerCommand,
};

/// How long rows wait at most for their Parquet file.
const SEAL_EVERY: Duration = Duration::from_mins(1);

/// The share of the samples that may wait for their Parquet file that one gets at the most.
const SHARE_OF_A_FILE: usize = 4;

/// How often past days are kept up.
const KEEP_UP_EVERY: Duration = Duration::from_hours(1);

/// How often the clock is looked at, and how long a failed sealing waits.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The journals that a run goes on with, after what an earlier run left has been sealed.
pub(crate) struct Journals {
    pub(crate) usage: Journal,
    pub(crate) requests: Journal,
}

/// Seals what an earlier run left, and begins new segments.
///
/// # Errors
/// In words, if the journal cannot be read or sealed.
pub(crate) fn begin_journals(folder: &HistoryFolder, now: Timestamp) -> Result<Journals, String> {
    let begin = |kind: Kind| {
        let next = seal_left(folder, kind, now).map_err(|error| error.to_string())?;
        Journal::begin(folder.journal(), kind.name(), next).map_err(|error| error.to_string())
    };
    Ok(Journals {
        usage: begin(Kind::Usage)?,
        requests: begin(Kind::Requests)?,
    })
}

/// What one sealing took, given back where it failed.
struct Batch {
    usage: Option<Due<Observation>>,
    requests: Option<Due<RequestRecord>>,
    open: Vec<RequestRecord>,
    /// How many rows are in their file.
    sealed: usize,
    error: Option<SealError>,
}

/// An entity that is to be deleted from the files.
struct Erase {
    entity: EntityId,
    known: bool,
    reply: oneshot::Sender<Result<(bool, u64), EngineError>>,
}

/// What was done beside the collector; one thing at a time.
enum Done {
    Sealed(Batch),
    Erased,
    KeptUp(Result<Upkept, HistoryError>),
}

/// Rows that are in the journal and not in a Parquet file yet.
pub(super) struct HistoryBuffer {
    folder: HistoryFolder,
    journal: Journal,
    frame: Vec<u8>,
    samples: Vec<Observation>,
    requests: Vec<RequestRecord>,
    /// Requests that have not ended.
    open: BTreeMap<AllocationId, RequestRecord>,
    due_usage: Option<Due<Observation>>,
    due_requests: Option<Due<RequestRecord>>,
    sealing: Option<JoinHandle<Done>>,
    erasing: Vec<Erase>,
    upkeep: Upkeep,
    /// Samples in the hands of a sealing.
    in_flight: usize,
    /// How many samples may wait for their file.
    most_waiting: usize,
    kept_up: Option<Stopwatch>,
    failed: bool,
    begun: Option<Stopwatch>,
    /// The owner is still to be asked to end its segment.
    wanted: bool,
    /// How often the owner was asked to end its segment and has not answered yet.
    awaited: u32,
    waiting: Vec<oneshot::Sender<()>>,
    owner: mpsc::Sender<OwnerCommand>,
    numbers: Arc<Numbers>,
}

impl HistoryBuffer {
    pub(super) fn new(
        (folder, journal): (HistoryFolder, Journal),
        owner: mpsc::Sender<OwnerCommand>,
        (upkeep, most_waiting): (Upkeep, usize),
        numbers: Arc<Numbers>,
    ) -> Self {
        Self {
            folder,
            journal,
            frame: Vec::new(),
            samples: Vec::new(),
            requests: Vec::new(),
            open: BTreeMap::new(),
            due_usage: None,
            due_requests: None,
            sealing: None,
            upkeep,
            in_flight: 0,
            most_waiting,
            kept_up: None,
            erasing: Vec::new(),
            failed: false,
            begun: None,
            wanted: false,
            awaited: 0,
            waiting: Vec::new(),
            owner,
            numbers,
        }
    }

    /// Journals samples; when this returns they may be acknowledged.
    pub(super) fn take_usage(&mut self, samples: Vec<Observation>) -> io::Result<()> {
        if samples.is_empty() {
            return Ok(());
        }
        encode_usage(&samples, &mut self.frame);
        self.journal.append(&self.frame)?;
        self.samples.extend(samples);
        self.begun.get_or_insert_with(Stopwatch::start);
        Ok(())
    }

    /// Whether so many samples wait for their file that no more are to be taken.
    pub(super) fn is_full(&self) -> bool {
        let due = self.due_usage.as_ref().map_or(0, |due| due.rows.len());
        self.samples.len() + due + self.in_flight >= self.most_waiting
    }

    /// Takes note of what the owner has journalled.
    pub(super) fn take_request(&mut self, recorded: &Recorded) {
        match recorded {
            Recorded::Opened(id, row) => {
                self.open.insert(*id, row.clone());
            }
            Recorded::Closed { id, row, .. } => {
                self.open.remove(id);
                self.requests.push(row.clone());
            }
            Recorded::Refused(row) => self.requests.push(row.clone()),
            Recorded::Segment(ended) => {
                self.awaited = self.awaited.saturating_sub(1);
                if let Some(number) = *ended {
                    let rows = std::mem::take(&mut self.requests);
                    Due::merge(&mut self.due_requests, Due::of(number, rows));
                }
            }
        }
        self.begun.get_or_insert_with(Stopwatch::start);
    }

    /// Waits until a sealing ends, or for a while.
    pub(super) async fn progressed(&mut self) {
        let Some(sealing) = &mut self.sealing else {
            return sleep(LOOK_EVERY).await;
        };
        let ended = sealing.await;
        self.sealing = None;
        self.in_flight = 0;
        match ended {
            Ok(Done::Sealed(batch)) => self.sealed(batch),
            Ok(Done::Erased) => {}
            Ok(Done::KeptUp(Ok(done))) if done == Upkept::default() => {}
            Ok(Done::KeptUp(Ok(Upkept { fewer, coarser }))) => {
                tracing::info!(
                    fewer,
                    coarser,
                    "files of the history were merged or made coarser"
                );
            }
            Ok(Done::KeptUp(Err(error))) => {
                tracing::error!(%error, "the history cannot be kept up");
            }
            Err(error) => {
                tracing::error!(%error, "work on the history broke off");
            }
        }
    }

    fn sealed(&mut self, batch: Batch) {
        let numbers = &self.numbers.telemetry;
        numbers.history_rows.add(batch.sealed as u64);
        self.failed = batch.error.is_some();
        if let Some(error) = batch.error {
            tracing::error!(%error, "the history cannot be written; its rows stay in the journal");
            numbers.seal_failures.add(1);
            self.put_back(batch.usage, batch.requests);
        }
    }

    /// Rows that could not be sealed go before those that came since.
    fn put_back(&mut self, usage: Option<Due<Observation>>, requests: Option<Due<RequestRecord>>) {
        Due::put_before(&mut self.due_usage, usage);
        Due::put_before(&mut self.due_requests, requests);
    }

    /// Seals what is due, and answers those who wait for it.
    pub(super) fn advance(&mut self) {
        let waited_long = self
            .begun
            .is_some_and(|begun| begun.elapsed() >= SEAL_EVERY);
        let many = (self.most_waiting / SHARE_OF_A_FILE).max(1);
        if waited_long || self.samples.len() >= many {
            self.end_segments();
        }
        self.ask_owner();
        if self.sealing.is_some() {
            return;
        }
        let settled = !self.wanted && self.awaited == 0;
        if self.due_usage.is_some() || self.due_requests.is_some() {
            self.sealing = Some(self.begin_sealing());
        } else if settled && !self.erasing.is_empty() {
            self.sealing = Some(self.begin_erasing());
        } else if self.upkeep_is_due() {
            self.sealing = Some(self.begin_upkeep());
        } else if settled {
            for waiting in self.waiting.drain(..) {
                let _ = waiting.send(());
            }
        }
    }

    /// Answers when all rows so far are in Parquet files.
    pub(super) fn flush(&mut self, reply: oneshot::Sender<()>) {
        self.end_segments();
        self.waiting.push(reply);
    }

    /// Deletes an entity from all that has come so far.
    pub(super) fn forget(
        &mut self,
        entity: EntityId,
        known: bool,
        reply: oneshot::Sender<Result<(bool, u64), EngineError>>,
    ) {
        for row in self.open.values_mut().chain(&mut self.requests) {
            row.user.take_if(|user| user.as_str() == entity.as_str());
        }
        self.end_segments();
        self.erasing.push(Erase {
            entity,
            known,
            reply,
        });
    }

    fn begin_erasing(&mut self) -> JoinHandle<Done> {
        let erasing = std::mem::take(&mut self.erasing);
        let folder = self.folder.clone();
        tokio::task::spawn_blocking(move || {
            for erase in erasing {
                let erased = folder.erase(&erase.entity);
                let outcome = erased
                    .map(|rows| (erase.known, rows))
                    .map_err(|error| EngineError::Ledger(format!("the history: {error}")));
                let _ = erase.reply.send(outcome);
            }
            Done::Erased
        })
    }

    fn upkeep_is_due(&self) -> bool {
        self.waiting.is_empty()
            && self
                .kept_up
                .is_none_or(|kept_up| kept_up.elapsed() >= KEEP_UP_EVERY)
    }

    fn begin_upkeep(&mut self) -> JoinHandle<Done> {
        self.kept_up = Some(Stopwatch::start());
        let (folder, upkeep) = (self.folder.clone(), self.upkeep.clone());
        let now = self.numbers.clock.now();
        tokio::task::spawn_blocking(move || Done::KeptUp(folder.keep_up(now, &upkeep)))
    }

    fn end_segments(&mut self) {
        self.begun = None;
        self.end_usage_segment();
        self.wanted = true;
        self.ask_owner();
    }

    /// An owner with much to do is asked again later.
    fn ask_owner(&mut self) {
        if self.wanted && self.owner.try_send(OwnerCommand::EndSegment).is_ok() {
            self.wanted = false;
            self.awaited += 1;
        }
    }

    fn end_usage_segment(&mut self) {
        if self.samples.is_empty() {
            return;
        }
        match self.journal.rotate() {
            Ok(number) => {
                let rows = std::mem::take(&mut self.samples);
                Due::merge(&mut self.due_usage, Due::of(number, rows));
            }
            Err(error) => tracing::error!(%error, "the journal of samples cannot go on"),
        }
    }

    fn begin_sealing(&mut self) -> JoinHandle<Done> {
        let mut batch = Batch {
            usage: self.due_usage.take(),
            requests: self.due_requests.take(),
            open: self.open.values().cloned().collect(),
            sealed: 0,
            error: None,
        };
        self.in_flight = batch.usage.as_ref().map_or(0, |due| due.rows.len());
        let folder = self.folder.clone();
        let now = self.numbers.clock.now();
        let pause = if self.failed {
            LOOK_EVERY
        } else {
            Duration::ZERO
        };
        tokio::task::spawn_blocking(move || {
            std::thread::sleep(pause);
            // Whatever happens the rows come back: they are sealed before any that follow.
            let sealed = catch_unwind(AssertUnwindSafe(|| batch.seal(&folder, now)));
            batch.error = sealed.unwrap_or(Err(SealError::Panicked)).err();
            Done::Sealed(batch)
        })
    }

    /// Seals all that is left; the owner has ended and its last segment too.
    pub(super) async fn finish(&mut self) {
        (self.wanted, self.awaited) = (false, 0);
        while self.sealing.is_some() {
            self.progressed().await;
        }
        self.end_usage_segment();
        self.sealing = Some(self.begin_sealing());
        self.progressed().await;
        self.waiting.clear();
    }
}

impl Batch {
    fn seal(&mut self, folder: &HistoryFolder, now: Timestamp) -> Result<(), SealError> {
        if let Some(due) = &mut self.usage {
            seal_usage(folder, due, now)?;
            self.sealed += due.rows.len();
            self.usage = None;
        }
        if let Some(due) = &mut self.requests {
            seal_requests(folder, due, now)?;
            self.sealed += due.rows.len();
            self.requests = None;
            write_requests(&self.open, &folder.open_requests())?;
        }
        Ok(())
    }
}
