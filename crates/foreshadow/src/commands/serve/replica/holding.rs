//! A shard that this replica has.

use std::future::Future;

use foreshadow_engine::Engine;
use foreshadow_engine::{
    EngineConfig, EngineHandle, Readiness, StartError,
    config::{LedgerPlace, OnShutdown},
};
use foreshadow_types::{ShardId, Shards};
use tokio::time::Instant;

use crate::config::Secret;

/// A shard that this replica has.
#[derive(Debug)]
pub(super) struct Holding {
    pub(super) epoch: u64,
    /// Until when it is owned at the least, unless it is renewed.
    pub(super) until: Instant,
    pub(super) stage: Stage,
}

/// What becomes of it.
#[derive(Debug)]
pub(super) enum Stage {
    /// Its engine starts.
    Starting,
    /// Its engine serves.
    Serving(EngineHandle),
    /// Its engine ends; then the shard is given back.
    Ending,
}

impl Holding {
    pub(super) fn starting(epoch: u64, until: Instant) -> Self {
        Self {
            epoch,
            until,
            stage: Stage::Starting,
        }
    }

    /// Its engine, while it can be asked.
    pub(super) fn engine(&self) -> Option<&EngineHandle> {
        match &self.stage {
            Stage::Serving(engine) => Some(engine),
            Stage::Starting | Stage::Ending => None,
        }
    }

    pub(super) fn is_ending(&self) -> bool {
        matches!(self.stage, Stage::Ending)
    }

    /// Whether its engine has ended by itself: another has written to the shard's ledger, or nothing
    /// can be written.
    pub(super) fn has_failed(&self) -> bool {
        self.engine()
            .is_some_and(|engine| engine.ready() != Readiness::Ready)
    }
}

/// How the engines of shards are started.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) whole: EngineConfig,
    pub(super) database: Secret,
    pub(super) shards: Shards,
    pub(super) patience: std::time::Duration,
    pub(super) name: String,
}

impl Plan {
    /// Starts the engine of a shard that is owned under this epoch. `others` are the names of all
    /// replicas, which may have written to the shard's history.
    pub(super) fn start(
        &self,
        shard: ShardId,
        epoch: u64,
        others: &[String],
    ) -> impl Future<Output = Result<EngineHandle, StartError>> + Send + use<> {
        let mut part = self.whole.part(shard, self.shards);
        part.ledger = LedgerPlace::Shared {
            url: self.database.0.clone(),
            epoch,
            patience: self.patience,
        };
        if let Some(folder) = part.history_dir.take() {
            let of = |name: &str| folder.join(format!("replica-{name}"));
            let others = others.iter().filter(|name| **name != self.name);
            part.written_by_others = others.map(|name| of(name)).collect();
            part.history_dir = Some(of(&self.name));
        }
        // What serves the shard next goes on with its instances.
        part.on_shutdown = OnShutdown::Keep;
        Engine::start(part)
    }
}
