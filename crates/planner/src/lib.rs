//! From forecasts and inventory to a plan with reasons.
//!
//! [`PoolPlanner`] sizes one pool: it learns the demand over the lead time from the requests it is
//! shown, prices each further warm instance in idle seconds a hit, and explains every target.
//! [`RuleBook`] turns forecasts into pre-allocations. [`TargetPolicy`] is the trait that the planner
//! shares with the [`baselines`].
//!
//! Pure: no I/O, no clock, no operating-system randomness.

pub mod baselines;
mod breaker;
mod churn;
mod demand;
mod experts;
#[cfg(test)]
mod falling_back;
mod feedback;
mod follows;
mod group;
mod knowledge;
mod known;
mod learn;
mod margins;
mod misses;
mod plan;
mod planner;
mod policy;
mod prices;
#[cfg(test)]
mod properties;
mod remembered;
mod replay;
mod rules;
mod schedule;
mod settings;
#[cfg(test)]
mod steadiness;
mod steering;
mod steward;
mod study;

pub use follows::{Follow, FollowBook, FollowError};
pub use group::PlannerGroup;
pub use known::{Booking, Floor, FloorCause, KnownDemand, Override, PreAllocation};
pub use learn::{DemandModel, ModelError};
pub use misses::{MissCause, MissCounts};
pub use plan::{Beside, Bound, Mode, PoolPlan, Reason, TradeOff};
pub use planner::PoolPlanner;
pub use policy::{Arrival, Fared, Inventory, Outcome, TargetPolicies, TargetPolicy, stable_hash};
pub use remembered::{Past, Remembered};
pub use replay::{Preview, PreviewScore};
pub use rules::{ForecastView, RuleBook, RuleError, RuleSubject, TriggerRule, Wanted};
pub use schedule::{CronTime, Schedule, ScheduleError};
pub use settings::{BreakerSettings, Objective, PoolSettings, RampLimit, SettingsError};
pub use study::DemandStudy;
