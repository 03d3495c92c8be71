//! The planner of one pool.

use std::time::Duration;

use foreshadow_types::Timestamp;

use crate::{
    knowledge::Knowledge,
    known::KnownDemand,
    learn::{DemandModel, ModelError},
    misses::MissCounts,
    plan::{PoolPlan, TradeOff},
    policy::{Arrival, Fared, Inventory, Outcome, TargetPolicy},
    settings::{PoolSettings, SettingsError},
    steward::Steward,
};

/// Decides how many instances of one pool to keep warm, and says why.
///
/// It learns from the requests it is shown and from nothing else: the same requests and ticks give
/// the same plans.
#[derive(Debug)]
pub struct PoolPlanner {
    knowledge: Knowledge,
    steward: Steward,
}

/// The times that are reckoned with: some 140,000 years to either side of 1970, so that sums and
/// small multiples of differences never overflow.
const REACH_MS: i64 = 1 << 52;

pub(crate) fn within_reach(at: Timestamp) -> Timestamp {
    Timestamp::from_millis(at.as_millis().clamp(-REACH_MS, REACH_MS))
}

impl PoolPlanner {
    /// A planner that has seen nothing yet.
    ///
    /// # Errors
    /// [`SettingsError`] names the setting at fault.
    pub fn new(settings: PoolSettings) -> Result<Self, SettingsError> {
        let steward = Steward::new(settings)?;
        let settings = steward.settings();
        Ok(Self {
            knowledge: Knowledge::new(settings.startup, settings.tick, settings.seed),
            steward,
        })
    }

    /// A planner that starts with a model fitted elsewhere to the same start-up time and tick; it is
    /// taken up once the requests it was fitted to are past.
    ///
    /// It refits on its own schedule as requests come, as any other.
    ///
    /// # Errors
    /// [`ModelError::OtherPool`] if the model was fitted to another start-up time or tick.
    pub fn with_model(mut self, model: DemandModel) -> Result<Self, ModelError> {
        self.knowledge.adopt(model)?;
        Ok(self)
    }

    /// Fits a model to what was seen so far; absent when that is too little.
    pub fn fit(&mut self) -> Option<&DemandModel> {
        self.knowledge.fit();
        self.knowledge.model()
    }

    /// Works with other settings from now on and keeps what it has learnt. False, and nothing changes,
    /// if start-up time, tick or seed differ: what is learnt depends on them.
    ///
    /// # Errors
    /// [`SettingsError`] names the setting at fault.
    pub fn retarget(&mut self, settings: PoolSettings) -> Result<bool, SettingsError> {
        if !self.settings().learns_as(&settings) {
            return Ok(false);
        }
        self.steward.retarget(settings)?;
        Ok(true)
    }

    /// Has a planner that was made anew take the place of this one. What was removed of late still counts,
    /// and starts that fail still do.
    pub fn give_way_to(&mut self, mut other: Self) {
        other.steward.go_on_from(&self.steward);
        *self = other;
    }

    /// The plan that other settings would give as of the latest tick; nothing changes by asking.
    /// Absent before the first tick, and where [`retarget`](Self::retarget) gives false.
    ///
    /// # Errors
    /// [`SettingsError`] names the setting at fault.
    pub fn plan_under(
        &self,
        settings: PoolSettings,
        now: Timestamp,
        inventory: &Inventory,
        known: &KnownDemand,
    ) -> Result<Option<PoolPlan>, SettingsError> {
        let Some(moment) = self.knowledge.moment() else {
            return Ok(None);
        };
        if !self.settings().learns_as(&settings) {
            return Ok(None);
        }
        let mut steward = self.steward.clone();
        steward.retarget(settings)?;
        let now = within_reach(now);
        Ok(Some(steward.plan(
            &self.knowledge,
            moment,
            now,
            inventory,
            known,
        )))
    }

