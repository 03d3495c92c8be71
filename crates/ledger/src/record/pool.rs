//! Pools and plans on disk.

use std::{sync::Arc, time::Duration};

use foreshadow_allocator::{
    AdoptedPlan, HoldMode, PoolPlan, PoolRecord as Pool, PoolSpec, Recycle, Reservation,
};
use foreshadow_types::{EntityId, InstanceCount, Timestamp};
use serde::{Deserialize, Serialize};

use super::{
    LabelsRecord, ShapeRecord, Wrong, labels, labels_record, pool_name, shape, shape_record, time,
};

#[derive(Serialize, Deserialize, Clone, Copy)]
pub(super) enum RecycleRecord {
    Delete,
    Reset,
    Reuse,
}

#[derive(Serialize, Deserialize, Clone, Copy)]
pub(super) enum HoldModeRecord {
    Run,
    Freeze,
}

#[derive(Serialize, Deserialize)]
pub(super) struct PoolSpecRecord<'a> {
    pub(super) name: &'a str,
    pub(super) revision: u64,
    pub(super) shape: ShapeRecord,
    #[serde(borrow)]
    pub(super) dependencies: Vec<&'a str>,
    #[serde(borrow)]
    pub(super) labels: LabelsRecord<'a>,
    pub(super) min: u32,
    pub(super) max: u32,
    pub(super) recycle: RecycleRecord,
    pub(super) hold: HoldModeRecord,
    pub(super) shares: u32,
    pub(super) startup: Duration,
    pub(super) start_timeout: Duration,
    pub(super) stop_timeout: Duration,
    pub(super) max_age: Option<Duration>,
    pub(super) max_queue: u32,
    pub(super) max_wait: Duration,
    pub(super) lease_duration: Duration,
    pub(super) grace: Duration,
}

/// Times and demand up to them.
pub(super) type CurveRecord = Vec<(i64, u32)>;

#[derive(Serialize, Deserialize)]
pub(super) struct PoolRecord<'a> {
    #[serde(borrow)]
    pub(super) spec: PoolSpecRecord<'a>,
    pub(super) retired: bool,
    pub(super) target: u32,
    #[serde(borrow)]
    pub(super) reservations: Vec<(&'a str, u32)>,
    pub(super) predicted_demand: CurveRecord,
    pub(super) startups_ms: Vec<u32>,
    pub(super) turnover_us: u64,
    pub(super) last_end: Option<i64>,
    pub(super) failed_starts: u64,
    pub(super) failed_starts_in_a_row: u32,
    pub(super) starts_blocked_until: Option<i64>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct PoolPlanRecord<'a> {
    pool: &'a str,
    target: u32,
    #[serde(borrow)]
    reservations: Vec<(&'a str, u32)>,
    predicted_demand: CurveRecord,
}

#[derive(Serialize, Deserialize)]
pub(super) struct PlanRecord<'a> {
    generation: u64,
    #[serde(borrow)]
    pools: Vec<PoolPlanRecord<'a>>,
}

fn entity(name: &str) -> Result<EntityId, Wrong> {
    EntityId::new(name).map_err(|error| error.to_string())
}

impl<'a> From<&'a PoolSpec> for PoolSpecRecord<'a> {
    fn from(spec: &'a PoolSpec) -> Self {
        Self {
            name: spec.name.as_str(),
            revision: spec.revision,
            shape: shape_record(&spec.shape),
            dependencies: spec.dependencies.iter().map(String::as_str).collect(),
            labels: labels_record(&spec.labels),
            min: spec.min.0,
            max: spec.max.0,
            recycle: match spec.recycle {
                Recycle::Delete => RecycleRecord::Delete,
                Recycle::Reset => RecycleRecord::Reset,
                Recycle::Reuse => RecycleRecord::Reuse,
            },
            hold: match spec.hold {
                HoldMode::Run => HoldModeRecord::Run,
                HoldMode::Freeze => HoldModeRecord::Freeze,
            },
            shares: spec.shares,
            startup: spec.startup,
            start_timeout: spec.start_timeout,
            stop_timeout: spec.stop_timeout,
            max_age: spec.max_age,
            max_queue: spec.max_queue,
            max_wait: spec.max_wait,
            lease_duration: spec.lease_duration,
            grace: spec.grace,
        }
    }
}

