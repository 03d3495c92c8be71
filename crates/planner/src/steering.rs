//! How one objective steers a pool by what is known of it.

use std::time::Duration;

use crate::{
    experts::Expert,
    feedback::Feedback,
    knowledge::{Knowledge, Moment},
    plan::{Beside, Mode, Reason, TradeOff},
    policy::Outcome,
    settings::Objective,
};

/// The learnt part of a plan.
#[derive(Debug, Clone)]
pub(crate) struct Learnt {
    pub(crate) target: u32,
    pub(crate) mode: Mode,
    pub(crate) reasons: Vec<Reason>,
    pub(crate) beside: Option<Beside>,
}

/// A pool rests after a silence so many times as long as any before, and at least this long.
const DORMANT_SILENCES: i64 = 6;
const DORMANT_LEAST_MS: i64 = 3_600_000;
/// The share of the record's requests within which a shortfall is made up.
const MAKE_UP: f64 = 0.25;

/// Follows one objective.
#[derive(Debug, Clone)]
pub(crate) struct Steering {
    objective: Objective,
    feedback: Feedback,
    /// The policy followed.
    followed: Expert,
    last: Option<(i64, Learnt)>,
}

impl Steering {
    pub(crate) fn new(objective: Objective) -> Self {
        let wanted = match objective {
            Objective::HitRate(rate) => rate,
            Objective::IdleBudget { .. } | Objective::Costs { .. } => 0.95,
        };
        Self {
            objective,
            feedback: Feedback::new(wanted),
            followed: Expert::Constant,
            last: None,
        }
    }

    /// A request and what became of it.
    pub(crate) fn count(&mut self, outcome: Outcome) {
        self.feedback.count(outcome == Outcome::Hit);
    }

    /// A request that shares an instance which others hold.
    pub(crate) fn count_merged(&mut self, outcome: Outcome) {
        self.feedback.count_merged(outcome == Outcome::Hit);
    }

    /// The target from `moment` on; asked again for the same moment, it gives the same.
    pub(crate) fn steer(&mut self, knowledge: &Knowledge, moment: Moment) -> Learnt {
        if let Some((last_ms, learnt)) = &self.last
            && moment.now_ms <= *last_ms
        {
            return learnt.clone();
        }
        self.feedback.fade(moment.keep);
        let held = self.last.take().map_or(0, |last| last.1.target);
        let mut learnt = self.decide(knowledge, held);
        rest_when_dormant(knowledge, moment.now_ms, &mut learnt);
        self.last = Some((moment.now_ms, learnt.clone()));
        learnt
    }

    /// What each price would have given lately.
    pub(crate) fn trade_off(&self, knowledge: &Knowledge) -> Vec<TradeOff> {
        knowledge.experts().trade_off(self.followed)
    }

    fn decide(&mut self, knowledge: &Knowledge, held: u32) -> Learnt {
        let horizon = MAKE_UP * knowledge.recent().requests();
        let aim = self.feedback.aim(horizon.max(50.0));
        let aim = match self.objective {
            Objective::HitRate(_) => {
                let experts = knowledge.experts();
                experts.within_reach(self.followed, self.feedback.needed(), aim)
            }
            Objective::IdleBudget { .. } | Objective::Costs { .. } => aim,
        };
        let verdict = knowledge.experts().decide(
            self.followed,
            self.objective,
            aim,
            knowledge.recent(),
            held,
        );
        self.followed = verdict.expert;
        let learning = knowledge.model().is_none() && verdict.mode == Mode::Static;
        let mode = if learning {
            Mode::Learning
        } else {
            verdict.mode
        };
        let mut reasons = vec![Reason::Learnt {
            mode,
            target: verdict.target,
            idle_s_per_hit: verdict.idle_s_per_hit,
            recent_demand: knowledge.recent_demand() as u32,
        }];
        if verdict.next_best.is_some() {
            reasons.push(Reason::Gate {
                mode,
                idle: verdict.idle,
                next_best: verdict.next_best,
                confidence: verdict.confidence,
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
            beside: verdict.constant_idle.map(|constant_idle| Beside {
                idle: verdict.idle,
                constant_idle,
            }),
        }
    }
}

/// Lets a pool go that nobody asks for any more.
fn rest_when_dormant(knowledge: &Knowledge, now_ms: i64, learnt: &mut Learnt) {
    let Some((silent_ms, longest_ms)) = knowledge.silence_ms(now_ms) else {
        return;
    };
    let usual_ms = longest_ms.max(DORMANT_LEAST_MS);
    if silent_ms > usual_ms.saturating_mul(DORMANT_SILENCES) && learnt.target > 0 {
        learnt.target = 0;
        let silent = Duration::from_millis(silent_ms as u64);
        learnt.reasons.push(Reason::Dormant { silent });
    }
}
