//! Trigger rules of the shadow configuration.

use std::time::Duration;

use foreshadow_planner::{RuleSubject, TriggerRule, Wanted};
use foreshadow_types::{Bytes, EntityId, PoolName, Shape, Vcpus};

use crate::{
    FieldError, duration_from_proto, duration_to_proto, required_name,
    v1::{self, trigger_rule},
};

/// A rule of the wire. What needs more than the rule itself (names that are unique, pools that there
/// are) is checked when the configuration is.
///
/// # Errors
/// [`FieldError`] for a name or duration that is not as it must be.
pub fn trigger_from_proto(wire: v1::TriggerRule) -> Result<TriggerRule, FieldError> {
    if wire.name.is_empty() {
        let problem = "is empty; give each rule a name of its own";
        return Err(FieldError::new("name", problem));
    }
    let Some(within) = duration_from_proto("within", wire.within)? else {
        let problem = "is missing; say how far ahead the rule looks, for example \"300s\"";
        return Err(FieldError::new("within", problem));
    };
    Ok(TriggerRule {
        name: wire.name,
        wanted: wanted(wire.count, wire.amount)?,
        subject: subject(wire.subject)?,
        metric: wire.metric,
        quantile: wire.quantile,
        threshold: wire.threshold,
        release_below: wire.release_below.unwrap_or(wire.threshold),
        within,
        pool: required_name("pool", &wire.pool, PoolName::new)?,
        keep: duration_from_proto("keep", wire.keep)?.unwrap_or(Duration::ZERO),
    })
}

fn subject(wire: Option<trigger_rule::Subject>) -> Result<RuleSubject, FieldError> {
    Ok(match wire {
        Some(trigger_rule::Subject::EntityId(entity)) => {
            RuleSubject::Entity(required_name("entity_id", &entity, EntityId::new)?)
        }
        Some(trigger_rule::Subject::CategoryId(category)) => RuleSubject::Category(category),
        None => RuleSubject::Any,
    })
}

fn wanted(count: u32, amount: Option<trigger_rule::Amount>) -> Result<Wanted, FieldError> {
    let Some(amount) = amount else {
        return Ok(Wanted::Instances(count));
    };
    if count > 0 {
        let problem = "is given beside `count`; give one of them";
        return Err(FieldError::new("amount", problem));
    }
    let vcpus = Vcpus::new(amount.vcpus)
        .map_err(|error| FieldError::new("amount.vcpus", error.to_string()))?;
    Ok(Wanted::Amount(Shape {
        gpus: amount.gpus,
        vcpus,
        memory: Bytes(amount.memory_bytes),
        storage_iops: amount.storage_iops,
        network_mbps: amount.network_mbps,
    }))
}

fn amount(shape: &Shape) -> trigger_rule::Amount {
    trigger_rule::Amount {
        gpus: shape.gpus,
        vcpus: shape.vcpus.as_f64(),
        memory_bytes: shape.memory.0,
        storage_iops: shape.storage_iops,
        network_mbps: shape.network_mbps,
    }
}

/// A rule for the wire.
pub fn trigger_to_proto(rule: &TriggerRule) -> v1::TriggerRule {
    let (count, amount) = match &rule.wanted {
        Wanted::Instances(count) => (*count, None),
        Wanted::Amount(shape) => (0, Some(amount(shape))),
    };
    v1::TriggerRule {
        name: rule.name.clone(),
        subject: match &rule.subject {
            RuleSubject::Entity(entity) => {
                Some(trigger_rule::Subject::EntityId(entity.to_string()))
            }
            RuleSubject::Category(category) => {
                Some(trigger_rule::Subject::CategoryId(category.clone()))
            }
            RuleSubject::Any => None,
        },
        metric: rule.metric.clone(),
        quantile: rule.quantile,
        threshold: rule.threshold,
        release_below: Some(rule.release_below),
        within: Some(duration_to_proto(rule.within)),
        pool: rule.pool.to_string(),
        count,
        amount,
        keep: Some(duration_to_proto(rule.keep)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire() -> v1::TriggerRule {
        v1::TriggerRule {
            name: "busy".to_owned(),
            metric: "cpu_usage_pct".to_owned(),
            quantile: 0.9,
            threshold: 80.0,
            within: Some(duration_to_proto(Duration::from_mins(5))),
            pool: "notebook".to_owned(),
            count: 2,
            ..v1::TriggerRule::default()
        }
    }

    #[test]
    fn a_rule_reads_back() {
        let rule = trigger_from_proto(wire()).unwrap();
        assert_eq!(rule.release_below, 80.0);
        assert_eq!(trigger_from_proto(trigger_to_proto(&rule)), Ok(rule));
    }

    #[test]
    fn an_amount_reads_back_and_stands_in_the_place_of_a_count() {
        let mut two_cpus = wire();
        two_cpus.amount = Some(trigger_rule::Amount {
            vcpus: 2.0,
            ..trigger_rule::Amount::default()
        });
        let error = trigger_from_proto(two_cpus.clone()).unwrap_err();
        assert_eq!(error.field, "amount");
        two_cpus.count = 0;
        let rule = trigger_from_proto(two_cpus).unwrap();
        assert_eq!(trigger_from_proto(trigger_to_proto(&rule)), Ok(rule));
    }

    #[test]
    fn what_is_missing_is_named() {
        let missing_within = v1::TriggerRule {
            within: None,
            ..wire()
        };
        assert_eq!(
            trigger_from_proto(missing_within).unwrap_err().field,
            "within"
        );
        let missing_pool = v1::TriggerRule {
            pool: String::new(),
            ..wire()
        };
        assert_eq!(trigger_from_proto(missing_pool).unwrap_err().field, "pool");
    }
}
