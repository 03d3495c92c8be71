//! The policies that compete for a pool, and which of them to follow.
//!
//! Each is replayed on the same requests at many settings at once, so that what it would have cost
//! to meet the objective lately is known, not guessed. A forecast that stops paying loses the pool
//! to a safe policy, and gets it back when it pays again.

use crate::{
    demand::{Snapshot, StaticCurve},
    learn::DemandModel,
    margins::{MARGINS, Margins, VARIANTS},
    plan::{Mode, TradeOff},
    prices::{Fall, PRICES, Prices},
    replay::{Choice, Family},
    settings::Objective,
};

/// Requests that a record must hold before it is trusted.
const TRUSTED_REQUESTS: f64 = 15.0;
/// How much cheaper another policy must be on recent history to be changed to.
const SWITCH: f64 = 0.97;
/// How much cheaper than a forecast a safe policy must be to be preferred.
const HANDICAP: f64 = 0.06;
/// How a pool falls, one for each variant.
const FALLS: [Fall; 3] = [
    Fall::Within { band: 0.0 },
    Fall::Within { band: 0.5 },
    Fall::Afterwards,
];
/// How far feedback may move the price from the one whose record reaches the hit rate wanted: one in
/// logarithm, by settings.
const PRICE_REACH: f64 = 2.0;
/// What a hit rate short of the one aimed at costs, in idle instances, so that it is never chosen
/// for being cheap.
const UNMET: f64 = 1e9;

/// One competitor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expert {
    Constant,
    Margin(usize),
    Forecast(usize),
}

impl Expert {
    /// The forecast's variant, or the plainest.
    fn variant(self) -> usize {
        match self {
            Self::Forecast(variant) => variant,
            Self::Constant | Self::Margin(_) => 0,
        }
    }

    fn mode(self) -> Mode {
        match self {
            Self::Constant => Mode::Static,
            Self::Margin(_) => Mode::Reactive,
            Self::Forecast(_) => Mode::Forecast,
        }
    }
}

/// A competitor with the setting that meets the objective on its record.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    expert: Expert,
    setting: f64,
    idle: f64,
    /// What is compared: less is better.
    loss: f64,
}

/// What happened since the last tick, and how much of the record before is kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Elapsed {
    pub(crate) now_ms: i64,
    pub(crate) seconds: f64,
    pub(crate) requests: f64,
    pub(crate) highest: f64,
    pub(crate) keep: f64,
}

/// The target chosen and what it rests on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Verdict {
    /// The policy to follow.
    pub(crate) expert: Expert,
    pub(crate) mode: Mode,
    pub(crate) target: u32,
    pub(crate) idle_s_per_hit: Option<f64>,
    /// Average idle instances of the policy followed on recent history.
    pub(crate) idle: f64,
    /// The best policy of another kind and its idle instances.
    pub(crate) next_best: Option<(Mode, f64)>,
    /// By which share the forecast is cheaper than the best safe policy; negative where it is dearer.
    pub(crate) confidence: Option<f64>,
    /// Idle instances of the constant pool that meets the objective, once its record can be trusted.
    pub(crate) constant_idle: Option<f64>,
}

/// The competitors of one pool.
#[derive(Debug)]
pub(crate) struct Experts {
    tick_s: f64,
    prices: Prices,
    margins: Margins,
    forecasts: Vec<Family>,
    reactive: Vec<Family>,
}

impl Experts {
    pub(crate) fn new(startup_ms: i64, tick_ms: i64) -> Self {
        Self {
            tick_s: tick_ms as f64 / 1e3,
            prices: Prices::new(startup_ms, tick_ms),
            margins: Margins::new(),
            forecasts: vec![Family::new(PRICES, startup_ms); FALLS.len()],
            reactive: vec![Family::new(MARGINS, startup_ms); VARIANTS],
        }
    }

    /// A request.
    pub(crate) fn claim(&mut self, at_ms: i64) {
        for family in self.forecasts.iter_mut().chain(&mut self.reactive) {
            family.claim(at_ms);
        }
    }

    /// Lets every competitor set its pools for the coming tick.
    pub(crate) fn tick(
        &mut self,
        elapsed: &Elapsed,
        known: &Snapshot,
        model: Option<&DemandModel>,
        highest_met: usize,
    ) {
        let Self {
            prices,
            margins,
            forecasts,
            reactive,
            ..
        } = self;
        margins.add(elapsed.highest);
        for (variant, family) in reactive.iter_mut().enumerate() {
            family.tick(elapsed, |setting, _| {
                margins.target(variant, setting as f64)
            });
        }
        let Some(model) = model else {
            return;
        };
        prices.appraise(model, known, highest_met);
        for (family, fall) in forecasts.iter_mut().zip(FALLS) {
            family.tick(elapsed, |setting, held| {
                prices.target(setting as f64, fall, held)
            });
        }
    }

