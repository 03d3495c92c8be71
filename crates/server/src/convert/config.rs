//! The shadow configuration.

use std::{collections::BTreeMap, time::Duration};

use foreshadow_api::{
    FieldError, duration_from_proto, duration_to_proto, positive_duration, required_name,
    timestamp_to_proto, trigger_from_proto, trigger_to_proto,
    v1::{self, objective},
};
use foreshadow_engine::{
    Explanation, PoolPlanView, ShadowConfigOutcome, VersionedShadowConfig,
    config::{Aim, Costs, CronTime, Execution, Follow, PoolObjective, Schedule, ShadowConfig},
};
use foreshadow_types::PoolName;

pub(crate) fn config_from_proto(wire: v1::ShadowConfig) -> Result<ShadowConfig, FieldError> {
    let usual = ShadowConfig::default();
    let triggers = wire.triggers.into_iter().enumerate().map(|(index, rule)| {
        trigger_from_proto(rule).map_err(|error| error.inside(format!("triggers[{index}]")))
    });
    Ok(ShadowConfig {
        tick: positive_duration("tick", wire.tick)?.unwrap_or(usual.tick),
        horizon: positive_duration("horizon", wire.horizon)?.unwrap_or(usual.horizon),
        triggers: triggers.collect::<Result<_, _>>()?,
        objectives: objectives(wire.objectives)?,
        schedules: each("schedules", wire.schedules, schedule_from_proto)?,
        follows: each("follows", wire.follows, |one| follow_from_proto(&one))?,
        retrain_every: positive_duration("retrain_every", wire.retrain_every)?,
        retrain_at: match wire.retrain_at.as_str() {
            "" => None,
            text => Some(cron("retrain_at", text)?),
        },
        retrain_on_drift: wire.retrain_on_drift,
    })
}

fn each<W, T>(
    field: &str,
    wire: Vec<W>,
    read: impl Fn(W) -> Result<T, FieldError>,
) -> Result<Vec<T>, FieldError> {
    let read = wire
        .into_iter()
        .enumerate()
        .map(|(index, one)| read(one).map_err(|error| error.inside(format!("{field}[{index}]"))));
    read.collect()
}

fn cron(field: &str, text: &str) -> Result<CronTime, FieldError> {
    text.parse().map_err(|error| FieldError::new(field, error))
}

fn schedule_from_proto(wire: v1::Schedule) -> Result<Schedule, FieldError> {
    let Some(lasts) = positive_duration("lasts", wire.lasts)? else {
        let problem = "is missing; say how long each window lasts, for example \"36000s\"";
        return Err(FieldError::new("lasts", problem));
    };
    Ok(Schedule {
        pool: required_name("pool", &wire.pool, PoolName::new)?,
        starts: cron("starts", &wire.starts)?,
        lasts,
        count: wire.count,
        name: wire.name,
    })
}

fn schedule_to_proto(schedule: &Schedule) -> v1::Schedule {
    v1::Schedule {
        name: schedule.name.clone(),
        pool: schedule.pool.to_string(),
        starts: schedule.starts.to_string(),
        lasts: Some(duration_to_proto(schedule.lasts)),
        count: schedule.count,
    }
}

fn follow_from_proto(wire: &v1::Follow) -> Result<Follow, FieldError> {
    Ok(Follow {
        pool: required_name("pool", &wire.pool, PoolName::new)?,
        after: required_name("after", &wire.after, PoolName::new)?,
        delay: duration_from_proto("delay", wire.delay)?.unwrap_or(Duration::ZERO),
        share: wire.share.unwrap_or(1.0),
    })
}

fn follow_to_proto(follow: &Follow) -> v1::Follow {
    v1::Follow {
        pool: follow.pool.to_string(),
        after: follow.after.to_string(),
        delay: Some(duration_to_proto(follow.delay)),
        share: Some(follow.share),
    }
}

fn aim_from_proto(wire: &v1::Objective) -> Result<Option<Aim>, FieldError> {
    let costs = wire.costs.map(|costs| Costs {
        idle_hour: costs.idle_hour,
        waiting_second: costs.waiting_second,
    });
    Aim::one_of(wire.target_hit_rate, wire.idle_instances, costs)
        .map_err(|error| FieldError::new("target_hit_rate", error))
}

fn objective_from_proto(wire: &v1::Objective) -> Result<PoolObjective, FieldError> {
    Ok(PoolObjective {
        aim: aim_from_proto(wire)?,
        min: wire.min,
        max: wire.max,
        execution: wire.execution.map(|execution| match execution {
            objective::Execution::Live(_) => Execution::Live,
            objective::Execution::Preview(preview) => Execution::Preview { keep: preview.keep },
        }),
    })
}

fn objective_to_proto(pool: &PoolName, objective: &PoolObjective) -> v1::Objective {
    let mut wire = v1::Objective {
        pool: pool.to_string(),
        min: objective.min,
        max: objective.max,
        execution: objective.execution.map(|execution| match execution {
            Execution::Live => objective::Execution::Live(objective::Live {}),
            Execution::Preview { keep } => {
                objective::Execution::Preview(objective::Preview { keep })
            }
        }),
        ..v1::Objective::default()
    };
    match objective.aim {
        None => {}
        Some(Aim::HitRate(rate)) => wire.target_hit_rate = Some(rate),
        Some(Aim::IdleBudget(instances)) => wire.idle_instances = Some(instances),
        Some(Aim::Costs(costs)) => {
            wire.costs = Some(objective::Costs {
                idle_hour: costs.idle_hour,
                waiting_second: costs.waiting_second,
            });
        }
    }
    wire
}

