//! What is adjustable while the engine serves: the shadow configuration and overrides.

use std::{collections::BTreeMap, time::Duration};

use foreshadow_planner::{CronTime, Follow, Schedule, TriggerRule};
use foreshadow_types::{EntityId, PoolName, Timestamp};

use super::{Aim, Execution};

/// How demand is watched and what follows from it; set as a whole, versioned.
#[derive(Debug, Clone, PartialEq)]
pub struct ShadowConfig {
    /// The interval at which all forecasts and plans are renewed.
    pub tick: Duration,
    /// How far ahead the forecasts of each tick reach.
    pub horizon: Duration,
    /// What pre-allocates for whom, in this order.
    pub triggers: Vec<TriggerRule>,
    /// Objectives that differ from the pools' own.
    pub objectives: BTreeMap<PoolName, PoolObjective>,
    /// Windows in which pools are kept at least so large.
    pub schedules: Vec<Schedule>,
    /// Pools whose requests follow those of another.
    pub follows: Vec<Follow>,
    /// How often models are trained again; `None` for never.
    pub retrain_every: Option<Duration>,
    /// At which moments models are trained again.
    pub retrain_at: Option<CronTime>,
    /// Whether models are trained again when forecasts have become worse.
    pub retrain_on_drift: bool,
}

impl Default for ShadowConfig {
    fn default() -> Self {
        Self {
            tick: Duration::from_mins(1),
            horizon: Duration::from_hours(1),
            triggers: Vec::new(),
            objectives: BTreeMap::new(),
            schedules: Vec::new(),
            follows: Vec::new(),
            retrain_every: None,
            retrain_at: None,
            retrain_on_drift: false,
        }
    }
}

/// What a pool should reach; what is absent stays as the pool says.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct PoolObjective {
    /// What the planner aims at.
    pub aim: Option<Aim>,
    /// Whether plans are carried out.
    pub execution: Option<Execution>,
    /// How many unpromised instances are kept at least.
    pub min: Option<u32>,
    /// How many unpromised instances are kept at most.
    pub max: Option<u32>,
}

/// An administrator's fixed allocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CapacityOverride {
    /// Its name; setting it again replaces it.
    pub name: String,
    /// Which pool.
    pub pool: PoolName,
    /// For whom.
    pub subject: OverrideSubject,
    /// How many instances are kept.
    pub instances: u32,
    /// Until when; `None` for as long as it is not cleared.
    pub until: Option<Timestamp>,
    /// Who set it.
    pub by: String,
    /// Why, for people.
    pub reason: String,
}

impl CapacityOverride {
    /// Whether it is in force at `now`.
    pub fn holds_at(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

/// For whom an override keeps instances.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OverrideSubject {
    /// For whoever comes: the pool's target is exactly this many.
    Pool,
    /// For one user or application, beside what the pool keeps.
    Entity(EntityId),
}
