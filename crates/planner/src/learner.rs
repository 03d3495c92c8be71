//! What a pool's planner has learnt from its requests.

use foreshadow_types::Timestamp;

use crate::{
    demand::{LeadTime, Levels, StaticCurve},
    plan::{Mode, Reason},
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

/// Follows demand and sizes the pool by it.
#[derive(Debug)]
pub(crate) struct Learner {
    objective: Objective,
    lead: LeadTime,
    met: Levels,
    curve: StaticCurve,
}

impl Learner {
    pub(crate) fn new(settings: &PoolSettings) -> Self {
        Self {
            objective: settings.objective,
            lead: LeadTime::new(settings.startup.as_millis() as i64),
            met: Levels::default(),
            curve: StaticCurve::default(),
        }
    }

    pub(crate) fn arrive(&mut self, arrival: &Arrival, _outcome: Outcome) {
        self.lead.arrive(arrival.at.as_millis());
    }

    pub(crate) fn tick(&mut self, now: Timestamp) -> Learnt {
        self.lead.advance(now.as_millis());
        self.lead.take(&mut self.met);
        self.curve.add(&self.met, 1.0);
        let rate = match self.objective {
            Objective::HitRate(rate) => rate,
            Objective::IdleBudget { .. } | Objective::Costs { .. } => 0.95,
        };
        let target = self.curve.for_hit_rate(rate).size.ceil() as u32;
        Learnt {
            target,
            mode: Mode::Learning,
            reasons: vec![Reason::Learnt {
                mode: Mode::Learning,
                target,
                idle_s_per_hit: None,
                recent_demand: self.lead.level() as u32,
            }],
        }
    }
}
