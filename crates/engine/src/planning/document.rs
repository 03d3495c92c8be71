//! What is kept on disk of the shadow configuration and the overrides: records of their own, so that
//! a change of the domain does not change the past.

use std::time::Duration;

use foreshadow_planner::{RuleSubject, TriggerRule};
use foreshadow_types::{EntityId, PoolName, Timestamp};
use serde::{Deserialize, Serialize};

use crate::config::{CapacityOverride, OverrideSubject, PoolObjective, ShadowConfig};

/// Names of the documents in the ledger.
pub(crate) const SHADOW_CONFIG: &str = "shadow-config";
pub(crate) const OVERRIDES: &str = "overrides";

/// A version and what it is of.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Versioned<T> {
    pub(crate) version: u64,
    pub(crate) value: T,
}

#[derive(Serialize, Deserialize)]
struct ConfigRecord {
    version: u64,
    tick_ms: u64,
    horizon_ms: u64,
    retrain_every_ms: Option<u64>,
    #[serde(default)]
    retrain_on_drift: bool,
    triggers: Vec<TriggerRecord>,
    objectives: Vec<ObjectiveRecord>,
}

#[derive(Serialize, Deserialize)]
struct TriggerRecord {
    name: String,
    entity: Option<String>,
    category: Option<String>,
    metric: String,
    quantile: f64,
    threshold: f64,
    release_below: f64,
    within_ms: u64,
    pool: String,
    count: u32,
    keep_ms: u64,
}

#[derive(Serialize, Deserialize)]
struct ObjectiveRecord {
    pool: String,
    target_hit_rate: Option<f64>,
    min: Option<u32>,
    max: Option<u32>,
}

#[derive(Serialize, Deserialize)]
struct OverridesRecord {
    version: u64,
    overrides: Vec<OverrideRecord>,
}

#[derive(Serialize, Deserialize)]
struct OverrideRecord {
    name: String,
    pool: String,
    entity: Option<String>,
    instances: u32,
    until_ms: Option<i64>,
    by: String,
    reason: String,
}

/// A document that cannot be read, and why.
pub(crate) type Unreadable = String;

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn pool(name: &str) -> Result<PoolName, Unreadable> {
    PoolName::new(name).map_err(|error| error.to_string())
}

fn entity(name: &str) -> Result<EntityId, Unreadable> {
    EntityId::new(name).map_err(|error| error.to_string())
}

pub(crate) fn write_config(config: &Versioned<ShadowConfig>) -> Result<Vec<u8>, Unreadable> {
    let value = &config.value;
    let record = ConfigRecord {
        version: config.version,
        tick_ms: millis(value.tick),
        horizon_ms: millis(value.horizon),
        retrain_every_ms: value.retrain_every.map(millis),
        retrain_on_drift: value.retrain_on_drift,
        triggers: value.triggers.iter().map(trigger_record).collect(),
        objectives: value
            .objectives
            .iter()
            .map(|(pool, objective)| ObjectiveRecord {
                pool: pool.as_str().to_owned(),
                target_hit_rate: objective.target_hit_rate,
                min: objective.min,
                max: objective.max,
            })
            .collect(),
    };
    serde_json::to_vec(&record).map_err(|error| error.to_string())
}

fn trigger_record(rule: &TriggerRule) -> TriggerRecord {
    let (entity, category) = match &rule.subject {
        RuleSubject::Entity(entity) => (Some(entity.as_str().to_owned()), None),
        RuleSubject::Category(category) => (None, Some(category.clone())),
        RuleSubject::Any => (None, None),
    };
    TriggerRecord {
        name: rule.name.clone(),
        entity,
        category,
        metric: rule.metric.clone(),
        quantile: rule.quantile,
        threshold: rule.threshold,
        release_below: rule.release_below,
        within_ms: millis(rule.within),
        pool: rule.pool.as_str().to_owned(),
        count: rule.count,
        keep_ms: millis(rule.keep),
    }
}

