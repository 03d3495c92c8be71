//! Trigger rules of the shadow configuration.

use std::time::Duration;

use foreshadow_planner::{RuleSubject, TriggerRule};
use foreshadow_types::{EntityId, PoolName};

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
        subject: subject(wire.subject)?,
        metric: wire.metric,
        quantile: wire.quantile,
        threshold: wire.threshold,
        release_below: wire.release_below.unwrap_or(wire.threshold),
        within,
        pool: required_name("pool", &wire.pool, PoolName::new)?,
        count: wire.count,
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

/// A rule for the wire.
pub fn trigger_to_proto(rule: &TriggerRule) -> v1::TriggerRule {
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
        count: rule.count,
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
