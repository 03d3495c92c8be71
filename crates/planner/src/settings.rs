//! What a pool's owner asks of the planner.

use std::time::Duration;

use thiserror::Error;

/// What the planner aims at.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Objective {
    /// The least idle time with at least this share of requests bound without a wait, in `(0, 1)`.
    HitRate(f64),
    /// The highest hit rate that this many idle instances, on average, can buy.
    IdleBudget {
        /// Idle instances, averaged over time; above zero.
        idle_instances: f64,
    },
    /// The least cost, where a request that waits costs as much as so many idle instance-seconds.
    Costs {
        /// Idle instance-seconds that one avoided wait is worth; above zero.
        idle_seconds_per_hit: f64,
    },
}

/// How fast a target may move, and how often it may fall.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RampLimit {
    /// The most instances added in one tick; above zero.
    pub up: u32,
    /// The most instances removed in one tick; above zero.
    pub down: u32,
    /// The most instances removed in an hour: whatever is started beyond the demand is stopped sooner or
    /// later, so that this bounds the churn; above zero.
    pub down_an_hour: u32,
}

impl Default for RampLimit {
    /// No limit.
    fn default() -> Self {
        Self {
            up: u32::MAX,
            down: u32::MAX,
            down_an_hour: u32::MAX,
        }
    }
}

impl RampLimit {
    /// Checks that the pool can move.
    ///
    /// # Errors
    /// [`SettingsError::Immovable`] names the limit at fault.
    pub fn check(&self) -> Result<(), SettingsError> {
        let limits = [
            ("ramp.up", self.up),
            ("ramp.down", self.down),
            ("ramp.down_an_hour", self.down_an_hour),
        ];
        match limits.iter().find(|(_, limit)| *limit == 0) {
            Some(&(name, _)) => Err(SettingsError::Immovable { name }),
            None => Ok(()),
        }
    }
}

/// When a pool whose instances fail to start stops trying.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerSettings {
    /// Failed starts in a row that open the breaker; above zero.
    pub failures: u32,
    /// How long it stays open the first time, above zero; doubled at each further failure.
    pub back_off: Duration,
    /// The longest it stays open; not below `back_off`.
    pub longest: Duration,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self {
            failures: 3,
            back_off: Duration::from_secs(30),
            longest: Duration::from_mins(30),
        }
    }
}

impl BreakerSettings {
    /// Checks that it can open and close.
    ///
    /// # Errors
    /// [`SettingsError::Breaker`] says what is allowed.
    pub fn check(&self) -> Result<(), SettingsError> {
        let sound = self.failures > 0 && !self.back_off.is_zero() && self.back_off <= self.longest;
        if sound {
            return Ok(());
        }
        Err(SettingsError::Breaker(*self))
    }
}

/// The settings of one pool's planner.
#[derive(Debug, Clone, PartialEq)]
pub struct PoolSettings {
    /// What to aim at.
    pub objective: Objective,
    /// The least target.
    pub min: u32,
    /// The largest target.
    pub max: u32,
    /// How long an instance takes to start, until starts have been observed.
    pub startup: Duration,
    /// The time between two plans.
    pub tick: Duration,
    /// How fast the target may move.
    pub ramp: RampLimit,
    /// When failing starts stop further starts.
    pub breaker: BreakerSettings,
    /// The seed of the planner's own random numbers.
    pub seed: u64,
}

