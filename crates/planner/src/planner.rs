//! The planner of one pool.

use std::time::Duration;

use foreshadow_types::Timestamp;

use crate::{
    breaker::Breaker,
    known::KnownDemand,
    learn::{DemandModel, ModelError},
    learner::{Learner, Learnt},
    misses::{MissCause, MissCounts},
    plan::{Bound, Mode, PoolPlan, Reason, TradeOff},
    policy::{Arrival, Inventory, Outcome, TargetPolicy},
    settings::{PoolSettings, SettingsError},
};

/// Decides how many instances of one pool to keep warm, and says why.
///
/// It learns from the requests it is shown and from nothing else: the same requests and ticks give
/// the same plans.
#[derive(Debug)]
pub struct PoolPlanner {
    settings: PoolSettings,
    learner: Learner,
    breaker: Breaker,
    misses: MissCounts,
    latest: Option<PoolPlan>,
}

/// The times that are reckoned with: some 140,000 years to either side of 1970, so that sums and
/// small multiples of differences never overflow.
const REACH_MS: i64 = 1 << 52;

fn within_reach(at: Timestamp) -> Timestamp {
    Timestamp::from_millis(at.as_millis().clamp(-REACH_MS, REACH_MS))
}

impl PoolPlanner {
    /// A planner that has seen nothing yet.
    ///
    /// # Errors
    /// [`SettingsError`] names the setting at fault.
    pub fn new(settings: PoolSettings) -> Result<Self, SettingsError> {
        settings.check()?;
        Ok(Self {
            learner: Learner::new(&settings),
            breaker: Breaker::new(settings.breaker),
            misses: MissCounts::default(),
            latest: None,
            settings,
        })
    }

    /// A planner that starts with a model fitted elsewhere to the same start-up time and tick.
    ///
    /// It refits on its own schedule as requests come, as any other.
    ///
    /// # Errors
    /// [`ModelError::OtherPool`] if the model was fitted to another start-up time or tick.
    pub fn with_model(mut self, model: DemandModel) -> Result<Self, ModelError> {
        let same = model.startup_ms() == self.settings.startup.as_millis() as u64
            && model.tick_ms() == self.settings.tick.as_millis() as u64;
        if !same {
            return Err(ModelError::OtherPool {
                startup_ms: model.startup_ms(),
                tick_ms: model.tick_ms(),
            });
        }
        self.learner.adopt(model);
        Ok(self)
    }

    /// Fits a model to what was seen so far; absent when that is too little.
    pub fn fit(&mut self) -> Option<&DemandModel> {
        self.learner.fit();
        self.learner.model()
    }

    /// The settings it works with.
    pub fn settings(&self) -> &PoolSettings {
        &self.settings
    }

    /// The latest plan, if one was made.
    pub fn latest(&self) -> Option<&PoolPlan> {
        self.latest.as_ref()
    }

    /// How many requests waited so far, by cause.
    pub fn misses(&self) -> &MissCounts {
        &self.misses
    }

    /// Takes note of a request and what became of it. Times that go backwards count as now.
    pub fn observe(&mut self, arrival: &Arrival, outcome: Outcome) {
        let arrival = &Arrival {
            at: within_reach(arrival.at),
            ..*arrival
        };
        self.learner.arrive(arrival, Some(outcome));
        if outcome != Outcome::Hit {
            self.misses.add(self.cause_of(arrival.at, outcome));
        }
    }

    /// Learns from a past request that another planner, or none, kept the pool for: it shows the
    /// demand, but says nothing of the hit rate of this one.
    pub fn observe_past(&mut self, arrival: &Arrival) {
        let arrival = &Arrival {
            at: within_reach(arrival.at),
            ..*arrival
        };
        self.learner.arrive(arrival, None);
    }

    /// Takes note that work of a user has ended, where its [`Arrival`] did not say for how long it
    /// would run.
    pub fn observe_release(&mut self, user: u64, at: Timestamp) {
        self.learner.release(user, within_reach(at));
    }

    /// Takes note of a request that was booked: it is served, but is no part of the learnt demand.
    pub fn observe_booked(&mut self, arrival: &Arrival, outcome: Outcome) {
        if outcome != Outcome::Hit {
            self.misses.add(self.cause_of(arrival.at, outcome));
        }
    }

    /// Takes note that none of the ready instances fitted a request.
    pub fn observe_mismatch(&mut self) {
        self.misses.add(MissCause::ShapeMismatch);
    }

    /// Takes note that an instance became ready.
    pub fn start_succeeded(&mut self) {
        self.breaker.succeeded();
    }

    /// Takes note that a start failed.
    pub fn start_failed(&mut self, now: Timestamp) {
        self.breaker.failed(now);
    }

    /// Plans until the next tick. Asked again for the same moment and with the same inventory and
    /// known demand, it gives the same plan.
    pub fn plan(&mut self, now: Timestamp, inventory: &Inventory, known: &KnownDemand) -> PoolPlan {
        let now = within_reach(now);
        let learnt = self.learner.tick(now);
        let mut reasons = learnt.reasons.clone();
        let wanted = self.with_known(now, &learnt, known, &mut reasons);
        let target = self.bounded(now, wanted, inventory, &mut reasons);
        let plan = PoolPlan {
            at: now,
            target,
            learnt: learnt.target,
            mode: learnt.mode,
            reasons,
        };
        self.latest = Some(plan.clone());
        plan
    }

    /// Hit rate against idle cost on recent requests, from the dearest price to the cheapest; empty
    /// until a forecast has been tried long enough.
    pub fn trade_off(&self) -> Vec<TradeOff> {
        self.learner.trade_off()
    }

    /// The demand model in use, once one has been fitted.
    pub fn model(&self) -> Option<&DemandModel> {
        self.learner.model()
    }

    /// How far ahead of a need an instance must be asked for: the start-up time and one tick.
    pub fn lead_time(&self) -> Duration {
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
        let within = self.lead_time();
        let booked = known.booked_before(now + within);
        if booked > 0 {
            reasons.push(Reason::Booked {
                count: booked,
                within,
            });
        }
        let mut wanted = learnt.target.saturating_add(booked);
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
        inventory: &Inventory,
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
        let held = inventory.ready.saturating_add(inventory.starting);
        let highest = held.saturating_add(self.settings.ramp.up);
        let after_up = bound(highest, Bound::RampUp, wanted > highest);
        let lowest = held.saturating_sub(self.settings.ramp.down);
        let after_down = bound(lowest, Bound::RampDown, after_up < lowest);
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

    fn cause_of(&self, at: Timestamp, outcome: Outcome) -> MissCause {
        let Some(plan) = &self.latest else {
            return MissCause::NoForecast;
        };
        if self.breaker.open_at(at).is_some() {
            return MissCause::FailedStart;
        }
        let cut = plan
            .reasons
            .iter()
            .any(|reason| matches!(reason, Reason::Bounded { from, to, .. } if to < from));
        if cut {
            return MissCause::Quota;
        }
        match (plan.mode, outcome) {
            (Mode::Learning, _) => MissCause::NoForecast,
            (_, Outcome::Join) => MissCause::Late,
            _ => MissCause::UnderForecast,
        }
    }
}

impl TargetPolicy for PoolPlanner {
    fn observe(&mut self, arrival: &Arrival, outcome: Outcome) {
        Self::observe(self, arrival, outcome);
    }

    fn target(&mut self, now: Timestamp, inventory: &Inventory) -> u32 {
        self.plan(now, inventory, &KnownDemand::default()).target
    }
}
