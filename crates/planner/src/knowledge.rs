//! What a pool's requests teach, whatever is aimed at.
//!
//! Demand, its model and what every policy would have cost at every setting depend on the requests
//! alone. So planners of one pool with different objectives learn once and share it.

use std::{collections::VecDeque, time::Duration};

use foreshadow_types::Timestamp;

use crate::{
    demand::{Extractor, LeadTime, Levels, Snapshot, StaticCurve},
    experts::{Elapsed, Experts},
    learn::{DemandModel, Grid, ModelError, ModelOf, Sample, Samples},
    policy::Arrival,
};

/// Ticks and requests before the first fit.
const FIRST_FIT_TICKS: u64 = 300;
const FIRST_FIT_REQUESTS: f64 = 150.0;
/// Own ticks after which a model fitted elsewhere is replaced, less the growth.
const ADOPTED_TICKS: u64 = 2_000;
/// By how much the ticks seen must grow before the next fit.
const REFIT_GROWTH: f64 = 1.35;
/// The record's half-life: a share of the past, within these limits.
const MEMORY_SHARE: f64 = 0.3;
const MEMORY_LEAST_S: f64 = 6.0 * 3600.0;
const MEMORY_MOST_S: f64 = 21.0 * 86_400.0;
/// A moment at which plans are made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) now_ms: i64,
    /// What is kept of a record from the last moment to this one.
    pub(crate) keep: f64,
}

/// Follows the requests of one pool.
#[derive(Debug)]
pub(crate) struct Knowledge {
    startup_ms: i64,
    tick_ms: i64,
    seed: u64,
    grid: Grid,
    lead: LeadTime,
    /// Ends of the periods that ticks decide, each with what was known when the period before was
    /// decided.
    periods: VecDeque<(i64, Option<Snapshot>)>,
    met: Levels,
    all: StaticCurve,
    recent: StaticCurve,
    extractor: Extractor,
    samples: Samples,
    model: Option<DemandModel>,
    fitted_at: u64,
    experts: Experts,
    arrivals: f64,
    first_ms: Option<i64>,
    last: Option<(Moment, Snapshot)>,
    highest: usize,
    latest_arrival_ms: i64,
    longest_silence_ms: i64,
}

impl Knowledge {
    pub(crate) fn new(startup: Duration, tick: Duration, seed: u64) -> Self {
        let startup_ms = i64::try_from(startup.as_millis()).unwrap_or(i64::MAX / 4);
        let tick_ms = i64::try_from(tick.as_millis()).unwrap_or(i64::MAX / 4);
        Self {
            startup_ms,
            tick_ms,
            seed,
            grid: Grid::new(),
            lead: LeadTime::new(startup_ms),
            periods: VecDeque::new(),
            met: Levels::default(),
            all: StaticCurve::default(),
            recent: StaticCurve::default(),
            extractor: Extractor::new(startup_ms, tick_ms),
            samples: Samples::default(),
            model: None,
            fitted_at: 0,
            experts: Experts::new(startup_ms, tick_ms),
            arrivals: 0.0,
            first_ms: None,
            last: None,
            highest: 0,
            latest_arrival_ms: i64::MIN,
            longest_silence_ms: 0,
        }
    }

    /// Takes in a request.
    pub(crate) fn arrive(&mut self, arrival: &Arrival) {
        let last_tick_ms = self.last.as_ref().map_or(i64::MIN, |last| last.0.now_ms);
        let at_ms = arrival
            .at
            .as_millis()
            .max(self.latest_arrival_ms)
            .max(last_tick_ms);
        if self.latest_arrival_ms != i64::MIN {
            let silence_ms = at_ms.saturating_sub(self.latest_arrival_ms);
            self.longest_silence_ms = self.longest_silence_ms.max(silence_ms);
        }
        self.latest_arrival_ms = at_ms;
        self.close_periods(at_ms);
        self.lead.arrive(at_ms);
        let end_ms = arrival
            .hold
            .map(|hold| at_ms.saturating_add(i64::try_from(hold.as_millis()).unwrap_or(i64::MAX)));
        let user = if arrival.user == 0 {
            arrival.application
        } else {
            arrival.user
        };
        self.extractor
            .arrive(at_ms, user, end_ms, self.lead.level());
        self.highest = self.highest.max(self.lead.level());
        self.experts.claim(at_ms);
        self.arrivals += 1.0;
    }

