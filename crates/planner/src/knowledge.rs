//! What a pool's requests teach, whatever is aimed at.
//!
//! Demand, its model and what every policy would have cost at every setting depend on the requests
//! alone. So planners of one pool with different objectives learn once and share it.

use std::time::Duration;

use foreshadow_types::Timestamp;

use crate::{
    demand::{Snapshot, StaticCurve},
    experts::{Elapsed, Experts},
    learn::{DemandModel, ModelError},
    policy::Arrival,
    study::DemandStudy,
};

/// Own ticks after which a model fitted elsewhere is replaced, less the growth.
const ADOPTED_TICKS: u64 = 2_000;
/// By how much the ticks seen must grow before the next fit.
const REFIT_GROWTH: f64 = 1.25;
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
    tick_ms: i64,
    seed: u64,
    study: DemandStudy,
    recent: StaticCurve,
    model: Option<DemandModel>,
    /// A model fitted elsewhere to requests that are still to come.
    awaited: Option<DemandModel>,
    fitted_at: u64,
    experts: Experts,
    arrivals: f64,
    first_ms: Option<i64>,
    last: Option<Moment>,
    longest_silence_ms: i64,
}

impl Knowledge {
    pub(crate) fn new(startup: Duration, tick: Duration, seed: u64) -> Self {
        let startup_ms = i64::try_from(startup.as_millis()).unwrap_or(i64::MAX / 4);
        let tick_ms = i64::try_from(tick.as_millis()).unwrap_or(i64::MAX / 4);
        Self {
            tick_ms,
            seed,
            study: DemandStudy::new(startup, tick),
            recent: StaticCurve::default(),
            model: None,
            awaited: None,
            fitted_at: 0,
            experts: Experts::new(startup_ms, tick_ms),
            arrivals: 0.0,
            first_ms: None,
            last: None,
            longest_silence_ms: 0,
        }
    }

    /// Takes in a request.
    pub(crate) fn arrive(&mut self, arrival: &Arrival) {
        let latest_ms = self.study.latest_arrival_ms();
        let (recent, tick_ms, first_ms) = (&mut self.recent, self.tick_ms, self.first_ms);
        let at_ms = self.study.arrive(arrival, |met, end_ms| {
            recent.add(met, keep(first_ms, tick_ms, end_ms));
        });
        if latest_ms != i64::MIN {
            let silence_ms = at_ms.saturating_sub(latest_ms);
            self.longest_silence_ms = self.longest_silence_ms.max(silence_ms);
        }
        self.experts.claim(at_ms);
        self.arrivals += 1.0;
    }

    /// Takes in the end of a tick; a moment that is not later than the last changes nothing.
    pub(crate) fn tick(&mut self, now: Timestamp) -> Moment {
        let now_ms = self.study.moment_ms(now);
        if let Some(moment) = self.last
            && now_ms <= moment.now_ms
        {
            return moment;
        }
        let (recent, tick_ms, first_ms) = (&mut self.recent, self.tick_ms, self.first_ms);
        let known = self.study.advance(now_ms, |met, end_ms| {
            recent.add(met, keep(first_ms, tick_ms, end_ms));
        });
        self.take_up_awaited(now_ms);
        self.refit_when_due();
        let first_ms = *self.first_ms.get_or_insert(now_ms);
        let elapsed_ms = self.last.map_or(0, |last| now_ms - last.now_ms);
        let keep = keep(Some(first_ms), elapsed_ms, now_ms);
        self.try_out(now_ms, elapsed_ms, keep, &known);
        let moment = Moment { now_ms, keep };
        self.last = Some(moment);
        moment
    }

    /// Replays every policy on what came since the last tick.
    fn try_out(&mut self, now_ms: i64, elapsed_ms: i64, keep: f64, known: &Snapshot) {
        let elapsed = Elapsed {
            now_ms,
            seconds: elapsed_ms as f64 / 1e3,
            requests: std::mem::take(&mut self.arrivals),
            highest: self.study.take_highest() as f64,
            keep,
        };
        let fitted_to = self.model.as_ref().map_or(0, DemandModel::highest_met);
        let highest_met = self.study.highest_met().max(fitted_to);
        self.experts
            .tick(&elapsed, known, self.model.as_ref(), highest_met);
    }

    /// The latest moment, if there was one.
    pub(crate) fn moment(&self) -> Option<Moment> {
        self.last
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
        self.study.level()
    }

    /// How long nobody has asked, and the longest such silence before; none before the first request.
    pub(crate) fn silence_ms(&self, now_ms: i64) -> Option<(i64, i64)> {
        let latest_ms = self.study.latest_arrival_ms();
        (latest_ms != i64::MIN).then(|| (now_ms - latest_ms, self.longest_silence_ms))
    }

    pub(crate) fn model(&self) -> Option<&DemandModel> {
        self.model.as_ref()
    }

    /// Work of `user` has ended.
    pub(crate) fn release(&mut self, user: u64, at: Timestamp) {
        self.study.release(user, at);
    }

    fn refit_when_due(&mut self) {
        let ticks = self.study.ticks();
        if self.model.is_none() || ticks as f64 >= self.fitted_at as f64 * REFIT_GROWTH {
            self.fit();
        }
    }

    /// Fits a model if enough has been seen.
    pub(crate) fn fit(&mut self) {
        if let Some(model) = self.study.fit(self.seed) {
            self.model = Some(model);
            self.fitted_at = self.study.ticks();
        }
    }

    /// Takes a model fitted elsewhere to the same start-up time and tick, once the requests that it
    /// was fitted to are past: a policy is never judged by requests that its model has seen.
    pub(crate) fn adopt(&mut self, model: DemandModel) -> Result<(), ModelError> {
        if !self.study.matches(&model) {
            return Err(ModelError::OtherPool {
                startup_ms: model.startup_ms(),
                tick_ms: model.tick_ms(),
            });
        }
        self.awaited = Some(model);
        Ok(())
    }

    fn take_up_awaited(&mut self, now_ms: i64) {
        let past = |model: &mut DemandModel| model.trained_through().as_millis() < now_ms;
        if let Some(model) = self.awaited.take_if(past) {
            self.model = Some(model);
            self.fitted_at = self.study.ticks().max(ADOPTED_TICKS);
        }
    }
}

/// What is kept of a record after `elapsed_ms`, when the first moment was `first_ms`.
fn keep(first_ms: Option<i64>, elapsed_ms: i64, now_ms: i64) -> f64 {
    let past_s = first_ms.map_or(0, |first| now_ms - first) as f64 / 1e3;
    let half_life_s = (MEMORY_SHARE * past_s).clamp(MEMORY_LEAST_S, MEMORY_MOST_S);
    (-(elapsed_ms as f64) / 1e3 / half_life_s).exp2()
}
