//! One pool kept to one objective: what is learnt, what is known, and what bounds it.

use std::time::Duration;

use foreshadow_types::Timestamp;

use crate::{
    breaker::Breaker,
    churn::Churn,
    knowledge::{Knowledge, Moment},
    known::KnownDemand,
    misses::{MissCause, MissCounts},
    plan::{Bound, Mode, PoolPlan, Reason, TradeOff},
    policy::{Fared, Inventory, Outcome},
    settings::{PoolSettings, SettingsError},
    steering::{Learnt, Steering},
};

/// Turns knowledge of a pool's demand into plans for one objective.
#[derive(Debug, Clone)]
pub(crate) struct Steward {
    settings: PoolSettings,
    steering: Steering,
    breaker: Breaker,
    churn: Churn,
    misses: MissCounts,
    latest: Option<PoolPlan>,
}

impl Steward {
    pub(crate) fn new(settings: PoolSettings) -> Result<Self, SettingsError> {
        settings.check()?;
        Ok(Self {
            steering: Steering::new(settings.objective),
            breaker: Breaker::new(settings.breaker),
            churn: Churn::default(),
            misses: MissCounts::default(),
            latest: None,
            settings,
        })
    }

    /// Works with other settings from now on. Failing starts are remembered; the record of hits begins
    /// anew with another objective.
    pub(crate) fn retarget(&mut self, settings: PoolSettings) -> Result<(), SettingsError> {
        settings.check()?;
        if settings.objective != self.settings.objective {
            self.steering = Steering::new(settings.objective);
        }
        if settings.breaker != self.settings.breaker {
            self.breaker = Breaker::new(settings.breaker);
        }
        self.settings = settings;
        Ok(())
    }

    /// Goes on with what another has removed of late, and with its failing starts.
    pub(crate) fn go_on_from(&mut self, other: &Self) {
        self.churn = other.churn.clone();
        if self.settings.breaker == other.settings.breaker {
            self.breaker = other.breaker.clone();
        }
    }

    pub(crate) fn settings(&self) -> &PoolSettings {
        &self.settings
    }

    pub(crate) fn latest(&self) -> Option<&PoolPlan> {
        self.latest.as_ref()
    }

    /// Puts a plan in force.
    #[cfg(test)]
    pub(crate) fn follow(&mut self, plan: PoolPlan) {
        self.latest = Some(plan);
    }

    pub(crate) fn misses(&self) -> &MissCounts {
        &self.misses
    }

    pub(crate) fn trade_off(&self, knowledge: &Knowledge) -> Vec<TradeOff> {
        self.steering.trade_off(knowledge)
    }

    /// A request of the learnt demand and what became of it; `demand` is how many came in the
    /// start-up time up to it, itself included.
    pub(crate) fn count(&mut self, at: Timestamp, fared: Fared, demand: usize) {
        self.steering.count(fared.outcome);
        self.explain(at, fared, demand);
    }

    /// A request that shares an instance which others hold, and so is not among `demand`.
    pub(crate) fn count_merged(&mut self, at: Timestamp, fared: Fared, demand: usize) {
        self.steering.count_merged(fared.outcome);
        self.explain(at, fared, demand);
    }

    fn explain(&mut self, at: Timestamp, fared: Fared, demand: usize) {
        if fared.outcome != Outcome::Hit {
            self.misses.add(self.cause_of(at, fared, demand));
        }
    }

    pub(crate) fn start_succeeded(&mut self) {
        self.breaker.succeeded();
    }

    pub(crate) fn starts_fail(&self) -> bool {
        self.breaker.has_opened()
    }

    pub(crate) fn start_failed(&mut self, now: Timestamp) {
        self.breaker.failed(now);
    }

    /// The plan from `moment`, which is at `now`, until the next tick.
    pub(crate) fn plan(
        &mut self,
        knowledge: &Knowledge,
        moment: Moment,
        now: Timestamp,
        inventory: &Inventory,
        known: &KnownDemand,
    ) -> PoolPlan {
        let learnt = self.steering.steer(knowledge, moment);
        let mut reasons = learnt.reasons.clone();
        let wanted = self.with_known(now, &learnt, known, &mut reasons);
        let held = held(inventory);
        let limit = self.settings.ramp.down_an_hour;
        let lowest = self.churn.lowest(now, held, limit).min(held);
        let target = self.bounded(now, wanted, lowest, held, &mut reasons);
        self.churn.plan(target);
        let plan = PoolPlan {
            at: now,
            target,
            proposed: None,
            learnt: learnt.target,
            mode: learnt.mode,
            reasons,
            beside: learnt.beside,
        };
        self.latest = Some(plan.clone());
        plan
    }