    /// Chooses the policy and the target; `followed` is the policy until now, `aim` the hit rate
    /// aimed at, where one is wanted, and `held` the target until now.
    pub(crate) fn decide(
        &self,
        followed: Expert,
        objective: Objective,
        aim: f64,
        constant: &StaticCurve,
        held: u32,
    ) -> Verdict {
        let candidates = self.candidates(objective, aim, constant);
        let best = candidates.iter().min_by(|a, b| rank(a).total_cmp(&rank(b)));
        let current = candidates
            .iter()
            .find(|candidate| candidate.expert == followed);
        let followed = match (best, current) {
            (Some(best), Some(current)) if rank(best) < worth_a_switch(rank(current)) => best,
            (_, Some(current)) => current,
            (Some(best), None) => best,
            (None, None) => unreachable!("a constant pool is always a candidate"),
        };
        let next_best = candidates
            .iter()
            .filter(|candidate| candidate.expert.mode() != followed.expert.mode())
            .min_by(|a, b| a.loss.total_cmp(&b.loss))
            .map(|candidate| (candidate.expert.mode(), candidate.idle));
        let constant_idle = candidates
            .iter()
            .find(|candidate| candidate.expert == Expert::Constant)
            .filter(|_| constant.requests() >= TRUSTED_REQUESTS)
            .map(|candidate| candidate.idle);
        let idle_s_per_hit = matches!(followed.expert, Expert::Forecast(_))
            .then(|| self.tick_s / Prices::hits_per_tick(followed.setting));
        Verdict {
            expert: followed.expert,
            mode: followed.expert.mode(),
            target: self.target(followed, held),
            idle_s_per_hit,
            idle: followed.idle,
            next_best,
            confidence: confidence(&candidates),
            constant_idle,
        }
    }

    /// The hit rate nearest to `aim` that a price not far from that of the hit rate `wanted` gives on
    /// the record: hits missed are made up while that is cheap.
    pub(crate) fn within_reach(&self, followed: Expert, wanted: f64, aim: f64) -> f64 {
        let family = &self.forecasts[followed.variant()];
        if family.ever() < TRUSTED_REQUESTS {
            return aim;
        }
        let usual = family.for_hit_rate(wanted).setting;
        let dearest = (usual + PRICE_REACH).min(PRICES as f64 - 1.0);
        let least = family.at(usual - PRICE_REACH).hit_rate.min(wanted);
        let most = family.at(dearest).hit_rate.max(wanted);
        aim.clamp(least, most)
    }

    /// What each price would have given lately, for the forecast followed or the plainest.
    pub(crate) fn trade_off(&self, followed: Expert) -> Vec<TradeOff> {
        let family = &self.forecasts[followed.variant()];
        if family.ever() < TRUSTED_REQUESTS {
            return Vec::new();
        }
        let row = |choice: Choice| TradeOff {
            idle_s_per_hit: self.tick_s / Prices::hits_per_tick(choice.setting),
            hit_rate: choice.hit_rate,
            idle: choice.idle,
        };
        family.record().map(row).collect()
    }

    fn candidates(&self, objective: Objective, aim: f64, constant: &StaticCurve) -> Vec<Candidate> {
        let pool = match objective {
            Objective::HitRate(_) => constant.for_hit_rate(aim),
            Objective::IdleBudget { idle_instances } => constant.for_idle(idle_instances),
            Objective::Costs {
                idle_seconds_per_hit,
            } => constant.for_price(idle_seconds_per_hit),
        };
        let always = Choice {
            setting: pool.size,
            idle: pool.idle_s / constant.seconds().max(1e-9),
            hit_rate: pool.hits / constant.requests().max(1e-9),
        };
        let per_s = constant.requests() / constant.seconds().max(1e-9);
        let mut candidates = vec![candidate(Expert::Constant, always, objective, aim, per_s)];
        let forecasts = self.forecasts.iter().enumerate();
        let reactive = self.reactive.iter().enumerate();
        let others = forecasts
            .map(|(variant, family)| (Expert::Forecast(variant), family))
            .chain(reactive.map(|(variant, family)| (Expert::Margin(variant), family)));
        for (expert, family) in others.filter(|(_, family)| family.ever() >= TRUSTED_REQUESTS) {
            let choice = match (objective, expert) {
                (Objective::HitRate(_), _) => family.for_hit_rate(aim),
                (Objective::IdleBudget { idle_instances }, _) => family.for_idle(idle_instances),
                (
                    Objective::Costs {
                        idle_seconds_per_hit,
                    },
                    Expert::Forecast(_),
                ) => family.at(Prices::setting(self.tick_s / idle_seconds_per_hit)),
                (
                    Objective::Costs {
                        idle_seconds_per_hit,
                    },
                    _,
                ) => family.for_price(idle_seconds_per_hit),
            };
            let hits_per_s = family.requests() / family.seconds().max(1e-9);
            candidates.push(candidate(expert, choice, objective, aim, hits_per_s));
        }
        candidates
    }

