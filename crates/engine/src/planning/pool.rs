//! One pool's planner, what it has seen, and its making anew when its settings change.

mod told;

use std::{collections::BTreeMap, time::Duration};

use foreshadow_history::RequestRecord;
use foreshadow_planner::{
    Arrival, DemandModel, Fared, Inventory, KnownDemand, MissCause, MissCounts, Mode, Objective,
    Outcome, Past, PoolPlan, PoolPlanner, PoolSettings, Remembered, SettingsError, stable_hash,
};
use foreshadow_types::{ApplicationId, PoolName, Timestamp, UserId};

use super::preview::{Previewed, proposal};
use crate::{
    config::{Execution, PoolConfig, ShadowConfig},
    demand::{Fate, RequestSeen},
    views::{OutcomeCounts, PreviewView},
};

/// A pool as planning keeps it.
#[derive(Debug)]
pub(crate) struct PlannedPool {
    pub(crate) config: PoolConfig,
    planner: PoolPlanner,
    remembered: Remembered,
    /// When the planner was last made anew.
    made: Option<Timestamp>,
    pub(crate) outcomes: OutcomeCounts,
    /// Requests that waited since the start, whatever planners came and went.
    waits: MissCounts,
    seed: u64,
    /// A demand model that was fitted before, for planners that begin anew.
    demand_model: Option<DemandModel>,
    previewed: Option<Previewed>,
    /// What was written down last: target, proposal and policy.
    pub(super) logged: Option<(u32, Option<u32>, Mode)>,
    /// Idle instance-time since the start.
    pub(super) idle: Duration,
}

/// The settings of a pool's planner.
pub(crate) fn settings(
    pool: &PoolConfig,
    shadow: &ShadowConfig,
    startup: Duration,
    seed: u64,
) -> PoolSettings {
    let objective = shadow.objectives.get(pool.name());
    let aim = objective.and_then(|objective| objective.aim);
    let aim = aim.unwrap_or(pool.aim);
    let max = objective.and_then(|objective| objective.max);
    let max = max.unwrap_or(pool.spec.max.0).min(pool.spec.max.0);
    let min = objective.and_then(|objective| objective.min);
    let min = min.unwrap_or(pool.spec.min.0).min(max);
    PoolSettings {
        objective: aim.objective(startup),
        min,
        max,
        startup,
        tick: shadow.tick,
        ramp: pool.ramp,
        breaker: pool.breaker,
        seed,
    }
}

/// Whether a pool's plans are carried out.
fn execution(pool: &PoolConfig, shadow: &ShadowConfig) -> Execution {
    let objective = shadow.objectives.get(pool.name());
    let execution = objective.and_then(|objective| objective.execution);
    execution.unwrap_or(pool.execution)
}

impl PlannedPool {
    pub(crate) fn new(
        config: PoolConfig,
        shadow: &ShadowConfig,
        seed: u64,
    ) -> Result<Self, SettingsError> {
        let seed = seed ^ stable_hash(config.name().as_str());
        let settings = settings(&config, shadow, config.spec.startup, seed);
        let mut pool = Self {
            planner: PoolPlanner::new(settings)?,
            config,
            remembered: Remembered::default(),
            made: None,
            outcomes: OutcomeCounts::default(),
            waits: MissCounts::default(),
            seed,
            demand_model: None,
            previewed: None,
            logged: None,
            idle: Duration::ZERO,
        };
        pool.execute_as(shadow);
        Ok(pool)
    }

    /// Begins or ends the preview as configured.
    pub(super) fn execute_as(&mut self, shadow: &ShadowConfig) {
        let Execution::Preview { keep } = execution(&self.config, shadow) else {
            self.previewed = None;
            return;
        };
        let startup = self.planner.settings().startup;
        let outcomes = self.outcomes;
        self.previewed
            .get_or_insert_with(|| Previewed::new(startup, outcomes))
            .keep = keep;
    }

    /// How the preview goes, if there is one.
    pub(super) fn preview(&self) -> Option<PreviewView> {
        let previewed = self.previewed.as_ref()?;
        Some(previewed.view(&self.outcomes))
    }

