//! The result as JSON.

use foreshadow_simulation::backtest::{Backtest, PolicyRow};
use serde::Serialize;

#[derive(Serialize)]
struct Document {
    requests: u64,
    pools: u64,
    from: String,
    to: String,
    startup_s: f64,
    tick_s: f64,
    policies: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    policy: &'static str,
    target_hit_rate: f64,
    hit_rate: Option<f64>,
    hit_rate_quarters: Vec<Option<f64>>,
    joined_rate: Option<f64>,
    idle_unit_seconds: Option<f64>,
    idle_per_request_s: Option<f64>,
    idle_vs_static: Option<f64>,
    idle_vs_best: Option<f64>,
    starts: Option<u64>,
    wait_s: Waits,
    parameter: Option<String>,
}

#[derive(Serialize)]
struct Waits {
    p50: Option<f64>,
    p95: Option<f64>,
    p99: Option<f64>,
}

/// One JSON document.
pub(super) fn render(result: &Backtest) -> Result<String, serde_json::Error> {
    serde_json::to_string_pretty(&Document {
        requests: result.requests,
        pools: result.pools,
        from: result.from.to_string(),
        to: result.to.to_string(),
        startup_s: result.startup_s,
        tick_s: result.tick_s,
        policies: result.rows.iter().map(row).collect(),
    })
}

fn row(row: &PolicyRow) -> Row {
    Row {
        policy: row.policy.name(),
        target_hit_rate: row.target_hit_rate,
        hit_rate: row.hit_rate,
        hit_rate_quarters: row.hit_rate_quarters.to_vec(),
        joined_rate: row.joined_rate,
        idle_unit_seconds: row.idle_unit_seconds,
        idle_per_request_s: row.idle_per_request_s,
        idle_vs_static: row.idle_vs_static,
        idle_vs_best: row.idle_vs_best,
        starts: row.starts,
        wait_s: Waits {
            p50: row.wait_s.map(|waits| waits.p50),
            p95: row.wait_s.map(|waits| waits.p95),
            p99: row.wait_s.map(|waits| waits.p99),
        },
        parameter: row.parameter.clone(),
    }
}