    /// The settings it works with.
    pub fn settings(&self) -> &PoolSettings {
        self.steward.settings()
    }

    /// The latest plan, if one was made.
    pub fn latest(&self) -> Option<&PoolPlan> {
        self.steward.latest()
    }

    /// How many requests waited so far, by cause.
    pub fn misses(&self) -> &MissCounts {
        self.steward.misses()
    }

    /// Takes note of a request and what became of it. Times that go backwards count as now.
    pub fn observe(&mut self, arrival: &Arrival, fared: impl Into<Fared>) {
        let arrival = &Arrival {
            at: within_reach(arrival.at),
            ..*arrival
        };
        self.knowledge.arrive(arrival);
        let demand = self.knowledge.recent_demand();
        self.steward.count(arrival.at, fared.into(), demand);
    }

    /// Takes note of a request that shares an instance which others hold. It counts towards the hit rate
    /// of all requests, but takes nothing from the pool, and so is no demand.
    pub fn observe_merged(&mut self, arrival: &Arrival, fared: impl Into<Fared>) {
        let demand = self.knowledge.recent_demand();
        let at = within_reach(arrival.at);
        self.steward.count_merged(at, fared.into(), demand);
    }

    /// Learns from a past request that another planner, or none, kept the pool for: it shows the
    /// demand, but says nothing of the hit rate of this one.
    pub fn observe_past(&mut self, arrival: &Arrival) {
        let arrival = &Arrival {
            at: within_reach(arrival.at),
            ..*arrival
        };
        self.knowledge.arrive(arrival);
    }

    /// Takes note that work of [`Arrival::who`] has ended whose hold was
    /// [`Arrival::UNTIL_RELEASED`].
    pub fn observe_release(&mut self, user: u64, at: Timestamp) {
        self.knowledge.release(user, within_reach(at));
    }

    /// Takes note that an instance became ready.
    pub fn start_succeeded(&mut self) {
        self.steward.start_succeeded();
    }

    /// Takes note that a start failed.
    pub fn start_failed(&mut self, now: Timestamp) {
        self.steward.start_failed(now);
    }

    /// Whether starts keep failing: so many in a row that the pool is grown at long intervals only.
    pub fn starts_fail(&self) -> bool {
        self.steward.starts_fail()
    }

    /// Plans until the next tick. Asked again for the same moment and with the same inventory and
    /// known demand, it gives the same plan.
    pub fn plan(&mut self, now: Timestamp, inventory: &Inventory, known: &KnownDemand) -> PoolPlan {
        let now = within_reach(now);
        let moment = self.knowledge.tick(now);
        self.steward
            .plan(&self.knowledge, moment, now, inventory, known)
    }

    /// Hit rate against idle cost on recent requests, from the dearest price to the cheapest; empty
    /// until a forecast has been tried long enough.
    pub fn trade_off(&self) -> Vec<TradeOff> {
        self.steward.trade_off(&self.knowledge)
    }

    /// The demand model in use, once one has been fitted.
    pub fn model(&self) -> Option<&DemandModel> {
        self.knowledge.model()
    }

    /// How far ahead of a need an instance must be asked for: the start-up time and one tick.
    pub fn lead_time(&self) -> Duration {
        self.steward.lead_time()
    }
}

impl TargetPolicy for PoolPlanner {
    fn observe(&mut self, arrival: &Arrival, outcome: Outcome) {
        Self::observe(self, arrival, outcome);
    }

    fn observe_merged(&mut self, arrival: &Arrival, outcome: Outcome) {
        Self::observe_merged(self, arrival, outcome);
    }

    fn target(&mut self, now: Timestamp, inventory: &Inventory) -> u32 {
        self.plan(now, inventory, &KnownDemand::default()).target
    }

    fn start_succeeded(&mut self, _: Duration) {
        Self::start_succeeded(self);
    }

    fn start_failed(&mut self, now: Timestamp) {
        Self::start_failed(self, now);
    }
}
