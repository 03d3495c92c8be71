//! What is kept on disk of the shadow configuration and the overrides: records of their own, so that
//! a change of the domain does not change the past.

mod config;
mod objective;
mod overrides;
mod trigger;
mod windows;

use std::time::Duration;

use foreshadow_planner::{CronTime, ScheduleError};
use foreshadow_types::{EntityId, PoolName};

pub(crate) use self::{
    config::{read_config, write_config},
    overrides::{read_overrides, write_overrides},
    trigger::{ShapeRecord, TriggerRecord, read_trigger, trigger_record},
};

/// Names of the documents in the ledger.
pub(crate) const SHADOW_CONFIG: &str = "shadow-config";
pub(crate) const OVERRIDES: &str = "overrides";

/// A version and what it is of.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Versioned<T> {
    pub(crate) version: u64,
    pub(crate) value: T,
}

/// A document that cannot be read, and why.
pub(crate) type Unreadable = String;

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn pool(name: &str) -> Result<PoolName, Unreadable> {
    PoolName::new(name).map_err(|error| error.to_string())
}

fn cron(text: &str) -> Result<CronTime, Unreadable> {
    text.parse()
        .map_err(|error: ScheduleError| error.to_string())
}

fn entity(name: &str) -> Result<EntityId, Unreadable> {
    EntityId::new(name).map_err(|error| error.to_string())
}
