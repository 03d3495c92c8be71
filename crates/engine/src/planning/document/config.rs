//! The shadow configuration as a document.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    Unreadable, Versioned, cron, millis,
    objective::{ObjectiveRecord, objective_record, read_objective},
    trigger::{TriggerRecord, read_trigger, trigger_record},
    windows::{
        FollowRecord, ScheduleRecord, follow_record, read_follow, read_schedule, schedule_record,
    },
};
use crate::config::ShadowConfig;

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

#[cfg(test)]
mod tests {
    use foreshadow_planner::{Follow, RuleSubject, Schedule, TriggerRule, Wanted};
    use foreshadow_types::PoolName;

    use super::*;
    use crate::config::{Aim, Execution, PoolObjective};

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
                (
                    name.clone(),
                    PoolObjective {
                        aim: Some(Aim::IdleBudget(2.5)),
                        min: Some(1),
                        max: Some(9),
                        execution: Some(Execution::Preview { keep: 4 }),
                    },
                ),
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
}
