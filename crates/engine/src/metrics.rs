//! The engine's own numbers, for a metrics page.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use crate::{
    latency::LatencySnapshot,
    views::{GroupAccuracy, PoolView},
};

/// All numbers at one moment. Counters rise from the start of the engine.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct MetricsSnapshot {
    /// The pools.
    pub pools: Vec<PoolView>,
    /// The allocator and its ledger.
    pub decisions: DecisionMetrics,
    /// Forecasts and plans.
    pub forecasts: ForecastMetrics,
    /// What is observed.
    pub telemetry: TelemetryMetrics,
    /// Training again.
    pub retraining: RetrainingMetrics,
}

/// Numbers of the allocator and its ledger.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DecisionMetrics {
    /// Inputs handled.
    pub inputs: u64,
    /// Inputs refused.
    pub refused: u64,
    /// Events made durable.
    pub events: u64,
    /// Commits of the ledger.
    pub commits: u64,
    /// How long commits took.
    pub commit_time: LatencySnapshot,
    /// From the arrival of an input until its reply left.
    pub reply_time: LatencySnapshot,
    /// How far the estimated wait of a queued or joined request was off when it was granted.
    pub wait_error: LatencySnapshot,
    /// Inputs that wait.
    pub waiting: u64,
}

/// Numbers of forecasts and plans.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ForecastMetrics {
    /// Ticks.
    pub ticks: u64,
    /// Ticks that were left out because the one before was late.
    pub ticks_skipped: u64,
    /// Series in the latest batch.
    pub series: u64,
    /// How long a batch took.
    pub batch_time: LatencySnapshot,
    /// Batches that fell back because the model was late.
    pub late: u64,
    /// Batches that fell back because the model failed.
    pub failed: u64,
    /// Series that fell back because their forecast was not finite.
    pub not_finite: u64,
    /// The model in use.
    pub model: String,
    /// Trigger rules that are active.
    pub triggers_active: u64,
    /// How often forecasts of a group were found to have become worse.
    pub drifts: u64,
    /// Actual against predicted by pool, category and model.
    pub groups: Vec<GroupAccuracy>,
    /// The age of the plan in force.
    pub plan_age: Duration,
}

/// Numbers of what is observed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TelemetryMetrics {
    /// Observations taken.
    pub accepted: u64,
    /// Observations that were sent again and had been taken.
    pub duplicates: u64,
    /// Observations refused.
    pub rejected: u64,
    /// Entities with a shadow.
    pub entities: u64,
    /// Entities that gave way to others.
    pub evicted: u64,
    /// Observations of series that there was no room for.
    pub series_refused: u64,
    /// Rows written to the history.
    pub history_rows: u64,
    /// Rows lost because the history could not be written.
    pub history_rows_lost: u64,
    /// Attempts to write rows of the journal to the history that failed.
    pub seal_failures: u64,
}

/// Numbers of training again.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RetrainingMetrics {
    /// Trainings started.
    pub started: u64,
    /// Trainings that failed or ran out of time.
    pub failed: u64,
    /// Candidates promoted.
    pub promoted: u64,
    /// Candidates that were not better and were kept aside.
    pub rejected: u64,
    /// What became of the latest, for people.
    pub latest: Option<String>,
}

/// A counter that many threads add to.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
