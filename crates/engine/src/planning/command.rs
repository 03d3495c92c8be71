//! What planning is asked.

use std::time::Duration;

use tokio::sync::oneshot;

use crate::{
    config::ShadowConfig,
    error::EngineError,
    inference::BoxedForecaster,
    views::{
        OverrideChange, OverridesView, PredictRequest, Prediction, ShadowConfigOutcome,
        VersionedShadowConfig,
    },
};

/// One question or command.
pub(crate) enum PlanningCommand {
    Predict {
        request: PredictRequest,
        reply: oneshot::Sender<Result<Prediction, EngineError>>,
    },
    Config {
        reply: oneshot::Sender<VersionedShadowConfig>,
    },
    SetConfig {
        config: Box<ShadowConfig>,
        if_match: Option<String>,
        dry_run: bool,
        reply: oneshot::Sender<Result<ShadowConfigOutcome, EngineError>>,
    },
    Overrides {
        reply: oneshot::Sender<OverridesView>,
    },
    SetOverride {
        change: OverrideChange,
        if_match: Option<String>,
        reply: oneshot::Sender<Result<OverridesView, EngineError>>,
    },
    /// A model was promoted.
    UseModel {
        model: BoxedForecaster,
        interval: Duration,
    },
}
