//! The one owner of the resource shadows: takes observations and requests, keeps recent bins of each
//! series and hands rows to the history.

mod command;
mod compact;
mod folder;
mod history;
mod name;
mod once;
mod past;
mod recall;
mod rows;
mod seal;
mod series;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use foreshadow_history::Journal;
use foreshadow_shadow::{Access, Observation, ShadowStore, StoreLimits};
use foreshadow_types::{EntityId, Timestamp};
use tokio::sync::{mpsc, oneshot};

pub(crate) use self::{
    command::{CollectorCommand, Gathered, GatheredSeries, ReportError, WarmSeries},
    folder::{HistoryFolder, Kind},
    history::{Journals, begin_journals},
    rows::encode_requests,
    series::SeriesKey,
};
use self::{
    compact::Upkeep,
    history::HistoryBuffer,
    once::Taken,
    recall::{Heard, Recall},
    series::SeriesStore,
};
use crate::{
    config::{EngineConfig, Limits},
    demand::{Fate, Happening, Recorded, RequestSeen},
    numbers::Numbers,
    owner::OwnerCommand,
    planning::REQUESTS,
    views::ReportOutcome,
};

/// Observations further ahead of the clock than this are refused.
const FURTHEST_AHEAD: Duration = Duration::from_mins(5);

/// Observations older than this are refused.
const OLDEST: Duration = Duration::from_hours(24 * 30);

/// Happenings kept for planning at most; beyond it the oldest are dropped.
const MOST_HAPPENINGS: usize = 1 << 20;

/// Reports that wait for the history at the most.
const MOST_WAITING: usize = 1_024;

/// How often categories are found anew.
const RECLUSTER_EVERY: Duration = Duration::from_mins(10);

/// How often it is told that there are too many of something.
const TELL_EVERY: Duration = Duration::from_mins(10);

/// Observations and who is told what became of them.
struct Report {
    observations: Vec<Observation>,
    once: bool,
    reply: oneshot::Sender<Result<ReportOutcome, ReportError>>,
}

/// The shadows and what is gathered for the next tick.
pub(crate) struct Collector {
    shadows: ShadowStore,
    /// Until the shadows of earlier runs are known.
    recall: Option<Recall>,
    series: SeriesStore,
    history: HistoryBuffer,
    /// Reports that wait until files have been written: senders wait for their answers.
    waiting: VecDeque<Report>,
    taken: Taken,
    happenings: VecDeque<Happening>,
    clustered_at: Option<Timestamp>,
    /// How many of the shadows had given way when it was last looked.
    evicted: u64,
    /// When it was last told that there is no room.
    told_at: Option<Timestamp>,
    requests_metric: Arc<str>,
    numbers: Arc<Numbers>,
    limits: Limits,
}

/// The end of a recall, which never comes where there is none.
async fn ended(recall: &mut Option<Recall>) -> Option<ShadowStore> {
    match recall {
        Some(recall) => recall.ended().await,
        None => std::future::pending().await,
    }
}

/// What the collector listens to.
pub(crate) struct Inbox {
    pub(crate) commands: mpsc::Receiver<CollectorCommand>,
    pub(crate) happenings: mpsc::Receiver<Vec<Happening>>,
}

impl Collector {
    pub(crate) fn new(
        interval: Duration,
        config: &EngineConfig,
        history: (HistoryFolder, Journal),
        owner: mpsc::Sender<OwnerCommand>,
        numbers: Arc<Numbers>,
    ) -> Self {
        let limits = config.limits;
        let upkeep = Upkeep {
            keep: limits.history,
            downsampling: config.downsampling.clone(),
        };
        let store = StoreLimits {
            max_entities: limits.entities,
            ..StoreLimits::default()
        };
        // Without a thread shadows begin anew, as they do without a history.
        let recall = Recall::begin(history.0.clone(), store, numbers.clock.now());
        let recall = recall.inspect_err(|error| tracing::warn!(%error, "shadows are not recalled"));
        Self {
            shadows: ShadowStore::new(store),
            recall: recall.ok(),
            series: SeriesStore::new(interval, limits.series),
            history: HistoryBuffer::new(history, owner, (upkeep, limits.unsealed), numbers.clone()),
            waiting: VecDeque::new(),
            taken: Taken::default(),
            happenings: VecDeque::new(),
            clustered_at: None,
            evicted: 0,
            told_at: None,
            requests_metric: REQUESTS.into(),
            numbers,
            limits,
        }
    }

