//! Events as format 1 had them: shapes of two numbers, quotas without a rate, requirements without
//! preferences, allocations without a rank. All else lies as it does today, in the same order.

use std::time::Duration;

use serde::Deserialize;

use super::{
    LabelsRecord, ShapeRecord,
    allocation::{AllocationRecord, BindingRecord, RequestRecord, ServedRecord, TargetRecord},
    event::{EventRecord, KindRecord},
    pool::{CurveRecord, HoldModeRecord, PoolRecord, PoolSpecRecord, RecycleRecord},
};

/// The variants of an event's kind that lie otherwise, and the last that format 1 had.
const POOL_DEFINED: u32 = 0;
const TENANT_LIMITED: u32 = 3;
const ALLOCATION_CREATED: u32 = 13;
const POOL_RESTORED: u32 = 18;
const ALLOCATION_RESTORED: u32 = 20;

/// Takes an event of format 1 from the front, as a record of today.
pub(crate) fn take(bytes: &[u8]) -> postcard::Result<(EventRecord<'_>, &[u8])> {
    let ((at, variant), content) = postcard::take_from_bytes::<(i64, u32)>(bytes)?;
    let (kind, rest) = match variant {
        POOL_DEFINED => {
            let (spec, rest) = postcard::take_from_bytes::<PoolSpec<'_>>(content)?;
            (KindRecord::PoolDefined(spec.into()), rest)
        }
        TENANT_LIMITED => {
            let ((tenant, live), rest) = postcard::take_from_bytes(content)?;
            let rate = None;
            (KindRecord::TenantLimited { tenant, live, rate }, rest)
        }
        ALLOCATION_CREATED => {
            let (allocation, rest) = postcard::take_from_bytes::<Allocation<'_>>(content)?;
            (KindRecord::AllocationCreated(allocation.into()), rest)
        }
        POOL_RESTORED => {
            let (pool, rest) = postcard::take_from_bytes::<Pool<'_>>(content)?;
            (KindRecord::PoolRestored(pool.into()), rest)
        }
        ALLOCATION_RESTORED => {
            let (allocation, rest) = postcard::take_from_bytes::<Allocation<'_>>(content)?;
            (KindRecord::AllocationRestored(allocation.into()), rest)
        }
        other if other < ALLOCATION_RESTORED => return postcard::take_from_bytes(bytes),
        _ => return Err(postcard::Error::DeserializeBadEnum),
    };
    Ok((EventRecord { at, kind }, rest))
}

/// Thousandths of a CPU and bytes.
type Shape = (u64, u64);

fn shape((vcpus, memory): Shape) -> ShapeRecord {
    (0, vcpus, memory, 0, 0)
}

#[derive(Deserialize)]
struct PoolSpec<'a> {
    name: &'a str,
    revision: u64,
    shape: Shape,
    #[serde(borrow)]
    dependencies: Vec<&'a str>,
    #[serde(borrow)]
    labels: LabelsRecord<'a>,
    min: u32,
    max: u32,
    recycle: RecycleRecord,
    hold: HoldModeRecord,
    shares: u32,
    startup: Duration,
    start_timeout: Duration,
    stop_timeout: Duration,
    max_age: Option<Duration>,
    max_queue: u32,
    max_wait: Duration,
    lease_duration: Duration,
    grace: Duration,
}

impl<'a> From<PoolSpec<'a>> for PoolSpecRecord<'a> {
    fn from(spec: PoolSpec<'a>) -> Self {
        Self {
            name: spec.name,
            revision: spec.revision,
            shape: shape(spec.shape),
            dependencies: spec.dependencies,
            labels: spec.labels,
            min: spec.min,
            max: spec.max,
            recycle: spec.recycle,
            hold: spec.hold,
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

#[derive(Deserialize)]
struct Pool<'a> {
    #[serde(borrow)]
    spec: PoolSpec<'a>,
    retired: bool,
    target: u32,
    #[serde(borrow)]
    reservations: Vec<(&'a str, u32)>,
    predicted_demand: CurveRecord,
    startups_ms: Vec<u32>,
    turnover_us: u64,
    last_end: Option<i64>,
    failed_starts: u64,
    failed_starts_in_a_row: u32,
    starts_blocked_until: Option<i64>,
}

impl<'a> From<Pool<'a>> for PoolRecord<'a> {
    fn from(pool: Pool<'a>) -> Self {
        Self {
            spec: pool.spec.into(),
            retired: pool.retired,
            target: pool.target,
            reservations: pool.reservations,
            predicted_demand: pool.predicted_demand,
            startups_ms: pool.startups_ms,
            turnover_us: pool.turnover_us,
            last_end: pool.last_end,
            failed_starts: pool.failed_starts,
            failed_starts_in_a_row: pool.failed_starts_in_a_row,
            starts_blocked_until: pool.starts_blocked_until,
        }
    }
}

#[derive(Deserialize)]
enum Target<'a> {
    Pool(&'a str),
    Requirements {
        shape: Shape,
        #[serde(borrow)]
        dependencies: Vec<&'a str>,
        #[serde(borrow)]
        labels: LabelsRecord<'a>,
    },
}

impl<'a> From<Target<'a>> for TargetRecord<'a> {
    fn from(target: Target<'a>) -> Self {
        match target {
            Target::Pool(name) => Self::Pool(name),
            Target::Requirements {
                shape: asked,
                dependencies,
                labels,
            } => Self::Requirements {
                shape: shape(asked),
                dependencies,
                labels,
                preferences: Vec::new(),
            },
        }
    }
}

#[derive(Deserialize)]
struct Request<'a> {
    tenant: &'a str,
    #[serde(borrow)]
    target: Target<'a>,
    user: Option<&'a str>,
    application: Option<&'a str>,
    priority: i32,
    availability_time: Option<i64>,
    max_wait: Option<Duration>,
    lease_duration: Option<Duration>,
    merge_key: Option<&'a str>,
    idempotency_key: Option<&'a str>,
}

impl<'a> From<Request<'a>> for RequestRecord<'a> {
    fn from(request: Request<'a>) -> Self {
        Self {
            tenant: request.tenant,
            target: request.target.into(),
            user: request.user,
            application: request.application,
            priority: request.priority,
            availability_time: request.availability_time,
            max_wait: request.max_wait,
            lease_duration: request.lease_duration,
            merge_key: request.merge_key,
            idempotency_key: request.idempotency_key,
        }
    }
}

#[derive(Deserialize)]
struct Allocation<'a> {
    id: u64,
    #[serde(borrow)]
    request: Request<'a>,
    pool: &'a str,
    created_at: i64,
    served: ServedRecord,
    merged: bool,
    binding: BindingRecord,
}

impl<'a> From<Allocation<'a>> for AllocationRecord<'a> {
    fn from(allocation: Allocation<'a>) -> Self {
        Self {
            id: allocation.id,
            pool: allocation.pool,
            // What a request ranks by was its priority alone.
            rank: allocation.request.priority,
            request: allocation.request.into(),
            created_at: allocation.created_at,
            served: allocation.served,
            merged: allocation.merged,
            binding: allocation.binding,
        }
    }
}
