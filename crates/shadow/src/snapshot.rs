//! What a store answers.

use std::sync::Arc;

use foreshadow_types::{EntityId, Timestamp};

use crate::{
    access::HOURS_OF_WEEK, category::Assignment, class::ResourceClass, fingerprint::Fingerprint,
    p2::TRACKED_LEVELS,
};

/// A resource shadow as it stood at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct ShadowSnapshot {
    /// Whose it is.
    pub entity: EntityId,
    /// When it was taken.
    pub as_of: Timestamp,
    /// The latest time the entity was heard of.
    pub last_seen: Timestamp,
    /// One summary for each metric, by name.
    pub metrics: Vec<MetricSummary>,
    /// Applications of a user or users of an application, largest share first.
    pub dependencies: Vec<Dependency>,
    /// When the entity is used; none before its first access.
    pub access: Option<AccessSummary>,
    /// Where the entity stands in the space of behaviours.
    pub fingerprint: Fingerprint,
    /// The category, once there is one to give.
    pub category: Option<Assignment>,
}

/// One metric of an entity, in the metric's own unit.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricSummary {
    /// The metric's name.
    pub metric: Arc<str>,
    /// The resource it measures.
    pub class: ResourceClass,
    /// The value of the latest sample.
    pub latest: f64,
    /// The time of the latest sample.
    pub latest_at: Timestamp,
    /// The mean over about a week.
    pub mean: f64,
    /// The standard deviation over about a week.
    pub deviation: f64,
    /// Quantiles at [`TRACKED_LEVELS`] of the last few thousand samples.
    pub quantiles: [f64; TRACKED_LEVELS.len()],
    /// The change per hour, from the last hour against the last day.
    pub trend_per_hour: f64,
    /// How many samples have been taken.
    pub samples: u64,
}

/// A partner of an entity.
#[derive(Debug, Clone, PartialEq)]
pub struct Dependency {
    /// The application or user.
    pub entity: EntityId,
    /// Its share of the entity's accesses, 0 to 1.
    pub share: f64,
    /// The latest access together.
    pub last_used: Timestamp,
}

/// When an entity is used.
#[derive(Debug, Clone, PartialEq)]
pub struct AccessSummary {
    /// All accesses counted.
    pub total: u64,
    /// The latest access.
    pub latest: Timestamp,
    /// Expected accesses in each hour of the week, from Monday 00:00 UTC.
    pub hour_of_week: [f32; HOURS_OF_WEEK],
    /// The median time of the next access, if it is within two weeks.
    pub next_expected: Option<Timestamp>,
}
