//! The checks of a configuration as a whole.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use foreshadow_allocator::{PoolSpecError, QuotaError, Recycle};
use foreshadow_planner::{FollowBook, FollowError, RuleBook, RuleError, TriggerRule};
use foreshadow_providers::{FallbackSpec, SpecError};
use foreshadow_types::{PoolName, Shape};
use thiserror::Error;

use super::{Aim, EngineConfig, Execution, PoolConfig, ShadowConfig};

/// The shortest tick.
const SHORTEST_TICK: Duration = Duration::from_millis(50);

/// The most steps that each tick's forecast reaches.
const MOST_TICK_STEPS: u128 = 10_080;

/// The most trigger rules.
const MOST_TRIGGERS: usize = 10_000;

/// The most windows of schedules, and how long one may be.
const MOST_SCHEDULES: usize = 10_000;
const LONGEST_WINDOW: Duration = Duration::from_hours(366 * 24);

/// The most declarations of what follows what.
const MOST_FOLLOWS: usize = 10_000;

/// Why a configuration was refused.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum ConfigError {
    /// Two pools have the same name.
    #[error("pool `{0}` is defined twice; give each pool a name of its own")]
    DuplicatePool(PoolName),
    /// The definition of a pool does not make sense.
    #[error(transparent)]
    Pool(#[from] PoolSpecError),
    /// The quota of a tenant does not make sense.
    #[error(transparent)]
    Quota(#[from] QuotaError),
    /// A trigger rule does not make sense.
    #[error(transparent)]
    Trigger(#[from] RuleError),
    /// What follows what does not make sense.
    #[error(transparent)]
    Follow(#[from] FollowError),
    /// The instances of a pool cannot be started as given.
    #[error("pool `{pool}`: {source}")]
    Provider {
        /// Which pool.
        pool: PoolName,
        /// Why.
        source: SpecError,
    },
    /// The planner of a pool cannot work as it is told.
    #[error("pool `{pool}`: {reason}")]
    Planner {
        /// Which pool.
        pool: PoolName,
        /// Why.
        reason: String,
    },
    /// The history cannot be kept where it should be.
    #[error("history: {0}")]
    History(String),
    /// A value is outside of what is allowed.
    #[error("{place}: `{key}` is {value}; {mend}")]
    Value {
        /// Where: the pool or the section.
        place: String,
        /// Which key.
        key: &'static str,
        /// What it is.
        value: String,
        /// What it may be.
        mend: &'static str,
    },
    /// A pool is named that is not defined.
    #[error("{place}: there is no pool `{pool}`; the pools are {known}")]
    UnknownPool {
        /// Where it is named.
        place: String,
        /// The name.
        pool: PoolName,
        /// Those that are defined.
        known: String,
    },
}

pub(super) fn refuse(
    place: impl Into<String>,
    key: &'static str,
    value: impl std::fmt::Display,
    mend: &'static str,
) -> ConfigError {
    ConfigError::Value {
        place: place.into(),
        key,
        value: value.to_string(),
        mend,
    }
}

impl EngineConfig {
    /// Whether quotas make sense, and floors fit the pools that they speak of.
    fn check_tenants(&self, pools: &[PoolConfig]) -> Result<(), ConfigError> {
        let mut floors: BTreeMap<&PoolName, u32> = BTreeMap::new();
        for quota in self.tenants.values() {
            quota.check()?;
            for (pool, warm) in &quota.warm {
                known_pool(|| "tenant".to_owned(), pool, pools)?;
                let sum = floors.entry(pool).or_default();
                *sum = sum.saturating_add(warm.floor);
            }
        }
        for pool in pools {
            let max = pool.resolved().max.0;
            let sum = floors.get(pool.name()).copied().unwrap_or_default();
            if sum > max {
                let mend = "floors of tenants in a pool add up to its `max` at the most";
                return Err(refuse("tenant", "warm", sum, mend));
            }
        }
        Ok(())
    }

    /// Checks the configuration as a whole, before any data is touched.
    ///
    /// # Errors
    /// [`ConfigError`] names the first value at fault and what it may be.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let mut names = BTreeSet::new();
        for pool in self.pools.iter().chain(&self.elsewhere) {
            if !names.insert(pool.name()) {
                return Err(ConfigError::DuplicatePool(pool.name().clone()));
            }
            pool.validate()?;
        }
        let pools = self.all_pools();
        self.shadow.validate(&pools)?;
        self.check_tenants(&pools)?;
        self.check_history()?;
        for pool in self.priorities.pools.keys() {
            known_pool(|| "priority".to_owned(), pool, &pools)?;
        }
        if self.priorities.usage != 0 && self.usage_metric.is_none() {
            let mend = "name the metric of the forecasts in `usage_metric`";
            return Err(refuse("priority", "usage", self.priorities.usage, mend));
        }
        let limits = &self.limits;
        for (key, value) in [
            ("commands", limits.commands),
            ("batch", limits.batch),
            ("entities", limits.entities),
            ("series", limits.series),
            ("horizon_steps", limits.horizon_steps),
        ] {
            if value == 0 {
                return Err(refuse("limits", key, 0, "give at least 1"));
            }
        }
        if self.retraining.niceness > 19 {
            let value = self.retraining.niceness;
            return Err(refuse("retraining", "niceness", value, "give 0 to 19"));
        }
        Ok(())
    }
}

impl PoolConfig {
    fn validate(&self) -> Result<(), ConfigError> {
        let place = || format!("pool `{}`", self.name());
        let fallback = self.fallback.as_ref();
        let checked = fallback.map_or(Ok(()), FallbackSpec::validate);
        checked
            .and(self.provider.validate())
            .map_err(|source| ConfigError::Provider {
                pool: self.name().clone(),
                source,
            })?;
        if fallback.is_some() && self.spec.recycle == Recycle::Reuse {
            let mend = "what a fallback gave is given back after use; give `delete` or `reset`";
            return Err(refuse(place(), "recycle", "reuse", mend));
        }
        if self.spec.max.0 == 0 {
            return Err(refuse(place(), "max", 0, "give at least 1"));
        }
        self.resolved().check()?;
        check_execution(place, self.execution, self)?;
        check_aim(place, self.aim)?;
        let limits = self.ramp.check().and(self.breaker.check());
        limits.map_err(|error| ConfigError::Planner {
            pool: self.name().clone(),
            reason: error.to_string(),
        })
    }
}

impl ShadowConfig {
    /// Checks the configuration as a whole against the pools there are.
    ///
    /// # Errors
    /// [`ConfigError`] names the first value at fault and what it may be.
    pub fn validate(&self, pools: &[PoolConfig]) -> Result<(), ConfigError> {
        if self.tick < SHORTEST_TICK {
            let tick = format!("{:?}", self.tick);
            return Err(refuse("shadow", "tick", tick, "give at least 50ms"));
        }
        let steps = self.horizon.as_millis() / self.tick.as_millis();
        if steps == 0 || steps > MOST_TICK_STEPS {
            let horizon = format!("{:?}", self.horizon);
            return Err(refuse(
                "shadow",
                "horizon",
                horizon,
                "give 1 to 10080 ticks",
            ));
        }
        if self.retrain_every.is_some_and(|every| every.is_zero()) {
            let mend = "give a duration such as `24h`";
            return Err(refuse("shadow", "retrain_every", "zero", mend));
        }
        self.validate_triggers(pools)?;
        self.validate_schedules(pools)?;
        self.validate_follows(pools)?;
        for (pool, objective) in &self.objectives {
            let place = || format!("objective of pool `{pool}`");
            known_pool(place, pool, pools)?;
            if let Some(aim) = objective.aim {
                check_aim(place, aim)?;
            }
            let planned = pools.iter().find(|one| one.name() == pool);
            if let (Some(execution), Some(planned)) = (objective.execution, planned) {
                check_execution(place, execution, planned)?;
            }
            if objective.max == Some(0) {
                return Err(refuse(place(), "max", 0, "give at least 1"));
            }
        }
        Ok(())
    }

    fn validate_schedules(&self, pools: &[PoolConfig]) -> Result<(), ConfigError> {
        if self.schedules.len() > MOST_SCHEDULES {
            let count = format!("{} windows", self.schedules.len());
            return Err(refuse("shadow", "schedules", count, "give at most 10000"));
        }
        for schedule in &self.schedules {
            let place = || format!("schedule `{}`", schedule.name);
            known_pool(place, &schedule.pool, pools)?;
            if schedule.count == 0 {
                return Err(refuse(place(), "count", 0, "give at least 1"));
            }
            if schedule.lasts.is_zero() || schedule.lasts > LONGEST_WINDOW {
                let lasts = format!("{:?}", schedule.lasts);
                let mend = "give more than zero and at most 366 days";
                return Err(refuse(place(), "lasts", lasts, mend));
            }
        }
        Ok(())
    }

    fn validate_follows(&self, pools: &[PoolConfig]) -> Result<(), ConfigError> {
        if self.follows.len() > MOST_FOLLOWS {
            let count = format!("{} of them", self.follows.len());
            return Err(refuse("shadow", "follows", count, "give at most 10000"));
        }
        FollowBook::new(self.follows.clone())?;
        for follow in &self.follows {
            let place = || format!("what follows `{}`", follow.after);
            known_pool(place, &follow.pool, pools)?;
            known_pool(place, &follow.after, pools)?;
        }
        Ok(())
    }

    fn validate_triggers(&self, pools: &[PoolConfig]) -> Result<(), ConfigError> {
        if self.triggers.len() > MOST_TRIGGERS {
            let count = format!("{} rules", self.triggers.len());
            return Err(refuse("shadow", "triggers", count, "give at most 10000"));
        }
        RuleBook::new(self.triggers.clone(), shapes(pools))?;
        for trigger in &self.triggers {
            check_trigger(trigger, self.horizon, pools)?;
        }
        Ok(())
    }
}

/// What an instance of each pool offers.
pub(crate) fn shapes(pools: &[PoolConfig]) -> BTreeMap<PoolName, Shape> {
    pools
        .iter()
        .map(|pool| (pool.name().clone(), pool.spec.shape))
        .collect()
}

/// What the rule book cannot know: the pools and the horizon.
fn check_trigger(
    trigger: &TriggerRule,
    horizon: Duration,
    pools: &[PoolConfig],
) -> Result<(), ConfigError> {
    let place = || format!("trigger `{}`", trigger.name);
    known_pool(place, &trigger.pool, pools)?;
    if trigger.within.is_zero() || trigger.within > horizon {
        let within = format!("{:?}", trigger.within);
        let mend = "give more than zero and at most `horizon`";
        return Err(refuse(place(), "within", within, mend));
    }
    if trigger.metric.is_empty() {
        return Err(refuse(
            place(),
            "metric",
            "empty",
            "give the metric to watch",
        ));
    }
    Ok(())
}

/// Whoever keeps a pool by hand keeps it within its bounds.
fn check_execution(
    place: impl Fn() -> String,
    execution: Execution,
    pool: &PoolConfig,
) -> Result<(), ConfigError> {
    match execution {
        Execution::Preview { keep } if !(pool.spec.min.0..=pool.spec.max.0).contains(&keep) => {
            let mend = "give at least the pool's `min` and at most its `max`";
            Err(refuse(place(), "preview.keep", keep, mend))
        }
        Execution::Preview { .. } | Execution::Live => Ok(()),
    }
}

fn check_aim(place: impl Fn() -> String, aim: Aim) -> Result<(), ConfigError> {
    let positive = |key, value: f64| {
        if value > 0.0 && value.is_finite() {
            return Ok(());
        }
        Err(refuse(place(), key, value, "give a number above 0"))
    };
    match aim {
        Aim::HitRate(rate) if rate > 0.0 && rate < 1.0 => Ok(()),
        Aim::HitRate(rate) => {
            let mend = "give a number above 0 and below 1";
            Err(refuse(place(), "target_hit_rate", rate, mend))
        }
        Aim::IdleBudget(instances) => positive("idle_instances", instances),
        Aim::Costs(costs) => {
            positive("costs.idle_hour", costs.idle_hour)?;
            positive("costs.waiting_second", costs.waiting_second)
        }
    }
}

/// That the pool is defined.
pub(crate) fn known_pool(
    place: impl Fn() -> String,
    pool: &PoolName,
    pools: &[PoolConfig],
) -> Result<(), ConfigError> {
    if pools.iter().any(|known| known.name() == pool) {
        return Ok(());
    }
    let known: Vec<&str> = pools.iter().map(|known| known.name().as_str()).collect();
    Err(ConfigError::UnknownPool {
        place: place(),
        pool: pool.clone(),
        known: if known.is_empty() {
            "none".to_owned()
        } else {
            known.join(", ")
        },
    })
}