    /// Collects until told to finish, then writes what waits.
    pub(crate) async fn run(mut self, mut inbox: Inbox) {
        loop {
            tokio::select! {
                command = inbox.commands.recv() => match command {
                    None | Some(CollectorCommand::Finish) => break,
                    Some(command) => self.take(command),
                },
                Some(happened) = inbox.happenings.recv() => self.take_happenings(happened),
                () = self.history.progressed() => {}
                recalled = ended(&mut self.recall) => self.go_on_from(recalled),
            }
            self.history.advance();
            self.take_waiting();
        }
        while let Ok(happened) = inbox.happenings.try_recv() {
            self.take_happenings(happened);
        }
        self.history.finish().await;
    }

    fn take(&mut self, command: CollectorCommand) {
        match command {
            CollectorCommand::Report {
                observations,
                once,
                reply,
            } => self.report(Report {
                observations,
                once,
                reply,
            }),
            CollectorCommand::Shadow { entity, reply } => {
                let now = self.numbers.clock.now();
                let _ = reply.send(self.shadows.snapshot(&entity, now));
            }
            CollectorCommand::Gather { now, reply } => {
                let _ = reply.send(self.gather(now));
            }
            CollectorCommand::Rebin { interval, warm } => self.rebin(interval, warm.as_ref()),
            CollectorCommand::Flush { reply } => self.history.flush(reply),
            CollectorCommand::Forget { entity, reply } => {
                let known = self.shadows.remove(&entity);
                if let Some(recall) = &mut self.recall {
                    recall.forget(&entity);
                }
                self.series.forget(&entity);
                self.taken.forget(&entity);
                self.history.forget(entity, known, reply);
            }
            CollectorCommand::Finish => {}
        }
    }

    /// Takes a report, or lets it wait while too many samples are in no file yet.
    fn report(&mut self, report: Report) {
        if !self.history.is_full() {
            self.answer(report);
        } else if self.waiting.len() < MOST_WAITING {
            self.waiting.push_back(report);
        } else {
            let behind = ReportError::Behind(report.observations);
            let _ = report.reply.send(Err(behind));
        }
    }

    fn take_waiting(&mut self) {
        while !self.history.is_full()
            && let Some(report) = self.waiting.pop_front()
        {
            self.answer(report);
        }
    }

    /// Takes a report. Its sender may be gone: what was taken is remembered all the same.
    fn answer(&mut self, report: Report) {
        let outcome = if report.once {
            self.observe_once(report.observations)
        } else {
            self.observe(report.observations, |_| {})
        };
        let _ = report.reply.send(outcome);
    }

    fn observe_once(
        &mut self,
        mut observations: Vec<Observation>,
    ) -> Result<ReportOutcome, ReportError> {
        let (duplicates, marks) = self.taken.sift(&mut observations);
        let mut kept = Vec::with_capacity(marks.len());
        let mut outcome = self.observe(observations, |place| kept.push(marks[place]))?;
        self.taken.remember(kept);
        self.numbers.telemetry.duplicates.add(duplicates);
        outcome.accepted += duplicates;
        outcome.duplicates = duplicates;
        Ok(outcome)
    }

    /// Notes for the shadows that are being recalled what the present ones were told.
    fn hear(&mut self, heard: impl Iterator<Item = Heard>) {
        if let Some(recall) = &mut self.recall {
            recall.hear(heard);
        }
    }

    /// Goes on with the shadows of earlier runs; with the present ones if they could not be read.
    fn go_on_from(&mut self, recalled: Option<ShadowStore>) {
        self.recall = None;
        if let Some(recalled) = recalled {
            self.shadows = recalled;
            // What gave way while the history was read is no news.
            self.evicted = self.shadows.counts().evicted;
            self.clustered_at = None;
        }
    }

    /// Begins with other bins, filled from past values where there are any.
    pub(crate) fn rebin(&mut self, interval: Duration, warm: Option<&WarmSeries>) {
        if interval == self.series.interval() && warm.is_none() {
            return;
        }
        self.series = SeriesStore::new(interval, self.limits.series);
        if let Some(warm) = warm {
            self.series.fill(warm);
        }
    }

