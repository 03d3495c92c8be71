//! One pool's planner, what it has seen, and its making anew when its settings change.

use std::{collections::VecDeque, time::Duration};

use foreshadow_history::RequestRecord;
use foreshadow_planner::{
    Arrival, Inventory, KnownDemand, Objective, Outcome, PoolPlan, PoolPlanner, PoolSettings,
    SettingsError, stable_hash,
};
use foreshadow_types::{ApplicationId, PoolName, Timestamp, UserId};

use crate::{
    config::{PoolConfig, ShadowConfig},
    demand::{Fate, RequestSeen},
    views::OutcomeCounts,
};

/// How many requests are remembered, to make a planner anew from.
const REMEMBERED: usize = 262_144;

/// A planner is made anew when start-up times differ from those it knows by this factor.
const STARTUP_DRIFT: f64 = 1.5;

/// The most ticks that a planner made anew lives through.
const MOST_TICKS: u64 = 100_000;

/// A pool as planning keeps it.
#[derive(Debug)]
pub(crate) struct PlannedPool {
    pub(crate) config: PoolConfig,
    planner: PoolPlanner,
    remembered: VecDeque<(Arrival, Option<Outcome>)>,
    pub(crate) outcomes: OutcomeCounts,
    seed: u64,
}

/// The settings of a pool's planner.
pub(crate) fn settings(
    pool: &PoolConfig,
    shadow: &ShadowConfig,
    startup: Duration,
    seed: u64,
) -> PoolSettings {
    let objective = shadow.objectives.get(pool.name());
    let hit_rate = objective.and_then(|objective| objective.target_hit_rate);
    let hit_rate = hit_rate.unwrap_or(pool.target_hit_rate);
    let max = objective.and_then(|objective| objective.max);
    let max = max.unwrap_or(pool.spec.max.0).min(pool.spec.max.0);
    let min = objective.and_then(|objective| objective.min);
    let min = min.unwrap_or(pool.spec.min.0).min(max);
    PoolSettings {
        objective: Objective::HitRate(hit_rate),
        min,
        max,
        seed,
        ..PoolSettings::for_hit_rate(hit_rate, startup, shadow.tick)
    }
}

impl PlannedPool {
    pub(crate) fn new(
        config: PoolConfig,
        shadow: &ShadowConfig,
        seed: u64,
    ) -> Result<Self, SettingsError> {
        let seed = seed ^ stable_hash(config.name().as_str());
        let settings = settings(&config, shadow, config.spec.startup, seed);
        Ok(Self {
            planner: PoolPlanner::new(settings)?,
            config,
            remembered: VecDeque::new(),
            outcomes: OutcomeCounts::default(),
            seed,
        })
    }

    pub(crate) fn name(&self) -> &PoolName {
        self.config.name()
    }

    pub(crate) fn settings(&self) -> &PoolSettings {
        self.planner.settings()
    }

