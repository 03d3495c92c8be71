//! What planning is asked.

use foreshadow_types::{EntityId, PoolName, Timestamp};
use tokio::sync::oneshot;

use super::Successor;
use crate::{
    config::ShadowConfig,
    error::EngineError,
    views::{
        Explanation, OverrideChange, OverridesView, PoolHistory, PoolHistoryRequest,
        PredictRequest, Prediction, ShadowConfigOutcome, VersionedShadowConfig,
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
    /// Lets a pool's plans be carried out from now on.
    MakeLive {
        pool: PoolName,
        reply: oneshot::Sender<Result<ShadowConfigOutcome, EngineError>>,
    },
    /// Why a pool had the size it had.
    Explain {
        pool: PoolName,
        at: Timestamp,
        reply: oneshot::Sender<Result<Explanation, EngineError>>,
    },
    /// What was asked of a pool and planned for it.
    History {
        request: PoolHistoryRequest,
        reply: oneshot::Sender<Result<PoolHistory, EngineError>>,
    },
    Overrides {
        reply: oneshot::Sender<OverridesView>,
    },
    SetOverride {
        change: OverrideChange,
        if_match: Option<String>,
        reply: oneshot::Sender<Result<OverridesView, EngineError>>,
    },
    /// Forgets an entity; how many overrides were for it.
    Forget {
        entity: EntityId,
        reply: oneshot::Sender<Result<u64, EngineError>>,
    },
    /// A training is wished for.
    Retrain {
        reply: oneshot::Sender<Result<(), EngineError>>,
    },
    /// A model was promoted.
    UseModel(Successor),
}
