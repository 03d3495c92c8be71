//! Events on disk. The order of the variants is the format: new ones go to the end.

use std::sync::Arc;

use foreshadow_allocator::{
    Counters, Event, EventKind, RequestRate, StopCause, TenantQuota, WarmQuota,
};
use foreshadow_types::{AllocationId, EntityId, InstanceId, TenantId, Timestamp};
use serde::{Deserialize, Serialize};

use super::{
    Wrong,
    allocation::{AllocationRecord, BindingRecord, StateRecord},
    instance::InstanceRecord,
    pool::{PlanRecord, PoolRecord, PoolSpecRecord},
    pool_name, time,
};

#[derive(Serialize, Deserialize)]
pub(crate) struct EventRecord<'a> {
    pub(super) at: i64,
    #[serde(borrow)]
    pub(super) kind: KindRecord<'a>,
}

#[derive(Serialize, Deserialize, Clone, Copy)]
pub(super) enum CauseRecord {
    Surplus,
    Used,
    Failed,
    Replaced,
}

#[derive(Serialize, Deserialize)]
pub(super) enum KindRecord<'a> {
    #[serde(borrow)]
    PoolDefined(PoolSpecRecord<'a>),
    PoolRetired(&'a str),
    PoolRemoved(&'a str),
    TenantLimited {
        tenant: &'a str,
        live: Option<u32>,
        /// Requests a second and at once.
        rate: Option<(u32, u32)>,
    },
    #[serde(borrow)]
    PlanAdopted(PlanRecord<'a>),
    ReservationTaken {
        pool: &'a str,
        entity: &'a str,
    },
    StartsBlocked {
        pool: &'a str,
        until: Option<i64>,
    },
    InstanceStarted {
        instance: u64,
        pool: &'a str,
        deadline: i64,
    },
    InstanceReady {
        instance: u64,
        address: Option<&'a str>,
    },
    InstanceResetting {
        instance: u64,
        deadline: i64,
    },
    InstanceDraining {
        instance: u64,
    },
    InstanceStopping {
        instance: u64,
        cause: CauseRecord,
        retry_at: i64,
    },
    InstanceGone {
        instance: u64,
    },
    #[serde(borrow)]
    AllocationCreated(AllocationRecord<'a>),
    AllocationBound {
        id: u64,
        binding: BindingRecord,
    },
    LeaseRenewed {
        id: u64,
        expires_at: i64,
    },
    AllocationEnded {
        id: u64,
        state: StateRecord,
    },
    CountersRestored {
        instance: u64,
        allocation: u64,
        token: u64,
        plan: u64,
    },
    #[serde(borrow)]
    PoolRestored(PoolRecord<'a>),
    #[serde(borrow)]
    InstanceRestored(InstanceRecord<'a>),
    #[serde(borrow)]
    AllocationRestored(AllocationRecord<'a>),
    /// As `TenantLimited`, of a tenant with floors or caps.
    TenantWarm {
        tenant: &'a str,
        live: Option<u32>,
        rate: Option<(u32, u32)>,
        #[serde(borrow)]
        warm: Vec<WarmRecord<'a>>,
    },
    InstanceGiven {
        instance: u64,
        address: &'a str,
    },
}

/// Pool, floor and cap.
type WarmRecord<'a> = (&'a str, u32, Option<u32>);

impl<'a> From<&'a Event> for EventRecord<'a> {
    fn from(event: &'a Event) -> Self {
        Self {
            at: event.at.as_millis(),
            kind: (&event.kind).into(),
        }
    }
}

impl TryFrom<EventRecord<'_>> for Event {
    type Error = Wrong;

    fn try_from(record: EventRecord<'_>) -> Result<Self, Wrong> {
        Ok(Self {
            at: time(record.at),
            kind: record.kind.try_into()?,
        })
    }
}

impl From<StopCause> for CauseRecord {
    fn from(cause: StopCause) -> Self {
        match cause {
            StopCause::Surplus => Self::Surplus,
            StopCause::Used => Self::Used,
            StopCause::Failed => Self::Failed,
            StopCause::Replaced => Self::Replaced,
        }
    }
}

impl From<CauseRecord> for StopCause {
    fn from(record: CauseRecord) -> Self {
        match record {
            CauseRecord::Surplus => Self::Surplus,
            CauseRecord::Used => Self::Used,
            CauseRecord::Failed => Self::Failed,
            CauseRecord::Replaced => Self::Replaced,
        }
    }
}

fn quota_record<'a>(tenant: &'a TenantId, quota: &'a TenantQuota) -> KindRecord<'a> {
    let (tenant, live) = (tenant.as_str(), quota.live);
    let rate = quota.rate.map(|rate| (rate.per_second, rate.burst));
    if quota.warm.is_empty() {
        return KindRecord::TenantLimited { tenant, live, rate };
    }
    let warm = quota.warm.iter();
    let warm = warm.map(|(pool, warm)| (pool.as_str(), warm.floor, warm.cap));
    KindRecord::TenantWarm {
        tenant,
        live,
        rate,
        warm: warm.collect(),
    }
}

fn quota(
    live: Option<u32>,
    rate: Option<(u32, u32)>,
    warm: Vec<WarmRecord<'_>>,
) -> Result<TenantQuota, Wrong> {
    let warm = warm.into_iter();
    let warm = warm.map(|(pool, floor, cap)| Ok((pool_name(pool)?, WarmQuota { floor, cap })));
    Ok(TenantQuota {
        live,
        rate: rate.map(|(per_second, burst)| RequestRate { per_second, burst }),
        warm: warm.collect::<Result<_, Wrong>>()?,
    })
}

impl<'a> From<&'a EventKind> for KindRecord<'a> {
    fn from(kind: &'a EventKind) -> Self {
        match kind {
            EventKind::PoolDefined(spec) => Self::PoolDefined((&**spec).into()),
            EventKind::PoolRetired(name) => Self::PoolRetired(name.as_str()),
            EventKind::PoolRemoved(name) => Self::PoolRemoved(name.as_str()),
            EventKind::TenantLimited { tenant, quota } => quota_record(tenant, quota),
            EventKind::PlanAdopted(plan) => Self::PlanAdopted((&**plan).into()),
            EventKind::ReservationTaken { pool, entity } => Self::ReservationTaken {
                pool: pool.as_str(),
                entity: entity.as_str(),
            },
            EventKind::StartsBlocked { pool, until } => {
                let until = until.map(Timestamp::as_millis);
                Self::StartsBlocked {
                    pool: pool.as_str(),
                    until,
                }
            }
            EventKind::InstanceStarted {
                instance,
                pool,
                deadline,
            } => Self::InstanceStarted {
                instance: instance.0,
                pool: pool.as_str(),
                deadline: deadline.as_millis(),
            },
            EventKind::InstanceReady { instance, address } => Self::InstanceReady {
                instance: instance.0,
                address: address.as_deref(),
            },
            EventKind::InstanceGiven { instance, address } => Self::InstanceGiven {
                instance: instance.0,
                address,
            },
            EventKind::InstanceResetting { instance, deadline } => Self::InstanceResetting {
                instance: instance.0,
                deadline: deadline.as_millis(),
            },
            EventKind::InstanceDraining { instance } => Self::InstanceDraining {
                instance: instance.0,
            },
            EventKind::InstanceStopping {
                instance,
                cause,
                retry_at,
            } => Self::InstanceStopping {
                instance: instance.0,
                cause: (*cause).into(),
                retry_at: retry_at.as_millis(),
            },
            EventKind::InstanceGone { instance } => Self::InstanceGone {
                instance: instance.0,
            },
            EventKind::AllocationCreated(record) => Self::AllocationCreated((&**record).into()),
            EventKind::AllocationBound { id, binding } => Self::AllocationBound {
                id: id.0,
                binding: (*binding).into(),
            },
            EventKind::LeaseRenewed { id, expires_at } => Self::LeaseRenewed {
                id: id.0,
                expires_at: expires_at.as_millis(),
            },
            EventKind::AllocationEnded { id, state } => Self::AllocationEnded {
                id: id.0,
                state: (*state).into(),
            },
            EventKind::CountersRestored(counters) => Self::CountersRestored {
                instance: counters.next_instance,
                allocation: counters.next_allocation,
                token: counters.next_token,
                plan: counters.plan_generation,
            },
            EventKind::PoolRestored(record) => Self::PoolRestored((&**record).into()),
            EventKind::InstanceRestored(record) => Self::InstanceRestored((&**record).into()),
            EventKind::AllocationRestored(record) => Self::AllocationRestored((&**record).into()),
        }
    }
}

impl TryFrom<KindRecord<'_>> for EventKind {
    type Error = Wrong;

    fn try_from(record: KindRecord<'_>) -> Result<Self, Wrong> {
        let text = |error: foreshadow_types::IdError| error.to_string();
        Ok(match record {
            KindRecord::PoolDefined(spec) => Self::PoolDefined(Arc::new(spec.try_into()?)),
            KindRecord::PoolRetired(name) => Self::PoolRetired(pool_name(name)?),
            KindRecord::PoolRemoved(name) => Self::PoolRemoved(pool_name(name)?),
            KindRecord::TenantLimited { tenant, live, rate } => Self::TenantLimited {
                tenant: TenantId::new(tenant).map_err(text)?,
                quota: quota(live, rate, Vec::new())?,
            },
            KindRecord::TenantWarm {
                tenant,
                live,
                rate,
                warm,
            } => Self::TenantLimited {
                tenant: TenantId::new(tenant).map_err(text)?,
                quota: quota(live, rate, warm)?,
            },
            KindRecord::PlanAdopted(plan) => Self::PlanAdopted(Arc::new(plan.try_into()?)),
            KindRecord::ReservationTaken { pool, entity } => Self::ReservationTaken {
                pool: pool_name(pool)?,
                entity: EntityId::new(entity).map_err(text)?,
            },
            KindRecord::StartsBlocked { pool, until } => Self::StartsBlocked {
                pool: pool_name(pool)?,
                until: until.map(time),
            },
            KindRecord::InstanceStarted {
                instance,
                pool,
                deadline,
            } => Self::InstanceStarted {
                instance: InstanceId(instance),
                pool: pool_name(pool)?,
                deadline: time(deadline),
            },
            KindRecord::InstanceReady { instance, address } => Self::InstanceReady {
                instance: InstanceId(instance),
                address: address.map(Arc::from),
            },
            KindRecord::InstanceGiven { instance, address } => Self::InstanceGiven {
                instance: InstanceId(instance),
                address: Arc::from(address),
            },
            KindRecord::InstanceResetting { instance, deadline } => Self::InstanceResetting {
                instance: InstanceId(instance),
                deadline: time(deadline),
            },
            KindRecord::InstanceDraining { instance } => Self::InstanceDraining {
                instance: InstanceId(instance),
            },
            KindRecord::InstanceStopping {
                instance,
                cause,
                retry_at,
            } => Self::InstanceStopping {
                instance: InstanceId(instance),
                cause: cause.into(),
                retry_at: time(retry_at),
            },
            KindRecord::InstanceGone { instance } => Self::InstanceGone {
                instance: InstanceId(instance),
            },
            KindRecord::AllocationCreated(record) => {
                Self::AllocationCreated(Box::new(record.try_into()?))
            }
            KindRecord::AllocationBound { id, binding } => Self::AllocationBound {
                id: AllocationId(id),
                binding: binding.into(),
            },
            KindRecord::LeaseRenewed { id, expires_at } => Self::LeaseRenewed {
                id: AllocationId(id),
                expires_at: time(expires_at),
            },
            KindRecord::AllocationEnded { id, state } => Self::AllocationEnded {
                id: AllocationId(id),
                state: state.into(),
            },
            KindRecord::CountersRestored {
                instance,
                allocation,
                token,
                plan,
            } => Self::CountersRestored(Counters {
                next_instance: instance,
                next_allocation: allocation,
                next_token: token,
                plan_generation: plan,
            }),
            KindRecord::PoolRestored(record) => Self::PoolRestored(Box::new(record.try_into()?)),
            KindRecord::InstanceRestored(record) => {
                Self::InstanceRestored(Box::new(record.try_into()?))
            }
            KindRecord::AllocationRestored(record) => {
                Self::AllocationRestored(Box::new(record.try_into()?))
            }
        })
    }
}
