//! Instances on disk.

use foreshadow_allocator::{InstanceRecord as Instance, Phase};
use foreshadow_types::{FencingToken, InstanceId};
use serde::{Deserialize, Serialize};

use super::{Wrong, pool_name, time};

#[derive(Serialize, Deserialize, Clone, Copy)]
enum PhaseRecord {
    Starting(i64),
    Ready(i64),
    Resetting(i64),
    Stopping(i64),
}

#[derive(Serialize, Deserialize)]
pub(super) struct InstanceRecord<'a> {
    id: u64,
    pool: &'a str,
    revision: u64,
    requested_at: i64,
    phase: PhaseRecord,
    address: Option<&'a str>,
    token: u64,
    used: bool,
    draining: bool,
}

impl<'a> From<&'a Instance> for InstanceRecord<'a> {
    fn from(instance: &'a Instance) -> Self {
        Self {
            id: instance.id.0,
            pool: instance.pool.as_str(),
            revision: instance.revision,
            requested_at: instance.requested_at.as_millis(),
            phase: match instance.phase {
                Phase::Starting { deadline } => PhaseRecord::Starting(deadline.as_millis()),
                Phase::Ready { since } => PhaseRecord::Ready(since.as_millis()),
                Phase::Resetting { deadline } => PhaseRecord::Resetting(deadline.as_millis()),
                Phase::Stopping { retry_at } => PhaseRecord::Stopping(retry_at.as_millis()),
            },
            address: instance.address.as_deref(),
            token: instance.token.0,
            used: instance.used,
            draining: instance.draining,
        }
    }
}

impl TryFrom<InstanceRecord<'_>> for Instance {
    type Error = Wrong;

    fn try_from(record: InstanceRecord<'_>) -> Result<Self, Wrong> {
        Ok(Self {
            id: InstanceId(record.id),
            pool: pool_name(record.pool)?,
            revision: record.revision,
            requested_at: time(record.requested_at),
            phase: match record.phase {
                PhaseRecord::Starting(at) => Phase::Starting { deadline: time(at) },
                PhaseRecord::Ready(at) => Phase::Ready { since: time(at) },
                PhaseRecord::Resetting(at) => Phase::Resetting { deadline: time(at) },
                PhaseRecord::Stopping(at) => Phase::Stopping { retry_at: time(at) },
            },
            address: record.address.map(Into::into),
            token: FencingToken(record.token),
            used: record.used,
            draining: record.draining,
        })
    }
}
