//! The result as JSON.

use std::collections::BTreeMap;

use foreshadow_planner::MissCounts;
use foreshadow_simulation::backtest::{Backtest, Cost, PolicyRow, PoolCounts, Spread, UserSpread};
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
    hits: Option<u64>,
    joins: Option<u64>,
    waits: Option<u64>,
    hit_rate_quarters: Vec<Option<f64>>,
    joined_rate: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    merged_rate: Option<f64>,
    idle_unit_seconds: Option<f64>,
    idle_per_request_s: Option<f64>,
    idle_vs_static: Option<f64>,
    idle_vs_best: Option<f64>,
    idle_vs_best_any: Option<f64>,
    starts: Option<u64>,
    wait_s: Waits,
    cost: Option<CostHours>,
    by_user: Option<ByUser>,
    by_pool: Vec<ByPool>,
    waiting_by_user: Option<Shares>,
    waiting_by_pool: Option<Shares>,
    misses: Option<BTreeMap<&'static str, u64>>,
    parameter: Option<String>,
}

#[derive(Serialize)]
struct Waits {
    p50: Option<f64>,
    p95: Option<f64>,
    p99: Option<f64>,
}

#[derive(Serialize)]
struct CostHours {
    idle_unit_hours: f64,
    waiting_hours: f64,
    money: Option<f64>,
}

/// What users got, across users.
#[derive(Serialize)]
struct ByUser {
    users: u64,
    hit_rate: Shares,
    joined_rate: Shares,
    waiting: Shares,
    wait_s: Shares,
}

/// What one pool's requests got.
#[derive(Serialize)]
struct ByPool {
    pool: String,
    requests: u64,
    hits: u64,
    joins: u64,
    waits: u64,
    wait_s: f64,
    idle_unit_seconds: f64,
    starts: u64,
}

/// A value across those who ask.
#[derive(Serialize)]
struct Shares {
    p50: f64,
    p75: f64,
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
        hits: row.hits,
        joins: row.joins,
        waits: row.waits,
        hit_rate_quarters: row.hit_rate_quarters.to_vec(),
        joined_rate: row.joined_rate,
        merged_rate: row.merged_rate,
        idle_unit_seconds: row.idle_unit_seconds,
        idle_per_request_s: row.idle_per_request_s,
        idle_vs_static: row.idle_vs_static,
        idle_vs_best: row.idle_vs_best,
        idle_vs_best_any: row.idle_vs_best_any,
        starts: row.starts,
        wait_s: Waits {
            p50: row.wait_s.map(|waits| waits.p50),
            p95: row.wait_s.map(|waits| waits.p95),
            p99: row.wait_s.map(|waits| waits.p99),
        },
        cost: row.cost.map(cost),
        by_user: row.by_user.map(by_user),
        by_pool: row.by_pool.iter().map(pool).collect(),
        waiting_by_user: row.by_user.map(|users| shares(users.waiting)),
        waiting_by_pool: row.waiting_by_pool.map(shares),
        misses: row.misses.map(causes),
        parameter: row.parameter.clone(),
    }
}

fn cost(cost: Cost) -> CostHours {
    CostHours {
        idle_unit_hours: cost.idle_unit_hours,
        waiting_hours: cost.waiting_hours,
        money: cost.money,
    }
}

fn by_user(users: UserSpread) -> ByUser {
    ByUser {
        users: users.users,
        hit_rate: shares(users.hit_rate),
        joined_rate: shares(users.joined_rate),
        waiting: shares(users.waiting),
        wait_s: shares(users.wait_s),
    }
}

fn pool(counts: &PoolCounts) -> ByPool {
    ByPool {
        pool: counts.pool.clone(),
        requests: counts.requests,
        hits: counts.hits,
        joins: counts.joins,
        waits: counts.waits,
        wait_s: counts.wait_s,
        idle_unit_seconds: counts.idle_unit_seconds,
        starts: counts.starts,
    }
}

fn shares(shares: Spread) -> Shares {
    Shares {
        p50: shares.p50,
        p75: shares.p75,
    }
}

fn causes(misses: MissCounts) -> BTreeMap<&'static str, u64> {
    Backtest::CAUSES
        .map(|cause| (cause.key(), misses.of(cause)))
        .into()
}

#[cfg(test)]
mod tests {
    use foreshadow_simulation::backtest::{PolicyKind, Prices};
    use foreshadow_types::Timestamp;

    use super::*;

    #[test]
    fn what_is_not_defined_is_null_and_every_key_is_there() {
        let undefined = PolicyRow {
            policy: PolicyKind::HybridHistogram,
            target_hit_rate: 0.9,
            hit_rate: None,
            hits: None,
            joins: None,
            waits: None,
            hit_rate_quarters: [None; 4],
            joined_rate: None,
            merged_rate: None,
            idle_unit_seconds: None,
            idle_per_request_s: None,
            idle_vs_static: None,
            idle_vs_best: None,
            idle_vs_best_any: None,
            starts: None,
            wait_s: None,
            cost: None,
            by_user: None,
            by_pool: Vec::new(),
            waiting_by_pool: None,
            misses: None,
            parameter: None,
        };
        let result = Backtest {
            requests: 3,
            pools: 1,
            from: Timestamp::from_millis(0),
            to: Timestamp::from_millis(1_000),
            startup_s: 120.0,
            tick_s: 60.0,
            rows: vec![undefined],
            curves: Vec::new(),
            prices: Prices::default(),
        };
        let json: serde_json::Value = serde_json::from_str(&render(&result).unwrap()).unwrap();
        assert_eq!(json["from"], "1970-01-01T00:00:00Z");
        let row = json["policies"][0].as_object().unwrap();
        for key in [
            "hit_rate",
            "joined_rate",
            "idle_unit_seconds",
            "idle_per_request_s",
            "idle_vs_static",
            "idle_vs_best",
            "idle_vs_best_any",
            "starts",
            "hits",
            "joins",
            "waits",
            "cost",
            "by_user",
            "waiting_by_user",
            "waiting_by_pool",
            "misses",
        ] {
            assert!(row[key].is_null(), "{key}");
        }
        assert!(!row.contains_key("merged_rate"), "nobody shares");
        assert_eq!(row["policy"], "hybrid-histogram");
        assert_eq!(row["hit_rate_quarters"].as_array().unwrap().len(), 4);
        assert!(row["wait_s"]["p99"].is_null());
    }
}