fn objectives(wire: Vec<v1::Objective>) -> Result<BTreeMap<PoolName, PoolObjective>, FieldError> {
    let mut objectives = BTreeMap::new();
    for (index, objective) in wire.into_iter().enumerate() {
        let place = format!("objectives[{index}].pool");
        let pool = required_name(&place, &objective.pool, PoolName::new)?;
        let asked = objective_from_proto(&objective)
            .map_err(|error| error.inside(format!("objectives[{index}]")))?;
        if objectives.insert(pool, asked).is_some() {
            let problem = format!("`{}` is given twice; give each pool once", objective.pool);
            return Err(FieldError::new(place, problem));
        }
    }
    Ok(objectives)
}

pub(crate) fn config_to_proto(versioned: &VersionedShadowConfig) -> v1::ShadowConfig {
    let config = &versioned.config;
    v1::ShadowConfig {
        etag: versioned.etag.clone(),
        tick: Some(duration_to_proto(config.tick)),
        horizon: Some(duration_to_proto(config.horizon)),
        triggers: config.triggers.iter().map(trigger_to_proto).collect(),
        objectives: config
            .objectives
            .iter()
            .map(|(pool, objective)| objective_to_proto(pool, objective))
            .collect(),
        schedules: config.schedules.iter().map(schedule_to_proto).collect(),
        follows: config.follows.iter().map(follow_to_proto).collect(),
        retrain_at: config
            .retrain_at
            .as_ref()
            .map_or_else(String::new, ToString::to_string),
        retrain_every: config.retrain_every.map(duration_to_proto),
        retrain_on_drift: config.retrain_on_drift,
    }
}

pub(crate) fn outcome_to_proto(outcome: ShadowConfigOutcome) -> v1::SetShadowConfigResponse {
    v1::SetShadowConfigResponse {
        config: Some(config_to_proto(&outcome.config)),
        applied: outcome.applied,
        plan: outcome.plan.into_iter().map(plan_to_proto).collect(),
    }
}

fn plan_to_proto(plan: PoolPlanView) -> v1::PoolPlan {
    let reserved = plan.reserved.into_iter();
    v1::PoolPlan {
        pool: plan.pool.to_string(),
        target: plan.target,
        reserved: reserved
            .map(|(entity, count)| (entity.to_string(), count))
            .collect(),
        proposed: plan.proposed,
        reasons: plan.reasons,
    }
}

pub(crate) fn explanation_to_proto(explanation: Explanation) -> v1::Explanation {
    let basis = explanation.basis;
    v1::Explanation {
        pool: explanation.pool.to_string(),
        at: Some(timestamp_to_proto(explanation.at)),
        since: Some(timestamp_to_proto(explanation.since)),
        until: explanation.until.map(timestamp_to_proto),
        target: explanation.target,
        proposed: explanation.proposed,
        mode: basis.mode,
        reasons: basis.reasons,
        ready: basis.ready,
        starting: basis.starting,
        leased: basis.leased,
        queued: basis.queued,
        waits: explanation.waits.into_iter().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objective(pool: &str) -> v1::Objective {
        v1::Objective {
            pool: pool.to_owned(),
            target_hit_rate: Some(0.99),
            ..v1::Objective::default()
        }
    }

    #[test]
    fn a_configuration_reads_back() {
        let config = config_from_proto(v1::ShadowConfig {
            tick: Some(duration_to_proto(Duration::from_secs(5))),
            objectives: vec![v1::Objective {
                execution: Some(objective::Execution::Preview(objective::Preview {
                    keep: 4,
                })),
                ..objective("notebook")
            }],
            schedules: vec![v1::Schedule {
                name: "office".to_owned(),
                pool: "notebook".to_owned(),
                starts: "0 8 * * MON-FRI Europe/Berlin".to_owned(),
                lasts: Some(duration_to_proto(Duration::from_hours(10))),
                count: 5,
            }],
            follows: vec![v1::Follow {
                pool: "test".to_owned(),
                after: "notebook".to_owned(),
                delay: Some(duration_to_proto(Duration::from_mins(4))),
                share: None,
            }],
            retrain_at: "0 3 * * *".to_owned(),
            ..v1::ShadowConfig::default()
        })
        .unwrap();
        assert_eq!(config.follows[0].share, 1.0);
        assert_eq!(config.horizon, ShadowConfig::default().horizon);
        let versioned = VersionedShadowConfig {
            version: 1,
            etag: "1".to_owned(),
            config: config.clone(),
        };
        assert_eq!(config_from_proto(config_to_proto(&versioned)), Ok(config));
    }

    #[test]
    fn two_aims_of_one_pool_are_refused() {
        let error = config_from_proto(v1::ShadowConfig {
            objectives: vec![v1::Objective {
                idle_instances: Some(2.0),
                ..objective("notebook")
            }],
            ..v1::ShadowConfig::default()
        })
        .unwrap_err();
        assert_eq!(error.field, "objectives[0].target_hit_rate");
    }

    #[test]
    fn a_pool_given_twice_is_refused() {
        let error = config_from_proto(v1::ShadowConfig {
            objectives: vec![objective("notebook"), objective("notebook")],
            ..v1::ShadowConfig::default()
        })
        .unwrap_err();
        assert_eq!(error.field, "objectives[1].pool");
    }
}
