//! The formulas beside what was measured.

use super::formulas::{
    DATABASE_CALL_S, NETWORK_A_CORE_S, PLAN_S, SAMPLES_A_CORE_S, SERIES_A_CORE_S, beat_rows,
    beat_transactions, call_s, memory_mb,
};

/// A formula beside a measured point.
#[derive(Debug, Clone, Copy)]
pub(super) struct Point {
    pub(super) name: &'static str,
    pub(super) unit: &'static str,
    pub(super) formula: f64,
    pub(super) measured: f64,
    /// How far the formula may be from what was measured, as a share of it.
    pub(super) tolerance: f64,
}

impl Point {
    /// How far the formula is from what was measured, as a share of it.
    pub(super) fn off(&self) -> f64 {
        self.formula / self.measured - 1.0
    }
}

/// All points.
pub(super) fn points() -> Vec<Point> {
    [memory(), work(), calls(), beats()].concat()
}

fn memory() -> Vec<Point> {
    let point = |name, [series, pools, leases]: [f64; 3], measured| Point {
        name,
        unit: "MB",
        formula: memory_mb(series, pools, leases),
        measured,
        tolerance: 0.08,
    };
    vec![
        point("memory, 100,000 entities", [2e5, 1e3, 1e5], 723.0),
        point("memory, 300,000 entities", [6e5, 3e3, 3e5], 1_723.0),
        point("memory, 1 million entities", [2e6, 1e4, 1e6], 4_937.0),
    ]
}

/// Rates of one core of the two that were used, and the time of a pool's plan.
fn work() -> Vec<Point> {
    let point = |name, unit, formula, measured, tolerance| Point {
        name,
        unit,
        formula,
        measured,
        tolerance,
    };
    let forecasts = |name, of_two| point(name, "series/core s", SERIES_A_CORE_S, of_two / 2.0, 0.2);
    let plans = |name, pools, took| point(name, "us a pool", PLAN_S * 1e6, took / pools * 1e6, 0.4);
    let samples = |name, measured| point(name, "samples/core s", SAMPLES_A_CORE_S, measured, 0.1);
    vec![
        forecasts("forecasts of 1,000 series", 126_853.0),
        forecasts("of 100,000", 173_661.0),
        forecasts("of a million", 174_866.0),
        point(
            "the network alone",
            "series/core s",
            NETWORK_A_CORE_S,
            169_728.0 / 2.0,
            0.05,
        ),
        plans("plans of 1,000 pools", 1_000.0, 0.11),
        plans("of 3,000", 3_000.0, 0.31),
        plans("of 10,000", 10_000.0, 0.58),
        samples("samples, 500 a request", 800_000.0),
        samples("samples, 2,000 a request", 901_917.0),
    ]
}

/// What calls to several replicas take of the cores, of theirs and of the database's.
fn calls() -> Vec<Point> {
    let point = |name, formula, measured, tolerance| Point {
        name,
        unit: "us a call",
        formula: formula * 1e6,
        measured,
        tolerance,
    };
    let servers = |name, sent_on, measured| point(name, call_s(sent_on), measured, 0.1);
    let database = |name, measured| point(name, DATABASE_CALL_S, measured, 0.2);
    vec![
        servers("calls, two replicas, none sent on", 0.0, 52.7),
        servers("three, none", 0.0, 54.4),
        servers("two, half", 1.0 / 2.0, 82.7),
        servers("three, two thirds", 2.0 / 3.0, 98.8),
        database("PostgreSQL, two replicas", 21.1),
        database("three, two thirds sent on", 26.2),
    ]
}

/// What replicas have the database do that nobody calls, six shards among them.
fn beats() -> Vec<Point> {
    let point = |name, unit, formula, measured| Point {
        name,
        unit,
        formula,
        measured,
        tolerance: 0.1,
    };
    let transactions = |name, replicas, measured| {
        point(
            name,
            "transactions/s",
            beat_transactions(replicas),
            measured,
        )
    };
    let rows = |name, replicas, measured| point(name, "rows/s", beat_rows(replicas, 6.0), measured);
    vec![
        transactions("beats of one replica", 1.0, 30.2),
        transactions("of two", 2.0, 63.5),
        transactions("of three", 3.0, 95.3),
        rows("rows that one changes", 1.0, 26.0),
        rows("two", 2.0, 31.6),
        rows("three", 3.0, 35.9),
    ]
}
