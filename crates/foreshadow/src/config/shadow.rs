//! Trigger rules and retraining as written in the configuration.

use std::time::Duration;

use foreshadow_engine::EngineConfig;
use foreshadow_planner::{RuleSubject, TriggerRule};
use foreshadow_types::{EntityId, PoolName};
use serde::Deserialize;

use super::text::Span;

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
    count: u32,
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
            count: self.count,
            keep: self.keep.map_or(Duration::ZERO, |span| span.0),
        })
    }
}

/// The `[retrain]` table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRetrain {
    every: Option<Span>,
    max_duration: Option<Span>,
    niceness: Option<u8>,
    #[serde(default)]
    on_drift: bool,
}

impl RawRetrain {
    /// Retrain with this binary's own `train` command.
    pub(super) fn apply(self, config: &mut EngineConfig) -> Result<(), String> {
        if self.every.is_none() && !self.on_drift {
            return Err("[retrain] says not when; give `every` or `on_drift = true`".to_owned());
        }
        config.shadow.retrain_every = self.every.map(|every| every.0);
        config.shadow.retrain_on_drift = self.on_drift;
        if let Some(longest) = self.max_duration {
            config.retraining.max_duration = longest.0;
        }
        if let Some(niceness) = self.niceness {
            config.retraining.niceness = niceness;
        }
        Ok(())
    }
}
