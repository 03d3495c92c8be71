//! The shadow configuration.

use std::collections::BTreeMap;

use foreshadow_api::{
    FieldError, duration_to_proto, positive_duration, required_name, trigger_from_proto,
    trigger_to_proto, v1,
};
use foreshadow_engine::{
    PoolPlanView, ShadowConfigOutcome, VersionedShadowConfig,
    config::{PoolObjective, ShadowConfig},
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
        retrain_every: positive_duration("retrain_every", wire.retrain_every)?,
        retrain_on_drift: wire.retrain_on_drift,
    })
}

fn objectives(wire: Vec<v1::Objective>) -> Result<BTreeMap<PoolName, PoolObjective>, FieldError> {
    let mut objectives = BTreeMap::new();
    for (index, objective) in wire.into_iter().enumerate() {
        let place = format!("objectives[{index}].pool");
        let pool = required_name(&place, &objective.pool, PoolName::new)?;
        let asked = PoolObjective {
            target_hit_rate: objective.target_hit_rate,
            min: objective.min,
            max: objective.max,
        };
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
            .map(|(pool, objective)| v1::Objective {
                pool: pool.to_string(),
                target_hit_rate: objective.target_hit_rate,
                min: objective.min,
                max: objective.max,
            })
            .collect(),
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
        reasons: plan.reasons,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

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
            objectives: vec![objective("notebook")],
            ..v1::ShadowConfig::default()
        })
        .unwrap();
        assert_eq!(config.horizon, ShadowConfig::default().horizon);
        let versioned = VersionedShadowConfig {
            version: 1,
            etag: "1".to_owned(),
            config: config.clone(),
        };
        assert_eq!(config_from_proto(config_to_proto(&versioned)), Ok(config));
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