    fn target(&self, followed: &Candidate, held: u32) -> u32 {
        match followed.expert {
            Expert::Constant => {
                let near = (followed.setting - f64::from(held)).abs() < 0.75;
                if near {
                    held
                } else {
                    followed.setting.round() as u32
                }
            }
            Expert::Margin(variant) => self.margins.target(variant, followed.setting),
            Expert::Forecast(variant) => self.prices.target(followed.setting, FALLS[variant], held),
        }
    }
}

fn candidate(
    expert: Expert,
    choice: Choice,
    objective: Objective,
    aim: f64,
    requests_per_s: f64,
) -> Candidate {
    let loss = match objective {
        Objective::HitRate(_) => choice.idle + UNMET * (aim - choice.hit_rate - 0.003).max(0.0),
        Objective::IdleBudget { .. } => -choice.hit_rate,
        Objective::Costs {
            idle_seconds_per_hit,
        } => choice.idle - idle_seconds_per_hit * choice.hit_rate * requests_per_s,
    };
    Candidate {
        expert,
        setting: choice.setting,
        idle: choice.idle,
        loss,
    }
}

/// How much less the best forecast loses than the best safe policy, as a share of the larger loss.
fn confidence(candidates: &[Candidate]) -> Option<f64> {
    let least = |forecast: bool| {
        candidates
            .iter()
            .filter(|one| matches!(one.expert, Expert::Forecast(_)) == forecast)
            .map(|one| one.loss)
            .min_by(f64::total_cmp)
    };
    let (forecast, safe) = (least(true)?, least(false)?);
    let larger = forecast.abs().max(safe.abs());
    (larger > 0.0).then(|| ((safe - forecast) / larger).clamp(-1.0, 1.0))
}

/// The loss by which a candidate is ranked: a safe policy must be clearly cheaper than a forecast,
/// whose record still holds what its earlier, poorer models cost.
fn rank(candidate: &Candidate) -> f64 {
    match candidate.expert {
        Expert::Forecast(_) => candidate.loss,
        Expert::Constant | Expert::Margin(_) => candidate.loss + HANDICAP * candidate.loss.abs(),
    }
}

/// The loss below which another policy is worth a switch.
fn worth_a_switch(loss: f64) -> f64 {
    loss - (1.0 - SWITCH) * loss.abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn confidence_is_the_share_by_which_the_forecast_is_cheaper() {
        let candidate = |expert, loss| Candidate {
            expert,
            setting: 0.0,
            idle: 0.0,
            loss,
        };
        let of = |forecast, constant, margin| {
            confidence(&[
                candidate(Expert::Constant, constant),
                candidate(Expert::Forecast(1), forecast),
                candidate(Expert::Margin(0), margin),
            ])
        };
        assert_eq!(of(3.0, 5.0, 4.0), Some(0.25));
        assert_eq!(of(4.0, 3.0, 9.0), Some(-0.25));
        assert_eq!(of(-0.9, -0.9, -0.5), Some(0.0), "hits are a negative loss");
        assert!(of(3.0, UNMET, UNMET) > Some(0.99), "only one meets the aim");
        assert_eq!(of(0.0, 0.0, 0.0), None);
        assert_eq!(confidence(&[candidate(Expert::Constant, 1.0)]), None);
    }

    #[test]
    fn feedback_moves_the_price_only_so_far() {
        let mut experts = Experts::new(60_000, 60_000);
        // 25 requests at once in every second minute; the member `s` holds `s` instances.
        for minute in 0..200 {
            let elapsed = Elapsed {
                now_ms: minute * 60_000,
                seconds: 60.0,
                requests: if minute % 2 == 0 { 25.0 } else { 0.0 },
                highest: 25.0,
                keep: 1.0,
            };
            experts.forecasts[0].tick(&elapsed, |setting, _| setting as u32);
            for _ in 0..if minute % 2 == 1 { 25 } else { 0 } {
                experts.forecasts[0].claim(minute * 60_000 + 1);
            }
        }
        let aim = |aim| experts.within_reach(Expert::Constant, 0.4, aim);
        assert!((aim(0.42) - 0.42).abs() < 1e-9, "near");
        let (least, most) = (aim(0.0), aim(0.9));
        assert!((least - 0.32).abs() < 0.02, "two settings below: {least}");
        assert!((most - 0.48).abs() < 0.02, "two settings above: {most}");
    }
}