    /// Requests that waited, by cause.
    pub(super) fn waits(&self) -> BTreeMap<String, u64> {
        MissCause::ALL
            .iter()
            .map(|cause| (cause.key().to_owned(), self.waits.of(*cause)))
            .filter(|(_, count)| *count > 0)
            .collect()
    }

    /// How far ahead of a need an instance must be asked for.
    pub(super) fn lead_time(&self) -> Duration {
        self.planner.lead_time()
    }

    pub(crate) fn name(&self) -> &PoolName {
        self.config.name()
    }

    pub(crate) fn settings(&self) -> &PoolSettings {
        self.planner.settings()
    }

    /// The hit rate that is aimed at, if one is.
    pub(crate) fn hit_rate(&self) -> Option<f64> {
        match self.settings().objective {
            Objective::HitRate(rate) => Some(rate),
            Objective::IdleBudget { .. } | Objective::Costs { .. } => None,
        }
    }

    /// Takes note of a request. A refused one is demand like any other.
    pub(crate) fn request(&mut self, seen: &RequestSeen) {
        let request = &seen.request;
        let hash = |name: Option<&str>| name.map_or(0, stable_hash);
        let arrival = Arrival {
            at: seen.at,
            user: hash(request.user().map(UserId::as_str)),
            application: hash(request.application().map(ApplicationId::as_str)),
            hold: (seen.fate != Fate::Rejected).then_some(Arrival::UNTIL_RELEASED),
        };
        self.outcomes.add(seen.fate);
        let fared = |outcome| Fared {
            outcome,
            shape_mismatch: seen.shape_mismatch,
        };
        match seen.fate {
            Fate::Booked => {}
            Fate::Rejected => self.observe(arrival, fared(Outcome::Miss)),
            Fate::Served(outcome) => self.observe(arrival, fared(outcome)),
            Fate::Merged(outcome) => self.observe_merged(arrival, fared(outcome)),
        }
    }

    /// Takes note that what a request held has been given back.
    pub(crate) fn ended(&mut self, row: &RequestRecord, at: Timestamp) {
        let arrival = arrival_of(row);
        let past = self.remembered.end(arrival.at, arrival.user, at);
        if !matches!(past, Some(Past::Merged(_))) {
            self.planner.observe_release(arrival.who(), at);
        }
    }

    /// In a preview, the planner learns what would have become of the request.
    fn observe(&mut self, arrival: Arrival, real: Fared) {
        let outcome = match &mut self.previewed {
            Some(previewed) => previewed.paper.claim(arrival.at),
            None => real.outcome,
        };
        let fared = Fared { outcome, ..real };
        self.show(|planner| planner.observe(&arrival, fared));
        self.remember(arrival, Past::Served(fared));
    }

    fn observe_merged(&mut self, arrival: Arrival, fared: Fared) {
        if let Some(previewed) = &mut self.previewed {
            previewed.paper.share(fared.outcome);
        }
        self.show(|planner| planner.observe_merged(&arrival, fared));
        self.remember(arrival, Past::Merged(fared));
    }

    /// Shows the planner a request, and counts the cause that it names if that one waits.
    fn show(&mut self, observe: impl FnOnce(&mut PoolPlanner)) {
        let before = *self.planner.misses();
        observe(&mut self.planner);
        self.waits.merge(&self.planner.misses().since(&before));
    }

    /// Keeps a request for a planner made anew, without telling the present one.
    pub(crate) fn remember(&mut self, arrival: Arrival, past: Past) {
        self.remembered.push(arrival, past);
    }

    pub(crate) fn started(&mut self) {
        self.planner.start_succeeded();
    }

    pub(crate) fn start_failed(&mut self, now: Timestamp) {
        self.planner.start_failed(now);
    }

    pub(crate) fn plan(
        &mut self,
        now: Timestamp,
        inventory: &Inventory,
        known: &KnownDemand,
    ) -> PoolPlan {
        let Some(previewed) = &mut self.previewed else {
            return self.planner.plan(now, inventory, known);
        };
        let plan = self.planner.plan(now, &previewed.paper.inventory(), known);
        previewed.follow(now, plan.target, inventory.ready);
        let booked = known.booked_before(now + self.planner.lead_time());
        proposal(plan, previewed.keep.saturating_add(booked), known)
    }