/// Why settings were refused.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum SettingsError {
    /// The target hit rate is not between 0 and 1.
    #[error("target_hit_rate is {0}; it must lie above 0 and below 1, for example 0.99")]
    HitRate(f64),
    /// A budget or cost is not a positive number.
    #[error("{name} is {value}; it must be a number above 0")]
    NotPositive {
        /// Which setting.
        name: &'static str,
        /// Its value.
        value: f64,
    },
    /// The least target is above the largest.
    #[error("min is {min} and max is {max}; min must not be above max")]
    Bounds {
        /// The least target.
        min: u32,
        /// The largest target.
        max: u32,
    },
    /// A limit allows no movement at all.
    #[error("{name} is 0; give at least 1, or leave it out for no limit")]
    Immovable {
        /// Which limit.
        name: &'static str,
    },
    /// The breaker never opens, never closes or has no room to back off.
    #[error(
        "breaker has failures {}, back_off {:?} and longest {:?}; failures must be at least 1, back_off \
         above 0 and longest not below it",
        .0.failures, .0.back_off, .0.longest
    )]
    Breaker(BreakerSettings),
    /// A group of planners needs at least one.
    #[error("there are no settings; give those of at least one planner")]
    None,
    /// Planners of one group learn from the same start-up time, tick and seed.
    #[error(
        "the planners of a group have different start-up times, ticks or seeds; give them the same"
    )]
    Unlike,
    /// The tick is too short.
    #[error("tick is {0:?}; it must be at least 1 ms")]
    Tick(Duration),
}

impl PoolSettings {
    /// Whether what is learnt with these settings serves the others too.
    pub(crate) fn learns_as(&self, other: &Self) -> bool {
        (self.startup, self.tick, self.seed) == (other.startup, other.tick, other.seed)
    }

    /// Settings that aim at a hit rate, without bounds or limits.
    pub fn for_hit_rate(target: f64, startup: Duration, tick: Duration) -> Self {
        Self {
            objective: Objective::HitRate(target),
            min: 0,
            max: u32::MAX,
            startup,
            tick,
            ramp: RampLimit::default(),
            breaker: BreakerSettings::default(),
            seed: 1,
        }
    }

    /// Checks that the settings make sense together.
    ///
    /// # Errors
    /// [`SettingsError`] names the setting at fault and what it must be.
    pub fn check(&self) -> Result<(), SettingsError> {
        let positive = |name, value: f64| {
            if value.is_finite() && value > 0.0 {
                Ok(())
            } else {
                Err(SettingsError::NotPositive { name, value })
            }
        };
        match self.objective {
            Objective::HitRate(rate) => {
                if !(rate > 0.0 && rate < 1.0) {
                    return Err(SettingsError::HitRate(rate));
                }
            }
            Objective::IdleBudget { idle_instances } => {
                positive("idle_instances", idle_instances)?;
            }
            Objective::Costs {
                idle_seconds_per_hit,
            } => positive("idle_seconds_per_hit", idle_seconds_per_hit)?,
        }
        if self.min > self.max {
            return Err(SettingsError::Bounds {
                min: self.min,
                max: self.max,
            });
        }
        if self.tick < Duration::from_millis(1) {
            return Err(SettingsError::Tick(self.tick));
        }
        self.ramp.check()?;
        self.breaker.check()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> PoolSettings {
        PoolSettings::for_hit_rate(0.95, Duration::from_mins(2), Duration::from_mins(1))
    }

    #[test]
    fn senseless_settings_are_refused_with_the_setting_at_fault() {
        assert_eq!(settings().check(), Ok(()));
        for rate in [0.0, 1.0, -1.0, f64::NAN] {
            let mut bad = settings();
            bad.objective = Objective::HitRate(rate);
            assert!(matches!(bad.check(), Err(SettingsError::HitRate(_))));
        }
        let mut bad = settings();
        bad.min = 3;
        bad.max = 2;
        assert_eq!(bad.check(), Err(SettingsError::Bounds { min: 3, max: 2 }));
        let mut bad = settings();
        bad.tick = Duration::ZERO;
        assert!(bad.check().is_err());
        let mut bad = settings();
        bad.ramp.down_an_hour = 0;
        let name = "ramp.down_an_hour";
        assert_eq!(bad.check(), Err(SettingsError::Immovable { name }));
        let mut bad = settings();
        bad.breaker.longest = Duration::from_secs(29);
        assert_eq!(bad.check(), Err(SettingsError::Breaker(bad.breaker)));
    }
}