    /// How far ahead of a need an instance must be asked for: the start-up time and one tick.
    pub(crate) fn lead_time(&self) -> Duration {
        self.settings.startup.saturating_add(self.settings.tick)
    }

    fn with_known(
        &self,
        now: Timestamp,
        learnt: &Learnt,
        known: &KnownDemand,
        reasons: &mut Vec<Reason>,
    ) -> u32 {
        if let Some(fixed) = known.fixed.as_ref().filter(|fixed| fixed.holds_at(now)) {
            reasons.push(Reason::Fixed {
                count: fixed.count,
                by: fixed.by.clone(),
                reason: fixed.reason.clone(),
                until: fixed.until,
            });
            return fixed.count;
        }
        let mut wanted = learnt.target;
        let highest = known.floors.iter().max_by_key(|floor| floor.count);
        if let Some(floor) = highest.filter(|floor| floor.count > wanted) {
            reasons.push(Reason::Floor {
                count: floor.count,
                cause: floor.cause.clone(),
            });
            wanted = floor.count;
        }
        let within = self.lead_time();
        let booked = known.booked_before(now + within);
        if booked > 0 {
            reasons.push(Reason::Booked {
                count: booked,
                within,
            });
        }
        wanted = wanted.saturating_add(booked);
        for wish in known.preallocations.iter().filter(|wish| now < wish.until) {
            reasons.push(Reason::Rule {
                rule: wish.rule.clone(),
                count: wish.count,
                until: wish.until,
                cause: wish.cause.clone(),
            });
            wanted = wanted.saturating_add(wish.count);
        }
        wanted
    }

    fn bounded(
        &self,
        now: Timestamp,
        wanted: u32,
        churned: u32,
        held: u32,
        reasons: &mut Vec<Reason>,
    ) -> u32 {
        let mut target = wanted;
        let mut bound = |limit: u32, bound: Bound, cuts: bool| {
            if cuts {
                reasons.push(Reason::Bounded {
                    bound,
                    from: target,
                    to: limit,
                });
                target = limit;
            }
            target
        };
        let highest = held.saturating_add(self.settings.ramp.up);
        let after_up = bound(highest, Bound::RampUp, wanted > highest);
        let ramped = held.saturating_sub(self.settings.ramp.down);
        let (lowest, limit) = if churned > ramped {
            (churned, Bound::Churn)
        } else {
            (ramped, Bound::RampDown)
        };
        let after_down = bound(lowest, limit, after_up < lowest);
        let after_min = bound(
            self.settings.min,
            Bound::Min,
            after_down < self.settings.min,
        );
        let after_max = bound(self.settings.max, Bound::Max, after_min > self.settings.max);
        if let Some((failures, until)) = self.breaker.open_at(now)
            && after_max > held
        {
            reasons.push(Reason::StartsFail { failures, until });
            return held.min(self.settings.max);
        }
        after_max
    }

    fn cause_of(&self, at: Timestamp, fared: Fared, demand: usize) -> MissCause {
        if self.breaker.open_at(at).is_some() {
            return MissCause::FailedStart;
        }
        let cuts =
            |reason: &Reason| matches!(reason, Reason::Bounded { from, to, .. } if to < from);
        let plan = self.latest.as_ref();
        if plan.is_some_and(|plan| plan.reasons.iter().any(cuts)) {
            return MissCause::Quota;
        }
        if fared.shape_mismatch {
            return MissCause::ShapeMismatch;
        }
        let Some(plan) = plan else {
            return MissCause::NoForecast;
        };
        // Each of the requests in the last start-up time took one instance; had the target been in
        // force for so long, it would have covered as many.
        let covered = demand <= plan.target as usize;
        match (plan.mode, fared.outcome) {
            (Mode::Learning, _) => MissCause::NoForecast,
            (_, Outcome::Join) if covered => MissCause::Late,
            _ => MissCause::UnderForecast,
        }
    }
}

/// Instances that nobody has been promised.
fn held(inventory: &Inventory) -> u32 {
    inventory.ready.saturating_add(inventory.starting)
}
