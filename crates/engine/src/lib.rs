//! The live driver: tick loop, inference thread, ledger writer, provider supervision and retraining,
//! without a network.
//!
//! [`Engine::start`] gives an [`EngineHandle`], which is cheap to clone and speaks domain types only.

pub mod config;

mod clock;
mod collector;
mod demand;
mod engine;
mod error;
mod handle;
mod inference;
mod latency;
mod lifecycle;
mod metrics;
mod models;
mod numbers;
mod owner;
mod planning;
mod pulse;
mod retraining;
mod scribe;
pub mod trace;
mod views;

pub use config::{ConfigError, EngineConfig};
pub use engine::Engine;
pub use error::{EngineError, StartError};
pub use foreshadow_allocator as allocator;
pub use foreshadow_ledger::{AuditQuery, AuditRecord, PlanRecord};
pub use foreshadow_planner::{Beside, MissCause, TradeOff};
pub use foreshadow_shadow as shadow;
pub use foreshadow_training::{Measures, PoolReplay, PoolsReport, Served};
pub use handle::{AllocationWatch, EngineHandle, Exchanged};
pub use inference::{BoxedForecaster, PRETRAINED};
pub use latency::{LATENCY_BOUNDS_S, LatencySnapshot};
pub use metrics::{
    DecisionMetrics, ForecastMetrics, MetricsSnapshot, RetrainingMetrics, TelemetryMetrics,
};
pub use models::ModelView;
pub use retraining::{PoolsCase, Wishes};
pub use views::{
    Accuracy, Basis, DemandStep, Explanation, Forgotten, GroupAccuracy, GroupKind, OutcomeCounts,
    OverrideChange, OverridesView, PoolHistory, PoolHistoryRequest, PoolPlanView, PoolRecord,
    PoolView, PredictRequest, Prediction, PreviewView, Readiness, ReportOutcome,
    ResourceShadowView, ShadowConfigOutcome, Subject, VersionedShadowConfig,
};
