//! The policies that a planner has to beat, each as its source describes it.
//!
//! Each rule is split in two: what it gathers from the requests, which does not depend on its free
//! parameter, and the target it makes of that with a parameter. So a parameter can be searched for
//! without gathering again.

mod bins;
mod demand;
mod forecast_error;
mod holt_winters;
mod hybrid_histogram;
mod keep_alive;
mod reactive;
mod spectrum;
mod ssa;
mod static_pool;

pub use demand::TrailingDemand;
pub use holt_winters::{HoltWinters, SeasonalDemand};
pub use hybrid_histogram::{IdleTimes, Windows};
pub use keep_alive::{KeepAlive, TrailingMaximum};
pub use reactive::{DemandMoments, Reactive, TrailingMoments};
pub use ssa::{IntelligentPooling, SSA_WEIGHTS, SampledDemand, SizesByWeight, ssa_target};
pub use static_pool::StaticPool;