    /// Takes in the end of a tick; a moment that is not later than the last changes nothing.
    pub(crate) fn tick(&mut self, now: Timestamp) -> Moment {
        let now_ms = now.as_millis().max(self.latest_arrival_ms);
        if let Some((moment, _)) = self.last
            && now_ms <= moment.now_ms
        {
            return moment;
        }
        self.close_periods(now_ms);
        self.lead.advance(now_ms);
        let known = self.extractor.tick(now_ms, &self.lead);
        let last = self.last.take();
        let elapsed_ms = last.as_ref().map_or(0, |last| now_ms - last.0.now_ms);
        let regular = (elapsed_ms - self.tick_ms).abs() <= self.tick_ms / 2;
        let decided = last.filter(|_| regular).map(|last| last.1);
        self.periods
            .push_back((now_ms.saturating_add(self.startup_ms), decided));
        self.refit_when_due();
        self.first_ms.get_or_insert(now_ms);
        let keep = self.keep(elapsed_ms, now_ms);
        self.try_out(now_ms, elapsed_ms, keep, &known);
        let moment = Moment { now_ms, keep };
        self.last = Some((moment, known));
        moment
    }

    /// Replays every policy on what came since the last tick.
    fn try_out(&mut self, now_ms: i64, elapsed_ms: i64, keep: f64, known: &Snapshot) {
        let elapsed = Elapsed {
            now_ms,
            seconds: elapsed_ms as f64 / 1e3,
            requests: std::mem::take(&mut self.arrivals),
            highest: std::mem::take(&mut self.highest).max(self.lead.level()) as f64,
            keep,
        };
        let fitted_to = self.model.as_ref().map_or(0, DemandModel::highest_met);
        let highest_met = self.all.levels().seconds.len().max(fitted_to);
        self.experts
            .tick(&elapsed, known, self.model.as_ref(), highest_met);
    }

    /// The competing policies with their records.
    pub(crate) fn experts(&self) -> &Experts {
        &self.experts
    }

    /// The record of every constant pool.
    pub(crate) fn recent(&self) -> &StaticCurve {
        &self.recent
    }

    /// Requests in the last start-up time.
    pub(crate) fn recent_demand(&self) -> usize {
        self.lead.level()
    }

    /// How long nobody has asked, and the longest such silence before; none before the first request.
    pub(crate) fn silence_ms(&self, now_ms: i64) -> Option<(i64, i64)> {
        (self.latest_arrival_ms != i64::MIN)
            .then(|| (now_ms - self.latest_arrival_ms, self.longest_silence_ms))
    }

    pub(crate) fn model(&self) -> Option<&DemandModel> {
        self.model.as_ref()
    }

    /// Scores the periods that end by `now_ms`.
    fn close_periods(&mut self, now_ms: i64) {
        while let Some(&(end_ms, decided)) = self.periods.front() {
            if end_ms > now_ms {
                break;
            }
            self.periods.pop_front();
            self.lead.advance(end_ms);
            self.lead.take(&mut self.met);
            self.all.add(&self.met, 1.0);
            let keep = self.keep(self.tick_ms, end_ms);
            self.recent.add(&self.met, keep);
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

    /// What is kept of a record after `elapsed_ms`.
    fn keep(&self, elapsed_ms: i64, now_ms: i64) -> f64 {
        let past_s = self.first_ms.map_or(0, |first| now_ms - first) as f64 / 1e3;
        let half_life_s = (MEMORY_SHARE * past_s).clamp(MEMORY_LEAST_S, MEMORY_MOST_S);
        (-(elapsed_ms as f64) / 1e3 / half_life_s).exp2()
    }

    fn refit_when_due(&mut self) {
        let ticks = self.samples.ticks();
        if self.model.is_none() || ticks as f64 >= self.fitted_at as f64 * REFIT_GROWTH {
            self.fit();
        }
    }

    /// Fits a model if enough has been seen.
    pub(crate) fn fit(&mut self) {
        let ticks = self.samples.ticks();
        if ticks < FIRST_FIT_TICKS || self.samples.requests() < FIRST_FIT_REQUESTS {
            return;
        }
        let of = ModelOf {
            startup_ms: self.startup_ms as u64,
            tick_ms: self.tick_ms as u64,
            through: Timestamp::from_millis(self.latest_arrival_ms),
        };
        let model = DemandModel::fit(&self.samples, self.all.levels(), of, self.seed);
        self.model = Some(model);
        self.fitted_at = ticks;
    }

    /// Takes a model fitted elsewhere to the same start-up time and tick.
    pub(crate) fn adopt(&mut self, model: DemandModel) -> Result<(), ModelError> {
        let same = i128::from(model.startup_ms()) == i128::from(self.startup_ms)
            && i128::from(model.tick_ms()) == i128::from(self.tick_ms);
        if !same {
            return Err(ModelError::OtherPool {
                startup_ms: model.startup_ms(),
                tick_ms: model.tick_ms(),
            });
        }
        self.model = Some(model);
        self.fitted_at = ADOPTED_TICKS;
        Ok(())
    }

    pub(crate) fn release(&mut self, user: u64, at: Timestamp) {
        self.extractor.release(user, at.as_millis());
    }
}
