//! What a pool's planner has learnt from its requests.

use std::collections::VecDeque;

use foreshadow_types::Timestamp;

use crate::{
    demand::{Extractor, LeadTime, Levels, Snapshot, StaticCurve},
    feedback::Feedback,
    learn::{DemandModel, Grid, ModelOf, Sample, Samples},
    plan::{Mode, Reason, TradeOff},
    policy::{Arrival, Outcome},
    prices::{PRICES, Prices},
    replay::{Choice, Family},
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
/// By how much the ticks seen must grow before the next fit.
const REFIT_GROWTH: f64 = 1.3;
/// Requests that a policy's record must hold before it is trusted.
const TRUSTED_REQUESTS: f64 = 100.0;
/// How much cheaper another policy must be on recent history to be changed to.
const SWITCH: f64 = 0.97;
/// How much less a warm instance may bring than a new one must, in logarithm: one for each variant.
const BANDS: [f32; 3] = [0.0, 0.5, 1.5];
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
    prices: Prices,
    families: Vec<Family>,
    feedback: Feedback,
    arrivals: f64,
    first_ms: Option<i64>,
    last: Option<(i64, Snapshot, Learnt)>,
    /// The variant followed, when it is a forecast's.
    variant: Option<usize>,
    latest_arrival_ms: i64,
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
            families: vec![Family::new(PRICES, startup_ms); BANDS.len()],
            prices: Prices::new(),
            feedback: Feedback::new(wanted),
            arrivals: 0.0,
            first_ms: None,
            last: None,
            variant: None,
            latest_arrival_ms: i64::MIN,
        }
    }

    pub(crate) fn arrive(&mut self, arrival: &Arrival, outcome: Outcome) {
        let last_tick_ms = self.last.as_ref().map_or(i64::MIN, |last| last.0);
        let at_ms = arrival
            .at
            .as_millis()
            .max(self.latest_arrival_ms)
            .max(last_tick_ms);
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
        for family in &mut self.families {
            family.claim(at_ms);
        }
        self.arrivals += 1.0;
        self.feedback.count(outcome == Outcome::Hit);
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
        self.shadow_tick(now_ms, elapsed_ms, &known);
        let learnt = self.decide(held);
        self.last = Some((now_ms, known, learnt.clone()));
        learnt
    }

    pub(crate) fn model(&self) -> Option<&DemandModel> {
        self.model.as_ref()
    }

    /// What each price would have given lately, for the variant followed.
    pub(crate) fn trade_off(&self) -> Vec<TradeOff> {
        let family = &self.families[self.variant.unwrap_or(0)];
        if family.requests() < TRUSTED_REQUESTS {
            return Vec::new();
        }
        family
            .record()
            .map(|choice| TradeOff {
                idle_s_per_hit: self.tick_ms as f64 / 1e3 / Prices::hits_per_tick(choice.setting),
                hit_rate: choice.hit_rate,
                idle: choice.idle,
            })
            .collect()
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
        let due = if self.model.is_some() {
            ticks as f64 >= self.fitted_at as f64 * REFIT_GROWTH
        } else {
            ticks >= FIRST_FIT_TICKS && self.samples.requests() >= FIRST_FIT_REQUESTS
        };
        if due {
            let of = ModelOf {
                startup_ms: self.startup_ms as u64,
                tick_ms: self.tick_ms as u64,
                through: Timestamp::from_millis(self.latest_arrival_ms),
            };
            let model = DemandModel::fit(&self.samples, self.all.levels(), of, self.seed);
            self.model = Some(model);
            self.fitted_at = ticks;
        }
    }

    fn shadow_tick(&mut self, now_ms: i64, elapsed_ms: i64, known: &Snapshot) {
        self.first_ms.get_or_insert(now_ms);
        let keep = self.keep(elapsed_ms, now_ms);
        self.feedback.fade(keep);
        let arrivals = std::mem::take(&mut self.arrivals);
        let Some(model) = &self.model else {
            for family in &mut self.families {
                family.tick(now_ms, 0.0, 0.0, 0.0, |_, _| 0);
            }
            return;
        };
        self.prices
            .appraise(model, known, self.all.levels().seconds.len());
        let prices = &self.prices;
        for (family, band) in self.families.iter_mut().zip(BANDS) {
            family.tick(
                now_ms,
                arrivals,
                elapsed_ms as f64 / 1e3,
                keep,
                |setting, held| prices.target(setting as f64, band, held),
            );
        }
    }

    fn decide(&mut self, held: u32) -> Learnt {
        let horizon = MAKE_UP * self.recent.requests();
        let aim = self.feedback.aim(horizon.max(50.0));
        let constant = self.recent.for_hit_rate(aim);
        let choices: Vec<Choice> = self
            .families
            .iter()
            .map(|family| match self.objective {
                Objective::HitRate(_) => family.for_hit_rate(aim),
                Objective::IdleBudget { idle_instances } => family.for_idle(idle_instances),
                Objective::Costs {
                    idle_seconds_per_hit,
                } => family.at(Prices::setting(
                    self.tick_ms as f64 / 1e3 / idle_seconds_per_hit,
                )),
            })
            .collect();
        let best = self.gate(&choices, constant.idle);
        self.variant = best;
        let (mode, target, price) = match best {
            Some(variant) => {
                let setting = choices[variant].setting;
                let target = self.prices.target(setting, BANDS[variant], held);
                let price = self.tick_ms as f64 / 1e3 / Prices::hits_per_tick(setting);
                (Mode::Forecast, target, Some(price))
            }
            None => {
                let near = (constant.size - f64::from(held)).abs() < 0.75;
                let target = if near {
                    held
                } else {
                    constant.size.round() as u32
                };
                let learning = self.model.is_none();
                (
                    if learning {
                        Mode::Learning
                    } else {
                        Mode::Static
                    },
                    target,
                    None,
                )
            }
        };
        let mut reasons = vec![Reason::Learnt {
            mode,
            target,
            idle_s_per_hit: price,
            recent_demand: self.lead.level() as u32,
        }];
        if self.model.is_some() {
            let cheapest = choices
                .iter()
                .map(|choice| choice.idle)
                .fold(f64::MAX, f64::min);
            let (idle, next_best) = match best {
                Some(variant) => (choices[variant].idle, (Mode::Static, constant.idle)),
                None => (constant.idle, (Mode::Forecast, cheapest)),
            };
            reasons.push(Reason::Gate {
                mode,
                idle,
                next_best: Some(next_best),
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
            target,
            mode,
            reasons,
        }
    }

    /// The variant of the forecast to follow; none if a constant pool was cheaper lately.
    fn gate(&self, choices: &[Choice], constant_idle: f64) -> Option<usize> {
        if self.families[0].requests() < TRUSTED_REQUESTS {
            return None;
        }
        let idle_of = |variant: Option<usize>| variant.map_or(constant_idle, |v| choices[v].idle);
        let best = (0..choices.len())
            .map(Some)
            .chain([None])
            .min_by(|&a, &b| idle_of(a).total_cmp(&idle_of(b)))
            .flatten();
        if idle_of(best) < SWITCH * idle_of(self.variant) {
            best
        } else {
            self.variant
        }
    }
}
