//! Requests and allocations on disk.

use std::{sync::Arc, time::Duration};

use foreshadow_allocator::{
    AllocationRecord as Allocation, AllocationRequest, AllocationState, Binding, Hold, Served,
    Target,
};
use foreshadow_types::{
    AllocationId, ApplicationId, FencingToken, IdError, InstanceId, Requirements, TenantId,
    Timestamp, UserId,
};
use serde::{Deserialize, Serialize};

use super::{
    LabelsRecord, ShapeRecord, Wrong, labels, labels_record, pool_name, shape, shape_record, time,
};

#[derive(Serialize, Deserialize)]
pub(super) enum TargetRecord<'a> {
    Pool(&'a str),
    Requirements {
        shape: ShapeRecord,
        #[serde(borrow)]
        dependencies: Vec<&'a str>,
        #[serde(borrow)]
        labels: LabelsRecord<'a>,
        #[serde(borrow)]
        preferences: Vec<LabelsRecord<'a>>,
    },
}

#[derive(Serialize, Deserialize)]
pub(super) struct RequestRecord<'a> {
    pub(super) tenant: &'a str,
    #[serde(borrow)]
    pub(super) target: TargetRecord<'a>,
    pub(super) user: Option<&'a str>,
    pub(super) application: Option<&'a str>,
    pub(super) priority: i32,
    pub(super) availability_time: Option<i64>,
    pub(super) max_wait: Option<Duration>,
    pub(super) lease_duration: Option<Duration>,
    pub(super) merge_key: Option<&'a str>,
    pub(super) idempotency_key: Option<&'a str>,
}

#[derive(Serialize, Deserialize, Clone, Copy)]
pub(super) enum StateRecord {
    Queued,
    Booked,
    Joined,
    Granted,
    Released,
    Expired,
    Cancelled,
    Rejected,
    Lost,
}

#[derive(Serialize, Deserialize, Clone, Copy)]
pub(super) enum ServedRecord {
    Ready,
    Merged,
    Starting,
    Started,
    Nothing,
}

/// Instance and token.
type HoldRecord = (u64, u64);

#[derive(Serialize, Deserialize, Clone, Copy)]
pub(super) enum BindingRecord {
    Queued {
        round: u64,
        until: i64,
    },
    Booked {
        firm: bool,
        prepare_at: i64,
        promised: Option<HoldRecord>,
    },
    Joined {
        hold: HoldRecord,
        until: i64,
    },
    Granted {
        hold: HoldRecord,
        expires_at: i64,
    },
    Ended {
        state: StateRecord,
        at: i64,
        hold: Option<HoldRecord>,
    },
}

#[derive(Serialize, Deserialize)]
pub(super) struct AllocationRecord<'a> {
    pub(super) id: u64,
    #[serde(borrow)]
    pub(super) request: RequestRecord<'a>,
    pub(super) pool: &'a str,
    pub(super) rank: i32,
    pub(super) created_at: i64,
    pub(super) served: ServedRecord,
    pub(super) merged: bool,
    pub(super) binding: BindingRecord,
}

impl<'a> From<&'a AllocationRequest> for RequestRecord<'a> {
    fn from(request: &'a AllocationRequest) -> Self {
        Self {
            tenant: request.tenant().as_str(),
            target: request.target().into(),
            user: request.user().map(UserId::as_str),
            application: request.application().map(ApplicationId::as_str),
            priority: request.priority(),
            availability_time: request.availability_time().map(Timestamp::as_millis),
            max_wait: request.max_wait(),
            lease_duration: request.lease_duration(),
            merge_key: request.merge_key().map(|key| &**key),
            idempotency_key: request.idempotency_key().map(|key| &**key),
        }
    }
}

impl TryFrom<RequestRecord<'_>> for AllocationRequest {
    type Error = Wrong;

    fn try_from(record: RequestRecord<'_>) -> Result<Self, Wrong> {
        let wrong = |error: IdError| error.to_string();
        let tenant = TenantId::new(record.tenant).map_err(wrong)?;
        AllocationRequest::builder(tenant, record.target.try_into()?)
            .user(record.user.map(UserId::new).transpose().map_err(wrong)?)
            .application(
                record
                    .application
                    .map(ApplicationId::new)
                    .transpose()
                    .map_err(wrong)?,
            )
            .priority(record.priority)
            .availability_time(record.availability_time.map(time))
            .max_wait(record.max_wait)
            .lease_duration(record.lease_duration)
            .merge_key(record.merge_key)
            .idempotency_key(record.idempotency_key)
            .build()
            .map_err(|error| error.to_string())
    }
}

impl<'a> From<&'a Target> for TargetRecord<'a> {
    fn from(target: &'a Target) -> Self {
        match target {
            Target::Pool(name) => Self::Pool(name.as_str()),
            Target::Requirements(asked) => Self::Requirements {
                shape: shape_record(&asked.shape),
                dependencies: asked.dependencies.iter().map(String::as_str).collect(),
                labels: labels_record(&asked.labels),
                preferences: asked.preferences.iter().map(labels_record).collect(),
            },
        }
    }
}

