//! What a store is told.

use std::sync::Arc;

use foreshadow_types::{ApplicationId, EntityId, Timestamp, UserId};

/// One sample of one metric of an entity. The value is finite and in the metric's base unit.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation {
    /// The user or application that was measured.
    pub entity: EntityId,
    /// The metric's name, its unit at the end, such as `cpu_usage_pct`.
    pub metric: Arc<str>,
    /// When it was measured.
    pub at: Timestamp,
    /// What was measured.
    pub value: f64,
}

/// One use of the system: a user asked for something, perhaps for an application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// Who.
    pub user: UserId,
    /// For which application, if it was declared.
    pub application: Option<ApplicationId>,
    /// When.
    pub at: Timestamp,
}