impl TryFrom<PoolSpecRecord<'_>> for PoolSpec {
    type Error = Wrong;

    fn try_from(record: PoolSpecRecord<'_>) -> Result<Self, Wrong> {
        Ok(Self {
            name: pool_name(record.name)?,
            revision: record.revision,
            shape: shape(record.shape),
            dependencies: record.dependencies.into_iter().map(str::to_owned).collect(),
            labels: labels(record.labels),
            min: InstanceCount(record.min),
            max: InstanceCount(record.max),
            recycle: match record.recycle {
                RecycleRecord::Delete => Recycle::Delete,
                RecycleRecord::Reset => Recycle::Reset,
                RecycleRecord::Reuse => Recycle::Reuse,
            },
            hold: match record.hold {
                HoldModeRecord::Run => HoldMode::Run,
                HoldModeRecord::Freeze => HoldMode::Freeze,
            },
            shares: record.shares,
            startup: record.startup,
            start_timeout: record.start_timeout,
            stop_timeout: record.stop_timeout,
            max_age: record.max_age,
            max_queue: record.max_queue,
            max_wait: record.max_wait,
            lease_duration: record.lease_duration,
            grace: record.grace,
        })
    }
}

impl<'a> From<&'a Pool> for PoolRecord<'a> {
    fn from(pool: &'a Pool) -> Self {
        let reservations = pool.reservations.iter();
        Self {
            spec: (&*pool.spec).into(),
            retired: pool.retired,
            target: pool.target,
            reservations: reservations
                .map(|(entity, &n)| (entity.as_str(), n))
                .collect(),
            predicted_demand: curve_record(&pool.predicted_demand),
            startups_ms: pool.startups_ms.clone(),
            turnover_us: pool.turnover_us,
            last_end: pool.last_end.map(Timestamp::as_millis),
            failed_starts: pool.failed_starts,
            failed_starts_in_a_row: pool.failed_starts_in_a_row,
            starts_blocked_until: pool.starts_blocked_until.map(Timestamp::as_millis),
        }
    }
}

impl TryFrom<PoolRecord<'_>> for Pool {
    type Error = Wrong;

    fn try_from(record: PoolRecord<'_>) -> Result<Self, Wrong> {
        let reservations = record.reservations.into_iter();
        Ok(Self {
            spec: Arc::new(record.spec.try_into()?),
            retired: record.retired,
            target: record.target,
            reservations: reservations
                .map(|(name, count)| Ok((entity(name)?, count)))
                .collect::<Result<_, Wrong>>()?,
            predicted_demand: curve(&record.predicted_demand),
            startups_ms: record.startups_ms,
            turnover_us: record.turnover_us,
            last_end: record.last_end.map(time),
            failed_starts: record.failed_starts,
            failed_starts_in_a_row: record.failed_starts_in_a_row,
            starts_blocked_until: record.starts_blocked_until.map(time),
        })
    }
}

fn curve_record(curve: &[(Timestamp, u32)]) -> CurveRecord {
    curve
        .iter()
        .map(|&(at, demand)| (at.as_millis(), demand))
        .collect()
}

fn curve(record: &CurveRecord) -> Vec<(Timestamp, u32)> {
    record
        .iter()
        .map(|&(at, demand)| (time(at), demand))
        .collect()
}

impl<'a> From<&'a AdoptedPlan> for PlanRecord<'a> {
    fn from(plan: &'a AdoptedPlan) -> Self {
        Self {
            generation: plan.generation,
            pools: plan.pools.iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<PlanRecord<'_>> for AdoptedPlan {
    type Error = Wrong;

    fn try_from(record: PlanRecord<'_>) -> Result<Self, Wrong> {
        let pools = record.pools.into_iter().map(TryInto::try_into);
        Ok(Self {
            generation: record.generation,
            pools: pools.collect::<Result<_, Wrong>>()?,
        })
    }
}

impl<'a> From<&'a PoolPlan> for PoolPlanRecord<'a> {
    fn from(plan: &'a PoolPlan) -> Self {
        let reservations = plan.reservations.iter();
        Self {
            pool: plan.pool.as_str(),
            target: plan.target.0,
            reservations: reservations
                .map(|r| (r.entity.as_str(), r.count.0))
                .collect(),
            predicted_demand: curve_record(&plan.predicted_demand),
        }
    }
}

impl TryFrom<PoolPlanRecord<'_>> for PoolPlan {
    type Error = Wrong;

    fn try_from(record: PoolPlanRecord<'_>) -> Result<Self, Wrong> {
        let reservations = record.reservations.into_iter().map(|(name, count)| {
            Ok(Reservation {
                entity: entity(name)?,
                count: InstanceCount(count),
            })
        });
        Ok(Self {
            pool: pool_name(record.pool)?,
            target: InstanceCount(record.target),
            reservations: reservations.collect::<Result<_, Wrong>>()?,
            predicted_demand: curve(&record.predicted_demand),
        })
    }
}