impl TryFrom<TargetRecord<'_>> for Target {
    type Error = Wrong;

    fn try_from(record: TargetRecord<'_>) -> Result<Self, Wrong> {
        Ok(match record {
            TargetRecord::Pool(name) => Self::Pool(pool_name(name)?),
            TargetRecord::Requirements {
                shape: asked,
                dependencies,
                labels: asked_labels,
                preferences,
            } => Self::Requirements(Arc::new(Requirements {
                shape: shape(asked),
                dependencies: dependencies.into_iter().map(str::to_owned).collect(),
                labels: labels(asked_labels),
                preferences: preferences.into_iter().map(labels).collect(),
            })),
        })
    }
}

impl From<AllocationState> for StateRecord {
    fn from(state: AllocationState) -> Self {
        match state {
            AllocationState::Queued => Self::Queued,
            AllocationState::Booked => Self::Booked,
            AllocationState::Joined => Self::Joined,
            AllocationState::Granted => Self::Granted,
            AllocationState::Released => Self::Released,
            AllocationState::Expired => Self::Expired,
            AllocationState::Cancelled => Self::Cancelled,
            AllocationState::Rejected => Self::Rejected,
            AllocationState::Lost => Self::Lost,
        }
    }
}

impl From<StateRecord> for AllocationState {
    fn from(record: StateRecord) -> Self {
        match record {
            StateRecord::Queued => Self::Queued,
            StateRecord::Booked => Self::Booked,
            StateRecord::Joined => Self::Joined,
            StateRecord::Granted => Self::Granted,
            StateRecord::Released => Self::Released,
            StateRecord::Expired => Self::Expired,
            StateRecord::Cancelled => Self::Cancelled,
            StateRecord::Rejected => Self::Rejected,
            StateRecord::Lost => Self::Lost,
        }
    }
}

impl From<Served> for ServedRecord {
    fn from(served: Served) -> Self {
        match served {
            Served::Ready => Self::Ready,
            Served::Merged => Self::Merged,
            Served::Starting => Self::Starting,
            Served::Started => Self::Started,
            Served::Nothing => Self::Nothing,
        }
    }
}

impl From<ServedRecord> for Served {
    fn from(record: ServedRecord) -> Self {
        match record {
            ServedRecord::Ready => Self::Ready,
            ServedRecord::Merged => Self::Merged,
            ServedRecord::Starting => Self::Starting,
            ServedRecord::Started => Self::Started,
            ServedRecord::Nothing => Self::Nothing,
        }
    }
}

fn hold_record(hold: Hold) -> HoldRecord {
    (hold.instance.0, hold.token.0)
}

fn hold((instance, token): HoldRecord) -> Hold {
    Hold {
        instance: InstanceId(instance),
        token: FencingToken(token),
    }
}

impl From<Binding> for BindingRecord {
    fn from(binding: Binding) -> Self {
        match binding {
            Binding::Queued { round, until } => Self::Queued {
                round,
                until: until.as_millis(),
            },
            Binding::Booked {
                firm,
                prepare_at,
                promised,
            } => Self::Booked {
                firm,
                prepare_at: prepare_at.as_millis(),
                promised: promised.map(hold_record),
            },
            Binding::Joined { hold, until } => Self::Joined {
                hold: hold_record(hold),
                until: until.as_millis(),
            },
            Binding::Granted { hold, expires_at } => Self::Granted {
                hold: hold_record(hold),
                expires_at: expires_at.as_millis(),
            },
            Binding::Ended { state, at, hold } => Self::Ended {
                state: state.into(),
                at: at.as_millis(),
                hold: hold.map(hold_record),
            },
        }
    }
}

impl From<BindingRecord> for Binding {
    fn from(record: BindingRecord) -> Self {
        match record {
            BindingRecord::Queued { round, until } => Self::Queued {
                round,
                until: time(until),
            },
            BindingRecord::Booked {
                firm,
                prepare_at,
                promised,
            } => Self::Booked {
                firm,
                prepare_at: time(prepare_at),
                promised: promised.map(hold),
            },
            BindingRecord::Joined { hold: held, until } => Self::Joined {
                hold: hold(held),
                until: time(until),
            },
            BindingRecord::Granted {
                hold: held,
                expires_at,
            } => Self::Granted {
                hold: hold(held),
                expires_at: time(expires_at),
            },
            BindingRecord::Ended {
                state,
                at,
                hold: held,
            } => Self::Ended {
                state: state.into(),
                at: time(at),
                hold: held.map(hold),
            },
        }
    }
}

impl<'a> From<&'a Allocation> for AllocationRecord<'a> {
    fn from(allocation: &'a Allocation) -> Self {
        Self {
            id: allocation.id.0,
            request: (&*allocation.request).into(),
            pool: allocation.pool.as_str(),
            rank: allocation.rank,
            created_at: allocation.created_at.as_millis(),
            served: allocation.served.into(),
            merged: allocation.merged,
            binding: allocation.binding.into(),
        }
    }
}

impl TryFrom<AllocationRecord<'_>> for Allocation {
    type Error = Wrong;

    fn try_from(record: AllocationRecord<'_>) -> Result<Self, Wrong> {
        let request = AllocationRequest::try_from(record.request)?;
        let pool = match request.target() {
            Target::Pool(name) if name.as_str() == record.pool => name.clone(),
            Target::Pool(_) | Target::Requirements(_) => pool_name(record.pool)?,
        };
        Ok(Self {
            id: AllocationId(record.id),
            request: Arc::new(request),
            pool,
            rank: record.rank,
            created_at: time(record.created_at),
            served: record.served.into(),
            merged: record.merged,
            binding: record.binding.into(),
        })
    }
}