    pub(crate) fn hit_rate(&self) -> f64 {
        match self.settings().objective {
            Objective::HitRate(rate) => rate,
            Objective::IdleBudget { .. } | Objective::Costs { .. } => self.config.target_hit_rate,
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
        match seen.fate {
            Fate::Booked => self.outcomes.booked += 1,
            Fate::Rejected => {
                self.outcomes.rejected += 1;
                self.observe(arrival, Outcome::Miss);
            }
            Fate::Served(outcome) => {
                match outcome {
                    Outcome::Hit => self.outcomes.hits += 1,
                    Outcome::Join => self.outcomes.joins += 1,
                    Outcome::Miss => self.outcomes.misses += 1,
                }
                self.observe(arrival, outcome);
            }
        }
    }

    /// Takes note that what a request held has been given back.
    pub(crate) fn ended(&mut self, row: &RequestRecord, at: Timestamp) {
        let arrival = arrival_of(row);
        self.planner.observe_release(arrival.who(), at);
        let first = self
            .remembered
            .partition_point(|(past, _)| past.at < arrival.at);
        let same = self.remembered.range_mut(first..);
        let open = same
            .take_while(|(past, _)| past.at == arrival.at)
            .find(|(past, _)| {
                past.hold == Some(Arrival::UNTIL_RELEASED) && past.user == arrival.user
            });
        if let Some((past, _)) = open {
            past.hold = arrival.hold;
        }
    }

    fn observe(&mut self, arrival: Arrival, outcome: Outcome) {
        self.planner.observe(&arrival, outcome);
        self.remember(arrival, Some(outcome));
    }

    /// Keeps a request for a planner made anew, without telling the present one. What became of it
    /// is unknown if it comes from the history.
    pub(crate) fn remember(&mut self, arrival: Arrival, outcome: Option<Outcome>) {
        if self.remembered.len() >= REMEMBERED {
            self.remembered.pop_front();
        }
        self.remembered.push_back((arrival, outcome));
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
        self.planner.plan(now, inventory, known)
    }

    /// The settings it should have now: as configured, with the start-up time that was measured.
    pub(crate) fn wanted_settings(
        &self,
        shadow: &ShadowConfig,
        measured: Option<Duration>,
    ) -> PoolSettings {
        let known = self.settings().startup;
        let startup = measured.filter(|measured| drifted(known, *measured));
        settings(&self.config, shadow, startup.unwrap_or(known), self.seed)
    }

    /// A planner with other settings that has lived through the remembered requests. Takes up to
    /// seconds.
    pub(crate) fn made_anew(
        &self,
        settings: PoolSettings,
        now: Timestamp,
    ) -> Result<PoolPlanner, SettingsError> {
        let mut planner = PoolPlanner::new(settings)?;
        live_through(&mut planner, &self.remembered, now);
        Ok(planner)
    }

    pub(crate) fn replace_planner(&mut self, planner: PoolPlanner) {
        self.planner = planner;
    }

    /// Plans with these settings from now on. Another start-up time or tick takes up to seconds.
    pub(crate) fn work_with(
        &mut self,
        settings: PoolSettings,
        now: Timestamp,
    ) -> Result<(), SettingsError> {
        if !self.planner.retarget(settings.clone())? {
            self.planner = self.made_anew(settings, now)?;
        }
        Ok(())
    }

    /// The plan that these settings would give; nothing changes by asking.
    pub(crate) fn plan_under(
        &self,
        settings: PoolSettings,
        now: Timestamp,
        inventory: &Inventory,
        known: &KnownDemand,
    ) -> Result<PoolPlan, SettingsError> {
        let plan = self
            .planner
            .plan_under(settings.clone(), now, inventory, known)?;
        match plan {
            Some(plan) => Ok(plan),
            None => Ok(self.made_anew(settings, now)?.plan(now, inventory, known)),
        }
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

fn drifted(known: Duration, measured: Duration) -> bool {
    let ratio = measured.as_secs_f64().max(1e-3) / known.as_secs_f64().max(1e-3);
    !(1.0 / STARTUP_DRIFT..=STARTUP_DRIFT).contains(&ratio)
}

/// Shows a planner past requests, with the ticks between them as they would have been.
fn live_through(
    planner: &mut PoolPlanner,
    requests: &VecDeque<(Arrival, Option<Outcome>)>,
    now: Timestamp,
) {
    let tick = planner.settings().tick;
    let Some((first, _)) = requests.front() else {
        return;
    };
    let longest = Duration::from_millis((tick.as_millis() as u64).saturating_mul(MOST_TICKS));
    let begin = first.at.max(now - longest).floor_to(tick);
    let mut next_tick = begin;
    let known = KnownDemand::default();
    for (arrival, outcome) in requests.iter().filter(|(arrival, _)| arrival.at >= begin) {
        while next_tick <= arrival.at {
            let _ = planner.plan(next_tick, &Inventory::default(), &known);
            next_tick = next_tick + tick;
        }
        match outcome {
            Some(outcome) => planner.observe(arrival, *outcome),
            None => planner.observe_past(arrival),
        }
    }
    while next_tick < now {
        let _ = planner.plan(next_tick, &Inventory::default(), &known);
        next_tick = next_tick + tick;
    }
}