    /// The settings it should have: as configured, with the start-up time that was measured by then.
    pub(crate) fn wanted_settings(
        &self,
        shadow: &ShadowConfig,
        measured: Option<(Duration, Timestamp)>,
    ) -> PoolSettings {
        let known = self.settings().startup;
        let past = &self.remembered;
        let startup = match measured {
            Some((measured, now)) if past.has_drifted(known, measured, self.made, now) => measured,
            Some(_) | None => known,
        };
        settings(&self.config, shadow, startup, self.seed)
    }

    /// A planner with other settings that has lived through the remembered requests. Takes up to
    /// seconds.
    pub(crate) fn made_anew(
        &self,
        settings: PoolSettings,
        now: Timestamp,
    ) -> Result<PoolPlanner, SettingsError> {
        let mut planner = self.planner_with(settings)?;
        self.remembered.live_through(&mut planner, now);
        Ok(planner)
    }

    /// Begins anew with a demand model that was fitted before.
    pub(crate) fn begin_with(&mut self, model: DemandModel) -> Result<(), SettingsError> {
        self.demand_model = Some(model);
        self.planner = self.planner_with(self.settings().clone())?;
        Ok(())
    }

    /// A planner that has seen nothing but its demand model, if that was fitted to these settings.
    fn planner_with(&self, settings: PoolSettings) -> Result<PoolPlanner, SettingsError> {
        let planner = PoolPlanner::new(settings.clone())?;
        let Some(model) = &self.demand_model else {
            return Ok(planner);
        };
        planner.with_model(model.clone()).or_else(|error| {
            tracing::warn!(pool = %self.name(), %error, "the pool's demand model is not used");
            PoolPlanner::new(settings)
        })
    }

    /// Lives anew through what is remembered. Takes up to seconds.
    pub(crate) fn live_through_the_remembered(&mut self, now: Timestamp) {
        if let Ok(planner) = self.made_anew(self.settings().clone(), now) {
            self.planner.give_way_to(planner);
        }
    }

    /// Goes on with what another has learnt of the past, through what has come since.
    pub(crate) fn take_up(&mut self, past: Self, now: Timestamp) -> Result<(), SettingsError> {
        let settings = self.settings().clone();
        let since = std::mem::replace(&mut self.remembered, past.remembered);
        self.planner.give_way_to(past.planner);
        since.live_through(&mut self.planner, now);
        for &(arrival, fate) in since.iter() {
            self.remember(arrival, fate);
        }
        self.work_with(settings, now)
    }

    /// Plans with these settings from now on. Another start-up time or tick takes up to seconds.
    pub(crate) fn work_with(
        &mut self,
        settings: PoolSettings,
        now: Timestamp,
    ) -> Result<(), SettingsError> {
        if !self.planner.retarget(settings.clone())? {
            let anew = self.made_anew(settings, now)?;
            self.planner.give_way_to(anew);
            self.made = Some(now);
        }
        Ok(())
    }

    /// The plan that another configuration would give; nothing changes by asking.
    pub(crate) fn plan_under(
        &self,
        shadow: &ShadowConfig,
        now: Timestamp,
        inventory: &Inventory,
        known: &KnownDemand,
    ) -> Result<PoolPlan, SettingsError> {
        let settings = self.wanted_settings(shadow, None);
        let paper = self.previewed.as_ref();
        let held = paper.map_or(*inventory, |previewed| previewed.paper.inventory());
        let plan = self
            .planner
            .plan_under(settings.clone(), now, &held, known)?;
        let plan = match plan {
            Some(plan) => plan,
            None => self.made_anew(settings, now)?.plan(now, &held, known),
        };
        Ok(match execution(&self.config, shadow) {
            Execution::Live => plan,
            Execution::Preview { keep } => {
                let booked = known.booked_before(now + self.planner.lead_time());
                proposal(plan, keep.saturating_add(booked), known)
            }
        })
    }
}

/// A request of the history as planners see it.
pub(super) fn arrival_of(row: &RequestRecord) -> Arrival {
    let hash = |name: Option<&str>| name.map_or(0, stable_hash);
    Arrival {
        at: row.at,
        user: hash(row.user.as_ref().map(UserId::as_str)),
        application: hash(row.application.as_ref().map(ApplicationId::as_str)),
        hold: row.hold,
    }
}

#[cfg(test)]
mod tests;
