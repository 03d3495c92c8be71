//! What other pools would have needed for the same requests.

use std::time::Duration;

use foreshadow_planner::{Arrival, TargetPolicies};
use foreshadow_simulation::backtest::{
    BacktestHost, BacktestOptions, PolicyKind, PolicyRow, PoolTrace, Prices, ReplayName, Setting,
    StartupTime, TickRecord, TraceBuilder, run_backtest,
};
use foreshadow_types::{PoolName, Timestamp};

use super::workload::SampleRequest;
use crate::failure::Failure;

/// Replays static and reactive pools over `requests`, scored from `from`, each tuned in hindsight to
/// reach `hit_rate` at the least idle time.
pub(super) fn peers(
    pool: &PoolName,
    requests: &[SampleRequest],
    from: Timestamp,
    startup: Duration,
    tick: Duration,
    hit_rate: f64,
) -> Result<Vec<PolicyRow>, Failure> {
    let mut trace = TraceBuilder::new();
    for request in requests {
        let arrival = Arrival {
            at: request.at,
            user: 0,
            application: 0,
            hold: Some(request.hold),
        };
        trace.push(pool, &arrival)?;
    }
    let trace = trace.build()?;
    let setting = Setting::new(&trace, from, tick, StartupTime::fixed(startup))?;
    let options = BacktestOptions {
        policies: vec![PolicyKind::Static, PolicyKind::Reactive],
        hit_rates: vec![hit_rate],
        curves: false,
        prices: Prices::default(),
    };
    Ok(run_backtest(&trace, &setting, &options, &mut Unplanned).rows)
}

/// A host for replays in which no planner takes part.
struct Unplanned;

impl BacktestHost for Unplanned {
    fn planners(&mut self, _: &PoolTrace, _: &[f64]) -> Option<Box<dyn TargetPolicies>> {
        None
    }

    fn tick(&mut self, _: &ReplayName<'_>, _: &TickRecord) {}

    fn progress(&mut self, _: &str) {}
}
