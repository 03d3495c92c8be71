//! Replays a request log under each pool policy and scores hits, waits and idle time.
//!
//! The kernel ([`simulate`]) drives any [`TargetPolicy`](foreshadow_planner::TargetPolicy) over one
//! pool. An instance is used once: a request that takes it removes it from the pool, and the pool
//! starts a replacement.

mod adapting;
mod causes;
mod cost;
mod curve;
mod demand;
mod families;
mod fleet;
mod kernel;
mod kind;
mod lineup;
mod replica;
mod result;
mod reuse;
mod room;
mod run;
mod setting;
mod shares;
mod sharing;
mod startup;
mod strained;
mod tally;
mod together;
mod trace;
mod waits;
mod wishes;

#[cfg(test)]
mod tests;

pub use adapting::AdaptingPlanners;
pub use cost::{Cost, Prices};
pub use curve::Scheduled;
pub use kernel::{NoProbe, Probe, TickRecord, score, simulate};
pub use kind::{PolicyKind, UnknownPolicy};
pub use replica::MAX_TARGET;
pub use result::{Backtest, PolicyCurve, PolicyRow, WaitPercentiles};
pub use run::{BacktestHost, BacktestOptions, ReplayName, run_backtest};
pub use setting::{Setting, SettingError};
pub use shares::{PoolCounts, Spread, UserSpread};
pub use startup::{MOST_FAILURES, StartupTime};
pub use tally::{QUARTERS, Tally};
pub use together::{Planned, simulate_together};
pub use trace::{PoolTrace, Times, Trace, TraceBuilder, TraceError, Walk};
pub use wishes::{Wishes, replay_wishes};
