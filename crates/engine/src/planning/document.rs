//! What is kept on disk of the shadow configuration and the overrides: records of their own, so that
//! a change of the domain does not change the past.

use std::time::Duration;

use foreshadow_planner::{
    CronTime, Follow, RuleSubject, Schedule, ScheduleError, TriggerRule, Wanted,
};
use foreshadow_types::{Bytes, EntityId, PoolName, Shape, Timestamp, Vcpus};
use serde::{Deserialize, Serialize};

use crate::config::{
    Aim, CapacityOverride, Execution, OverrideSubject, PoolObjective, ShadowConfig,
};

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
    #[serde(default)]
    retrain_at: Option<String>,
    triggers: Vec<TriggerRecord>,
    objectives: Vec<ObjectiveRecord>,
    #[serde(default)]
    schedules: Vec<ScheduleRecord>,
    #[serde(default)]
    follows: Vec<FollowRecord>,
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
    #[serde(default)]
    count: u32,
    #[serde(default)]
    amount: Option<AmountRecord>,
    keep_ms: u64,
}

#[derive(Serialize, Deserialize)]
struct AmountRecord {
    gpus: u32,
    cpu_thousandths: u64,
    memory_bytes: u64,
    storage_iops: u64,
    network_mbps: u64,
}

#[derive(Serialize, Deserialize)]
struct ScheduleRecord {
    name: String,
    pool: String,
    starts: String,
    lasts_ms: u64,
    count: u32,
}

#[derive(Serialize, Deserialize)]
struct FollowRecord {
    pool: String,
    after: String,
    delay_ms: u64,
    share: f64,
}

