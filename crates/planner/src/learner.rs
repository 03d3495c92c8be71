//! What a pool's planner has learnt from its requests.

use std::{collections::VecDeque, time::Duration};

use foreshadow_types::Timestamp;

use crate::{
    demand::{Extractor, LeadTime, Levels, Snapshot, StaticCurve},
    experts::{Elapsed, Experts},
    feedback::Feedback,
    learn::{DemandModel, Grid, ModelOf, Sample, Samples},
    plan::{Mode, Reason, TradeOff},
    policy::{Arrival, Outcome},
    settings::{Objective, PoolSettings},
};

/// The learnt part of a plan.
#[derive(Debug, Clone)]
pub(crate) struct Learnt {
    pub(crate) target: u32,
    pub(crate) mode: Mode,
    pub(crate) reasons: Vec<Reason>,
}

/// Ticks and requests before the first fit.
const FIRST_FIT_TICKS: u64 = 300;
const FIRST_FIT_REQUESTS: f64 = 150.0;
/// Own ticks after which a model fitted elsewhere is replaced, less the growth.
const ADOPTED_TICKS: u64 = 2_000;
/// By how much the ticks seen must grow before the next fit.
const REFIT_GROWTH: f64 = 1.35;
/// A pool rests after a silence so many times as long as any before, and at least this long.
const DORMANT_SILENCES: i64 = 6;
const DORMANT_LEAST_MS: i64 = 3_600_000;
/// The record's half-life: a share of the past, within these limits.
const MEMORY_SHARE: f64 = 0.3;
const MEMORY_LEAST_S: f64 = 6.0 * 3600.0;
const MEMORY_MOST_S: f64 = 21.0 * 86_400.0;
/// The share of the record's requests within which a shortfall is made up.
const MAKE_UP: f64 = 0.15;

/// Follows demand and sizes the pool by it.
#[derive(Debug)]
pub(crate) struct Learner {
    objective: Objective,
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
    feedback: Feedback,
    arrivals: f64,
    first_ms: Option<i64>,
    last: Option<(i64, Snapshot, Learnt)>,
    highest: usize,
    latest_arrival_ms: i64,
    longest_silence_ms: i64,
}

impl Learner {
    pub(crate) fn new(settings: &PoolSettings) -> Self {
        let startup_ms = i64::try_from(settings.startup.as_millis()).unwrap_or(i64::MAX / 4);
        let tick_ms = i64::try_from(settings.tick.as_millis()).unwrap_or(i64::MAX / 4);
        let wanted = match settings.objective {
            Objective::HitRate(rate) => rate,
            Objective::IdleBudget { .. } | Objective::Costs { .. } => 0.95,
        };
        Self {
            objective: settings.objective,
            startup_ms,
            tick_ms,
            seed: settings.seed,
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
            feedback: Feedback::new(wanted),
            arrivals: 0.0,
            first_ms: None,
            last: None,
            highest: 0,
            latest_arrival_ms: i64::MIN,
            longest_silence_ms: 0,
        }
    }

    /// Without an outcome, the request says nothing of the hit rate.
    pub(crate) fn arrive(&mut self, arrival: &Arrival, outcome: Option<Outcome>) {
        let last_tick_ms = self.last.as_ref().map_or(i64::MIN, |last| last.0);
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
        if let Some(outcome) = outcome {
            self.feedback.count(outcome == Outcome::Hit);
        }
    }

    pub(crate) fn tick(&mut self, now: Timestamp) -> Learnt {
        let now_ms = now.as_millis().max(self.latest_arrival_ms);
        if let Some((last_ms, _, learnt)) = &self.last
            && now_ms <= *last_ms
        {
            return learnt.clone();
        }
        self.close_periods(now_ms);
        self.lead.advance(now_ms);
        let known = self.extractor.tick(now_ms, &self.lead);
        let last = self.last.take();
        let elapsed_ms = last.as_ref().map_or(0, |last| now_ms - last.0);
        let regular = (elapsed_ms - self.tick_ms).abs() <= self.tick_ms / 2;
        let decided = last.as_ref().filter(|_| regular).map(|last| last.1);
        self.periods
            .push_back((now_ms.saturating_add(self.startup_ms), decided));
        self.refit_when_due();
        let held = last.map_or(0, |last| last.2.target);
        self.first_ms.get_or_insert(now_ms);
        let elapsed = Elapsed {
            now_ms,
            seconds: elapsed_ms as f64 / 1e3,
            requests: std::mem::take(&mut self.arrivals),
            highest: std::mem::take(&mut self.highest).max(self.lead.level()) as f64,
            keep: self.keep(elapsed_ms, now_ms),
        };
        self.feedback.fade(elapsed.keep);
        let fitted_to = self.model.as_ref().map_or(0, DemandModel::highest_met);
        let highest_met = self.all.levels().seconds.len().max(fitted_to);
        self.experts
            .tick(&elapsed, &known, self.model.as_ref(), highest_met);
        let mut learnt = self.decide(held);
        self.rest_when_dormant(now_ms, &mut learnt);
        self.last = Some((now_ms, known, learnt.clone()));
        learnt
    }

    pub(crate) fn model(&self) -> Option<&DemandModel> {
        self.model.as_ref()
    }

    /// What each price would have given lately.
    pub(crate) fn trade_off(&self) -> Vec<TradeOff> {
        self.experts.trade_off()
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

    /// Takes a model fitted elsewhere.
    pub(crate) fn adopt(&mut self, model: DemandModel) {
        self.model = Some(model);
        self.fitted_at = ADOPTED_TICKS;
    }

    pub(crate) fn release(&mut self, user: u64, at: Timestamp) {
        self.extractor.release(user, at.as_millis());
    }

    /// Lets a pool go that nobody asks for any more.
    fn rest_when_dormant(&self, now_ms: i64, learnt: &mut Learnt) {
        if self.latest_arrival_ms == i64::MIN {
            return;
        }
        let silent_ms = now_ms - self.latest_arrival_ms;
        let usual_ms = self.longest_silence_ms.max(DORMANT_LEAST_MS);
        if silent_ms > usual_ms.saturating_mul(DORMANT_SILENCES) && learnt.target > 0 {
            learnt.target = 0;
            let silent = Duration::from_millis(silent_ms as u64);
            learnt.reasons.push(Reason::Dormant { silent });
        }
    }

    fn decide(&mut self, held: u32) -> Learnt {
        let horizon = MAKE_UP * self.recent.requests();
        let aim = self.feedback.aim(horizon.max(50.0));
        let verdict = self.experts.decide(self.objective, aim, &self.recent, held);
        let learning = self.model.is_none() && verdict.mode == Mode::Static;
        let mode = if learning {
            Mode::Learning
        } else {
            verdict.mode
        };
        let mut reasons = vec![Reason::Learnt {
            mode,
            target: verdict.target,
            idle_s_per_hit: verdict.idle_s_per_hit,
            recent_demand: self.lead.level() as u32,
        }];
        if verdict.next_best.is_some() {
            reasons.push(Reason::Gate {
                mode,
                idle: verdict.idle,
                next_best: verdict.next_best,
            });
        }
        if let Objective::HitRate(wanted) = self.objective {
            reasons.push(Reason::Feedback {
                wanted,
                achieved: self.feedback.achieved(),
                aimed_at: aim,
            });
        }
        Learnt {
            target: verdict.target,
            mode,
            reasons,
        }
    }
}
