//! Demand as it came, gathered for a model to be fitted to.

use std::{collections::VecDeque, time::Duration};

use foreshadow_types::Timestamp;

use crate::{
    demand::{Extractor, LeadTime, Levels, Snapshot, StaticCurve},
    learn::{DemandModel, Grid, ModelOf, Sample, Samples},
    planner::within_reach,
    policy::Arrival,
};

/// Ticks and requests before a model is fitted.
const LEAST_TICKS: u64 = 300;
const LEAST_REQUESTS: f64 = 30.0;

/// Follows the requests of one pool in bounded memory and fits a [`DemandModel`] to them.
///
/// A [`PoolPlanner`](crate::PoolPlanner) holds one and refits by itself; one alone makes a model from
/// a log for a planner to start with.
#[derive(Debug)]
pub struct DemandStudy {
    startup_ms: i64,
    tick_ms: i64,
    grid: Grid,
    lead: LeadTime,
    /// Ends of the periods that ticks decide, each with what was known when the period before was
    /// decided.
    periods: VecDeque<(i64, Option<Snapshot>)>,
    met: Levels,
    all: StaticCurve,
    extractor: Extractor,
    samples: Samples,
    last: Option<(i64, Snapshot)>,
    latest_arrival_ms: i64,
    highest: usize,
}

impl DemandStudy {
    /// A study of a pool whose instances take `startup` to start and which is planned each `tick`.
    pub fn new(startup: Duration, tick: Duration) -> Self {
        let millis = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX / 4);
        let (startup_ms, tick_ms) = (millis(startup), millis(tick).max(1));
        Self {
            startup_ms,
            tick_ms,
            grid: Grid::new(),
            lead: LeadTime::new(startup_ms),
            periods: VecDeque::new(),
            met: Levels::default(),
            all: StaticCurve::default(),
            extractor: Extractor::new(startup_ms, tick_ms),
            samples: Samples::default(),
            last: None,
            latest_arrival_ms: i64::MIN,
            highest: 0,
        }
    }

    /// A request. Times that go backwards count as now.
    pub fn observe(&mut self, arrival: &Arrival) {
        let at = within_reach(arrival.at);
        self.arrive(&Arrival { at, ..*arrival }, |_, _| {});
    }

    /// The end of a tick; it precedes the requests of its moment.
    pub fn tick(&mut self, now: Timestamp) {
        self.advance(self.moment_ms(within_reach(now)), |_, _| {});
    }

    /// A model of what was seen so far; `None` if that is too little.
    pub fn fit(&self, seed: u64) -> Option<DemandModel> {
        if self.samples.ticks() < LEAST_TICKS || self.samples.requests() < LEAST_REQUESTS {
            return None;
        }
        let of = ModelOf {
            startup_ms: self.startup_ms as u64,
            tick_ms: self.tick_ms as u64,
            through: Timestamp::from_millis(self.latest_arrival_ms),
        };
        let levels = self.all.levels();
        Some(DemandModel::fit(&self.samples, levels, of, seed))
    }

    /// As [`observe`](Self::observe); `closed` sees each period that ended, with its end. Returns the
    /// request's time.
    pub(crate) fn arrive(&mut self, arrival: &Arrival, closed: impl FnMut(&Levels, i64)) -> i64 {
        let last_tick_ms = self.last.as_ref().map_or(i64::MIN, |last| last.0);
        let at_ms = arrival
            .at
            .as_millis()
            .max(self.latest_arrival_ms)
            .max(last_tick_ms);
        self.latest_arrival_ms = at_ms;
        self.close_periods(at_ms, closed);
        self.lead.arrive(at_ms);
        let end_ms = arrival
            .hold
            .map(|hold| at_ms.saturating_add(i64::try_from(hold.as_millis()).unwrap_or(i64::MAX)));
        let user = arrival.who();
        let level = self.lead.level();
        self.extractor.arrive(at_ms, user, end_ms, level);
        self.highest = self.highest.max(level);
        at_ms
    }

    /// The moment that a tick at `now` stands for: never before a request seen.
    pub(crate) fn moment_ms(&self, now: Timestamp) -> i64 {
        now.as_millis().max(self.latest_arrival_ms)
    }

    /// As [`tick`](Self::tick) at a moment; one that is not later than the last changes nothing.
    pub(crate) fn advance(&mut self, now_ms: i64, closed: impl FnMut(&Levels, i64)) -> Snapshot {
        if let Some((last_ms, known)) = self.last
            && now_ms <= last_ms
        {
            return known;
        }
        self.close_periods(now_ms, closed);
        self.lead.advance(now_ms);
        let known = self.extractor.tick(now_ms, &self.lead);
        let elapsed_ms = self.last.map_or(0, |last| now_ms - last.0);
        let regular = (elapsed_ms - self.tick_ms).abs() <= self.tick_ms / 2;
        let decided = self.last.filter(|_| regular).map(|last| last.1);
        self.periods
            .push_back((now_ms.saturating_add(self.startup_ms), decided));
        self.last = Some((now_ms, known));
        known
    }

    /// Work of `user` has ended.
    pub(crate) fn release(&mut self, user: u64, at: Timestamp) {
        self.extractor.release(user, at.as_millis());
    }

    /// Whether a model was fitted to the same start-up time and tick.
    pub(crate) fn matches(&self, model: &DemandModel) -> bool {
        i128::from(model.startup_ms()) == i128::from(self.startup_ms)
            && i128::from(model.tick_ms()) == i128::from(self.tick_ms)
    }

    /// Ticks that a model can be fitted to.
    pub(crate) fn ticks(&self) -> u64 {
        self.samples.ticks()
    }

    /// Requests in the last start-up time.
    pub(crate) fn level(&self) -> usize {
        self.lead.level()
    }

    /// The highest demand over a start-up time since the last call.
    pub(crate) fn take_highest(&mut self) -> usize {
        std::mem::take(&mut self.highest).max(self.lead.level())
    }

    /// The highest demand over a start-up time ever.
    pub(crate) fn highest_met(&self) -> usize {
        self.all.levels().seconds.len()
    }

    /// When the last request came; `i64::MIN` before the first.
    pub(crate) fn latest_arrival_ms(&self) -> i64 {
        self.latest_arrival_ms
    }

    /// Scores the periods that end by `now_ms`.
    fn close_periods(&mut self, now_ms: i64, mut closed: impl FnMut(&Levels, i64)) {
        while let Some(&(end_ms, decided)) = self.periods.front() {
            if end_ms > now_ms {
                break;
            }
            self.periods.pop_front();
            self.lead.advance(end_ms);
            self.lead.take(&mut self.met);
            self.all.add(&self.met, 1.0);
            closed(&self.met, end_ms);
            if let Some(known) = decided {
                let (first, scored) = self.grid.score(&self.met);
                self.samples.add(Sample {
                    known,
                    first,
                    scored: scored.into(),
                    tick: self.samples.ticks(),
                });
            }
        }
    }
}