#[derive(Serialize, Deserialize)]
struct ObjectiveRecord {
    pool: String,
    #[serde(default)]
    target_hit_rate: Option<f64>,
    #[serde(default)]
    idle_instances: Option<f64>,
    /// Of an idle hour and of a second's wait.
    #[serde(default)]
    costs: Option<(f64, f64)>,
    min: Option<u32>,
    max: Option<u32>,
    #[serde(default)]
    execution: Option<ExecutionRecord>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ExecutionRecord {
    Live,
    Preview { keep: u32 },
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

fn cron(text: &str) -> Result<CronTime, Unreadable> {
    text.parse()
        .map_err(|error: ScheduleError| error.to_string())
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
        retrain_at: value.retrain_at.as_ref().map(ToString::to_string),
        triggers: value.triggers.iter().map(trigger_record).collect(),
        objectives: value.objectives.iter().map(objective_record).collect(),
        schedules: value.schedules.iter().map(schedule_record).collect(),
        follows: value.follows.iter().map(follow_record).collect(),
    };
    serde_json::to_vec(&record).map_err(|error| error.to_string())
}

fn objective_record((pool, objective): (&PoolName, &PoolObjective)) -> ObjectiveRecord {
    let mut record = ObjectiveRecord {
        pool: pool.as_str().to_owned(),
        target_hit_rate: None,
        idle_instances: None,
        costs: None,
        min: objective.min,
        max: objective.max,
        execution: objective.execution.map(|execution| match execution {
            Execution::Live => ExecutionRecord::Live,
            Execution::Preview { keep } => ExecutionRecord::Preview { keep },
        }),
    };
    match objective.aim {
        None => {}
        Some(Aim::HitRate(rate)) => record.target_hit_rate = Some(rate),
        Some(Aim::IdleBudget(instances)) => record.idle_instances = Some(instances),
        Some(Aim::Costs {
            idle_hour,
            waiting_second,
        }) => record.costs = Some((idle_hour, waiting_second)),
    }
    record
}

fn read_objective(record: &ObjectiveRecord) -> Result<(PoolName, PoolObjective), Unreadable> {
    let hit_rate = record.target_hit_rate.map(Aim::HitRate);
    let budget = record.idle_instances.map(Aim::IdleBudget);
    let costs = record.costs.map(|(idle_hour, waiting_second)| Aim::Costs {
        idle_hour,
        waiting_second,
    });
    let objective = PoolObjective {
        aim: hit_rate.or(budget).or(costs),
        min: record.min,
        max: record.max,
        execution: record.execution.as_ref().map(|execution| match execution {
            ExecutionRecord::Live => Execution::Live,
            ExecutionRecord::Preview { keep } => Execution::Preview { keep: *keep },
        }),
    };
    Ok((pool(&record.pool)?, objective))
}

fn schedule_record(schedule: &Schedule) -> ScheduleRecord {
    ScheduleRecord {
        name: schedule.name.clone(),
        pool: schedule.pool.as_str().to_owned(),
        starts: schedule.starts.to_string(),
        lasts_ms: millis(schedule.lasts),
        count: schedule.count,
    }
}

fn read_schedule(record: ScheduleRecord) -> Result<Schedule, Unreadable> {
    Ok(Schedule {
        pool: pool(&record.pool)?,
        starts: cron(&record.starts)?,
        lasts: Duration::from_millis(record.lasts_ms),
        count: record.count,
        name: record.name,
    })
}

fn follow_record(follow: &Follow) -> FollowRecord {
    FollowRecord {
        pool: follow.pool.as_str().to_owned(),
        after: follow.after.as_str().to_owned(),
        delay_ms: millis(follow.delay),
        share: follow.share,
    }
}

fn read_follow(record: &FollowRecord) -> Result<Follow, Unreadable> {
    Ok(Follow {
        pool: pool(&record.pool)?,
        after: pool(&record.after)?,
        delay: Duration::from_millis(record.delay_ms),
        share: record.share,
    })
}

fn trigger_record(rule: &TriggerRule) -> TriggerRecord {
    let (entity, category) = match &rule.subject {
        RuleSubject::Entity(entity) => (Some(entity.as_str().to_owned()), None),
        RuleSubject::Category(category) => (None, Some(category.clone())),
        RuleSubject::Any => (None, None),
    };
    let (count, amount) = match rule.wanted {
        Wanted::Instances(count) => (count, None),
        Wanted::Amount(shape) => (0, Some(amount_record(&shape))),
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
        count,
        amount,
        keep_ms: millis(rule.keep),
    }
}

fn amount_record(shape: &Shape) -> AmountRecord {
    AmountRecord {
        gpus: shape.gpus,
        cpu_thousandths: shape.vcpus.thousandths(),
        memory_bytes: shape.memory.0,
        storage_iops: shape.storage_iops,
        network_mbps: shape.network_mbps,
    }
}

fn read_amount(record: &AmountRecord) -> Shape {
    Shape {
        gpus: record.gpus,
        vcpus: Vcpus::from_thousandths(record.cpu_thousandths),
        memory: Bytes(record.memory_bytes),
        storage_iops: record.storage_iops,
        network_mbps: record.network_mbps,
    }
}

pub(crate) fn read_config(body: &[u8]) -> Result<Versioned<ShadowConfig>, Unreadable> {
    let record: ConfigRecord = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let triggers = record.triggers.into_iter().map(read_trigger);
    let objectives = record.objectives.iter().map(read_objective);
    let schedules = record.schedules.into_iter().map(read_schedule);
    let follows = record.follows.iter().map(read_follow);
    let value = ShadowConfig {
        tick: Duration::from_millis(record.tick_ms),
        horizon: Duration::from_millis(record.horizon_ms),
        triggers: triggers.collect::<Result<_, _>>()?,
        objectives: objectives.collect::<Result<_, _>>()?,
        schedules: schedules.collect::<Result<_, _>>()?,
        follows: follows.collect::<Result<_, _>>()?,
        retrain_at: record.retrain_at.as_deref().map(cron).transpose()?,
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
        wanted: match &record.amount {
            Some(amount) => Wanted::Amount(read_amount(amount)),
            None => Wanted::Instances(record.count),
        },
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

    fn every_objective(aim: Aim) -> PoolObjective {
        PoolObjective {
            aim: Some(aim),
            min: Some(1),
            max: Some(9),
            execution: Some(Execution::Preview { keep: 4 }),
        }
    }

    #[test]
    fn amounts_and_costs_read_back() {
        let amount = Shape {
            gpus: 1,
            memory: Bytes(5),
            ..Shape::default()
        };
        assert_eq!(read_amount(&amount_record(&amount)), amount);
        let name = PoolName::new("notebook").unwrap();
        let objective = every_objective(Aim::Costs {
            idle_hour: 0.2,
            waiting_second: 0.01,
        });
        let record = objective_record((&name, &objective));
        assert_eq!(read_objective(&record), Ok((name, objective)));
    }

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
                wanted: Wanted::Instances(2),
                keep: Duration::from_mins(1),
            }],
            objectives: [
                (name.clone(), every_objective(Aim::IdleBudget(2.5))),
                (PoolName::new("test").unwrap(), PoolObjective::default()),
            ]
            .into(),
            schedules: vec![Schedule {
                name: "office".to_owned(),
                pool: name.clone(),
                starts: "0 8 * * MON-FRI Europe/Berlin".parse().unwrap(),
                lasts: Duration::from_hours(10),
                count: 5,
            }],
            follows: vec![Follow {
                pool: PoolName::new("test").unwrap(),
                after: name,
                delay: Duration::from_mins(4),
                share: 0.5,
            }],
            retrain_every: Some(Duration::from_hours(24)),
            retrain_at: Some("0 3 * * *".parse().unwrap()),
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
