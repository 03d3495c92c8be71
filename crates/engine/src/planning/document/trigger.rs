//! Trigger rules as records.

use std::time::Duration;

use foreshadow_planner::{RuleSubject, TriggerRule, Wanted};
use foreshadow_types::{Bytes, Shape, Vcpus};
use serde::{Deserialize, Serialize};

use super::{Unreadable, entity, millis, pool};

/// A rule.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct TriggerRecord {
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
    amount: Option<ShapeRecord>,
    keep_ms: u64,
}

/// What is wanted, or what an instance offers.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ShapeRecord {
    gpus: u32,
    cpu_thousandths: u64,
    memory_bytes: u64,
    storage_iops: u64,
    network_mbps: u64,
}

pub(crate) fn trigger_record(rule: &TriggerRule) -> TriggerRecord {
    let (entity, category) = match &rule.subject {
        RuleSubject::Entity(entity) => (Some(entity.as_str().to_owned()), None),
        RuleSubject::Category(category) => (None, Some(category.clone())),
        RuleSubject::Any => (None, None),
    };
    let (count, amount) = match rule.wanted {
        Wanted::Instances(count) => (count, None),
        Wanted::Amount(shape) => (0, Some(ShapeRecord::from(&shape))),
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

impl From<&Shape> for ShapeRecord {
    fn from(shape: &Shape) -> Self {
        Self {
            gpus: shape.gpus,
            cpu_thousandths: shape.vcpus.thousandths(),
            memory_bytes: shape.memory.0,
            storage_iops: shape.storage_iops,
            network_mbps: shape.network_mbps,
        }
    }
}

impl ShapeRecord {
    pub(crate) fn read(&self) -> Shape {
        Shape {
            gpus: self.gpus,
            vcpus: Vcpus::from_thousandths(self.cpu_thousandths),
            memory: Bytes(self.memory_bytes),
            storage_iops: self.storage_iops,
            network_mbps: self.network_mbps,
        }
    }
}

pub(crate) fn read_trigger(record: TriggerRecord) -> Result<TriggerRule, Unreadable> {
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
            Some(amount) => Wanted::Amount(amount.read()),
            None => Wanted::Instances(record.count),
        },
        keep: Duration::from_millis(record.keep_ms),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_reads_back() {
        let amount = Shape {
            gpus: 1,
            memory: Bytes(5),
            ..Shape::default()
        };
        assert_eq!(ShapeRecord::from(&amount).read(), amount);
    }
}
