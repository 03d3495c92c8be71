//! Trigger rules, schedules and retraining as written in the configuration.

use std::time::Duration;

use foreshadow_engine::EngineConfig;
use foreshadow_planner::{Follow, RuleSubject, Schedule, ScheduleError, TriggerRule, Wanted};
use foreshadow_types::{EntityId, PoolName};
use serde::Deserialize;

use super::{
    pool::RawShape,
    text::{Size, Span},
};

/// A `[[trigger]]` table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTrigger {
    name: String,
    metric: String,
    #[serde(default = "median")]
    quantile: f64,
    threshold: f64,
    release_below: Option<f64>,
    within: Span,
    pool: String,
    count: Option<u32>,
    amount: Option<RawShape>,
    keep: Option<Span>,
    entity: Option<String>,
    category: Option<String>,
}

fn median() -> f64 {
    0.5
}

impl RawTrigger {
    /// The rule, or what is wrong with it.
    pub(super) fn check(self) -> Result<TriggerRule, String> {
        let wanted = match (self.count, self.amount) {
            (Some(count), None) => Wanted::Instances(count),
            (None, Some(amount)) => Wanted::Amount(
                amount
                    .check()
                    .map_err(|error| format!("trigger `{}`: amount: {error}", self.name))?,
            ),
            (Some(_), Some(_)) | (None, None) => {
                let name = self.name;
                return Err(format!(
                    "trigger `{name}`: give either `count` or `amount`, such as \
                     `amount = {{ vcpus = 2 }}`"
                ));
            }
        };
        let subject = match (self.entity, self.category) {
            (Some(_), Some(_)) => {
                let name = self.name;
                return Err(format!(
                    "trigger `{name}` has both `entity` and `category`; give one"
                ));
            }
            (Some(entity), None) => {
                RuleSubject::Entity(EntityId::new(&entity).map_err(|error| error.to_string())?)
            }
            (None, Some(category)) => RuleSubject::Category(category),
            (None, None) => RuleSubject::Any,
        };
        Ok(TriggerRule {
            name: self.name,
            subject,
            metric: self.metric,
            quantile: self.quantile,
            threshold: self.threshold,
            release_below: self.release_below.unwrap_or(self.threshold),
            within: self.within.0,
            pool: PoolName::new(&self.pool).map_err(|error| error.to_string())?,
            wanted,
            keep: self.keep.map_or(Duration::ZERO, |span| span.0),
        })
    }
}

/// A `[[schedule]]` table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSchedule {
    name: String,
    pool: String,
    starts: String,
    lasts: Span,
    count: u32,
}

impl RawSchedule {
    /// The schedule, or what is wrong with it.
    pub(super) fn check(self) -> Result<Schedule, String> {
        let name = self.name;
        let starts = self.starts.parse();
        Ok(Schedule {
            pool: PoolName::new(&self.pool).map_err(|error| error.to_string())?,
            starts: starts.map_err(|error| format!("schedule `{name}`: `starts`: {error}"))?,
            lasts: self.lasts.0,
            count: self.count,
            name,
        })
    }
}

/// A `[[follow]]` table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawFollow {
    pool: String,
    after: String,
    delay: Span,
    #[serde(default = "all")]
    share: f64,
}

fn all() -> f64 {
    1.0
}

impl RawFollow {
    /// What follows what, or what is wrong with it.
    pub(super) fn check(self) -> Result<Follow, String> {
        let name = |text: &str| PoolName::new(text).map_err(|error| error.to_string());
        Ok(Follow {
            pool: name(&self.pool)?,
            after: name(&self.after)?,
            delay: self.delay.0,
            share: self.share,
        })
    }
}

/// The `[retrain]` table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRetrain {
    every: Option<Span>,
    at: Option<String>,
    max_duration: Option<Span>,
    niceness: Option<u8>,
    memory: Option<Size>,
    #[serde(default)]
    on_drift: bool,
}

impl RawRetrain {
    /// Retrain with this binary's own `train` command.
    pub(super) fn apply(self, config: &mut EngineConfig) -> Result<(), String> {
        if self.every.is_none() && self.at.is_none() && !self.on_drift {
            let when = "[retrain] says not when; give `every`, `at` or `on_drift = true`";
            return Err(when.to_owned());
        }
        let moments = self.at.map(|text| text.parse()).transpose();
        config.shadow.retrain_at =
            moments.map_err(|error: ScheduleError| format!("[retrain] `at`: {error}"))?;
        config.shadow.retrain_every = self.every.map(|every| every.0);
        config.shadow.retrain_on_drift = self.on_drift;
        if let Some(longest) = self.max_duration {
            config.retraining.max_duration = longest.0;
        }
        if let Some(niceness) = self.niceness {
            config.retraining.niceness = niceness;
        }
        if let Some(memory) = self.memory {
            config.retraining.memory = (memory.0.0 > 0).then_some(memory.0);
        }
        Ok(())
    }
}
