//! Resource shadows: live profiles of users and applications in fixed memory.
//!
//! A [`ShadowStore`] takes [`Observation`]s and [`Access`]es and keeps, for each entity, statistics
//! of every metric, an hour-of-week profile of its accesses, the applications it depends on and a
//! category found by clustering fingerprints. Pure: no I/O, no clock, no operating-system
//! randomness; time is an argument.

mod access;
mod category;
mod class;
mod decay;
mod departed;
mod dependencies;
mod fingerprint;
mod kmeans;
mod metric;
mod observation;
mod p2;
mod recency;
mod shadow;
mod snapshot;
mod store;
mod trend;

pub use access::HOURS_OF_WEEK;
pub use category::{Assignment, AssignmentSource, Category, CategoryId};
pub use class::ResourceClass;
pub use fingerprint::{FINGERPRINT_DIMENSIONS, Fingerprint};
pub use observation::{Access, Observation};
pub use p2::TRACKED_LEVELS;
pub use snapshot::{AccessSummary, Dependency, MetricSummary, ShadowSnapshot};
pub use store::{ShadowStore, StoreCounts, StoreLimits};
