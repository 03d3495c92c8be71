//! A shard that this replica has.

use std::{collections::BTreeMap, future::Future, time::Duration};

use foreshadow_engine::{
    Engine, EngineConfig, EngineError, EngineHandle, Readiness, StartError,
    config::{LedgerPlace, OnShutdown, SharedTraining},
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
    /// Its engine starts. → Serving when it has; → Ending when the shard is not wanted any more.
    Starting,
    /// Its engine serves. → Ending when the shard is lost or not wanted any more.
    Serving(EngineHandle),
    /// Its engine ends; then the shard is given back, and by then in any case: whatever the engine
    /// still does is refused once another has the shard.
    Ending {
        /// The latest.
        by: Instant,
    },
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
            Stage::Starting | Stage::Ending { .. } => None,
        }
    }

    pub(super) fn is_ending(&self) -> bool {
        matches!(self.stage, Stage::Ending { .. })
    }

    /// Whether its engine should have ended by now.
    fn is_overdue(&self, now: Instant) -> bool {
        matches!(self.stage, Stage::Ending { by } if by <= now)
    }

    /// Whether its engine has ended by itself or is to be ended: another has written to the shard's
    /// ledger, nothing can be written, or nothing was decided for a while.
    pub(super) fn has_failed(&self) -> bool {
        self.engine()
            .is_some_and(|engine| engine.ready() != Readiness::Ready)
    }
}

/// The shards that are renewed, with their epochs: all but those whose engines should have ended.
pub(super) fn renewable(held: &BTreeMap<ShardId, Holding>, now: Instant) -> Vec<(ShardId, u64)> {
    let renewed = held.iter().filter(|(_, one)| !one.is_overdue(now));
    renewed.map(|(id, one)| (*id, one.epoch)).collect()
}

/// The shards, with their epochs, whose engines should have ended.
pub(super) fn overdue(held: &BTreeMap<ShardId, Holding>, now: Instant) -> Vec<(ShardId, u64)> {
    let overdue = held.iter().filter(|(_, one)| one.is_overdue(now));
    overdue.map(|(id, one)| (*id, one.epoch)).collect()
}

/// Waits for an engine's end, whose fault is told and is an end as well.
pub(super) async fn ended(
    shard: ShardId,
    end: impl Future<Output = Result<(), EngineError>> + Send + 'static,
) {
    match tokio::spawn(end).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%shard, %error, "a shard's engine ended"),
        Err(fault) => tracing::error!(%shard, %fault, "a shard's engine failed while it ended"),
    }
}

/// How the engines of shards are started.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) whole: EngineConfig,
    pub(super) database: Secret,
    pub(super) shards: Shards,
    pub(super) patience: Duration,
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
        part.retraining.shared = self.whole.history_dir.clone().map(SharedTraining::of);
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

#[cfg(test)]
mod tests {
    use super::*;

    const SHARD: ShardId = ShardId(3);

    fn holding(stage: Stage, until: Instant) -> Holding {
        Holding {
            stage,
            ..Holding::starting(7, until)
        }
    }

    #[tokio::test]
    async fn a_shard_whose_engine_does_not_end_in_time_is_not_renewed_and_is_given_back() {
        let now = Instant::now();
        let later = now + Duration::from_secs(1);
        let ending = holding(Stage::Ending { by: later }, later);
        let held = BTreeMap::from([
            (SHARD, ending),
            (ShardId(4), holding(Stage::Starting, later)),
        ]);
        assert_eq!(renewable(&held, now), [(SHARD, 7), (ShardId(4), 7)]);
        assert!(overdue(&held, now).is_empty());
        assert_eq!(renewable(&held, later), [(ShardId(4), 7)]);
        assert_eq!(overdue(&held, later), [(SHARD, 7)]);
    }

    #[tokio::test]
    async fn an_engine_that_panics_while_it_ends_has_ended() {
        ended(SHARD, async { panic!("a fault in the engine") }).await;
        ended(SHARD, async { Err(EngineError::Stopped) }).await;
    }
}