pub(crate) fn read_config(body: &[u8]) -> Result<Versioned<ShadowConfig>, Unreadable> {
    let record: ConfigRecord = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let triggers = record.triggers.into_iter().map(read_trigger);
    let objectives = record.objectives.into_iter().map(|objective| {
        let value = PoolObjective {
            target_hit_rate: objective.target_hit_rate,
            min: objective.min,
            max: objective.max,
        };
        Ok::<_, Unreadable>((pool(&objective.pool)?, value))
    });
    let value = ShadowConfig {
        tick: Duration::from_millis(record.tick_ms),
        horizon: Duration::from_millis(record.horizon_ms),
        triggers: triggers.collect::<Result<_, _>>()?,
        objectives: objectives.collect::<Result<_, _>>()?,
        retrain_every: record.retrain_every_ms.map(Duration::from_millis),
        retrain_on_drift: record.retrain_on_drift,
    };
    Ok(Versioned {
        version: record.version,
        value,
    })
}

fn read_trigger(record: TriggerRecord) -> Result<TriggerRule, Unreadable> {
    let subject = match (record.entity, record.category) {
        (Some(name), _) => RuleSubject::Entity(entity(&name)?),
        (None, Some(category)) => RuleSubject::Category(category),
        (None, None) => RuleSubject::Any,
    };
    Ok(TriggerRule {
        name: record.name,
        subject,
        metric: record.metric,
        quantile: record.quantile,
        threshold: record.threshold,
        release_below: record.release_below,
        within: Duration::from_millis(record.within_ms),
        pool: pool(&record.pool)?,
        count: record.count,
        keep: Duration::from_millis(record.keep_ms),
    })
}

pub(crate) fn write_overrides(
    overrides: &Versioned<Vec<CapacityOverride>>,
) -> Result<Vec<u8>, Unreadable> {
    let records = overrides.value.iter().map(|one| OverrideRecord {
        name: one.name.clone(),
        pool: one.pool.as_str().to_owned(),
        entity: match &one.subject {
            OverrideSubject::Pool => None,
            OverrideSubject::Entity(entity) => Some(entity.as_str().to_owned()),
        },
        instances: one.instances,
        until_ms: one.until.map(Timestamp::as_millis),
        by: one.by.clone(),
        reason: one.reason.clone(),
    });
    let record = OverridesRecord {
        version: overrides.version,
        overrides: records.collect(),
    };
    serde_json::to_vec(&record).map_err(|error| error.to_string())
}

pub(crate) fn read_overrides(body: &[u8]) -> Result<Versioned<Vec<CapacityOverride>>, Unreadable> {
    let record: OverridesRecord =
        serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let overrides = record.overrides.into_iter().map(|one| {
        let subject = match one.entity {
            Some(name) => OverrideSubject::Entity(entity(&name)?),
            None => OverrideSubject::Pool,
        };
        Ok::<_, Unreadable>(CapacityOverride {
            name: one.name,
            pool: pool(&one.pool)?,
            subject,
            instances: one.instances,
            until: one.until_ms.map(Timestamp::from_millis),
            by: one.by,
            reason: one.reason,
        })
    });
    Ok(Versioned {
        version: record.version,
        value: overrides.collect::<Result<_, _>>()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_reads_back() {
        let name = PoolName::new("notebook").unwrap();
        let value = ShadowConfig {
            triggers: vec![TriggerRule {
                name: "morning".to_owned(),
                subject: RuleSubject::Category("steady".to_owned()),
                metric: "cpu".to_owned(),
                quantile: 0.9,
                threshold: 50.0,
                release_below: 40.0,
                within: Duration::from_mins(10),
                pool: name.clone(),
                count: 2,
                keep: Duration::from_mins(1),
            }],
            objectives: [(name, PoolObjective::default())].into(),
            retrain_every: Some(Duration::from_hours(24)),
            ..ShadowConfig::default()
        };
        let config = Versioned { version: 3, value };
        assert_eq!(read_config(&write_config(&config).unwrap()), Ok(config));
        assert!(read_config(b"{}").is_err());
    }

    #[test]
    fn overrides_read_back() {
        let value = vec![CapacityOverride {
            name: "exam".to_owned(),
            pool: PoolName::new("notebook").unwrap(),
            subject: OverrideSubject::Entity(EntityId::new("ada").unwrap()),
            instances: 3,
            until: Some(Timestamp::from_millis(5)),
            by: "ops".to_owned(),
            reason: "an exam".to_owned(),
        }];
        let overrides = Versioned { version: 1, value };
        assert_eq!(
            read_overrides(&write_overrides(&overrides).unwrap()),
            Ok(overrides)
        );
    }
}
