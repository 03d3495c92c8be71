//! Ids, units, time and shapes shared by every crate of Foreshadow.
//!
//! This crate imports nothing of ours, performs no I/O and reads no clock.

mod duration;
mod ids;
mod matching;
mod shard;
mod time;
mod units;

pub use duration::{DurationError, format_duration, parse_duration};
pub use ids::{
    AllocationId, ApplicationId, EntityId, FencingToken, IdError, InstanceId, LeaseId, MergeKey,
    PoolName, TenantId, UserId,
};
pub use matching::{Labels, Requirements, Shape};
pub use shard::{ShardId, Shards};
pub use time::{Timestamp, TimestampError};
pub use units::{Bytes, InstanceCount, UnitError, Vcpus};