    /// Takes observations, and tells the places of those that are good.
    fn observe(
        &mut self,
        observations: Vec<Observation>,
        mut good: impl FnMut(usize),
    ) -> Result<ReportOutcome, ReportError> {
        let now = self.numbers.clock.now();
        let (oldest, latest) = (now - OLDEST, now + FURTHEST_AHEAD);
        let mut outcome = ReportOutcome::default();
        let mut taken = Vec::with_capacity(observations.len());
        let mut refused = 0;
        for (place, observation) in observations.into_iter().enumerate() {
            let timely = observation.at >= oldest && observation.at <= latest;
            if timely && self.shadows.observe(&observation) {
                outcome.accepted += 1;
                good(place);
                let (entity, metric) = (&observation.entity, &observation.metric);
                let at = observation.at;
                let fits = self.series.sample(entity, metric, at, observation.value);
                refused += u64::from(!fits);
                taken.push(observation);
            } else {
                outcome.rejected += 1;
            }
        }
        self.hear(taken.iter().cloned().map(Heard::Observation));
        self.history
            .take_usage(taken)
            .map_err(|error| ReportError::Journal(error.to_string()))?;
        let telemetry = &self.numbers.telemetry;
        telemetry.accepted.add(outcome.accepted);
        telemetry.rejected.add(outcome.rejected);
        telemetry.entities.set(self.shadows.len() as u64);
        self.tell_of_the_full(refused, now);
        Ok(outcome)
    }

    /// Counts what there was no room for, and says so once in a while.
    fn tell_of_the_full(&mut self, refused: u64, now: Timestamp) {
        let telemetry = &self.numbers.telemetry;
        telemetry.series_refused.add(refused);
        let evicted = self.shadows.counts().evicted;
        let gave_way = evicted - std::mem::replace(&mut self.evicted, evicted);
        telemetry.evicted.add(gave_way);
        let due = |at: Timestamp| now.since(at) >= TELL_EVERY;
        if refused + gave_way > 0 && self.told_at.is_none_or(due) {
            self.told_at = Some(now);
            tracing::warn!(
                refused,
                gave_way,
                "there are more series or entities than there is room for; raise [limits] or send less"
            );
        }
    }

    fn take_happenings(&mut self, happened: Vec<Happening>) {
        for happening in happened {
            match &happening {
                Happening::Request(seen) => self.take_request(seen),
                Happening::Recorded(recorded) => {
                    self.history.take_request(recorded);
                    // Of these planning needs to know ends alone.
                    if !matches!(recorded, Recorded::Closed { .. }) {
                        continue;
                    }
                }
                Happening::Started { .. } | Happening::StartFailed { .. } => {}
            }
            self.happenings.push_back(happening);
        }
        let excess = self.happenings.len().saturating_sub(MOST_HAPPENINGS);
        // From a vector all others would have to move each time.
        self.happenings.drain(..excess);
    }

    fn take_request(&mut self, seen: &RequestSeen) {
        let request = &seen.request;
        if let Some(user) = request.user() {
            let access = Access {
                user: user.clone(),
                application: request.application().cloned(),
                at: seen.at,
            };
            self.shadows.access(&access);
            self.hear([Heard::Access(access)].into_iter());
        }
        let metric = &self.requests_metric;
        let entities = request.entities();
        let entities = entities.map(|entity| SeriesKey::Entity(entity, metric.clone()));
        let pool = (seen.fate != Fate::Booked).then(|| SeriesKey::Pool(seen.pool.clone()));
        let mut refused = 0;
        for key in entities.chain(pool) {
            refused += u64::from(!self.series.count(&key, seen.at));
        }
        self.tell_of_the_full(refused, seen.at);
    }

    fn gather(&mut self, now: Timestamp) -> Gathered {
        let closed = self.series.closed(now);
        let due = |at: Timestamp| now.since(at) >= RECLUSTER_EVERY;
        if closed.is_some() && self.clustered_at.is_none_or(due) {
            self.shadows.recluster(now);
            self.clustered_at = Some(now);
        }
        let series = closed.map(|(panel, keys)| GatheredSeries {
            panel,
            keys: keys.into(),
        });
        let categories = series.as_ref().map(|series| self.categories(&series.keys));
        Gathered {
            happenings: std::mem::take(&mut self.happenings).into(),
            series,
            categories: categories.unwrap_or_default(),
        }
    }

    fn categories(&self, keys: &[SeriesKey]) -> BTreeMap<EntityId, Arc<str>> {
        let mut categories = BTreeMap::new();
        for key in keys {
            if let SeriesKey::Entity(entity, _) = key
                && !categories.contains_key(entity)
                && let Some(category) = self.shadows.category_of(entity)
            {
                categories.insert(entity.clone(), category.label.as_str().into());
            }
        }
        categories
    }
}
