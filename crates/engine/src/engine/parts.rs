//! What runs, and its end in order.

use std::{sync::Arc, thread};

use foreshadow_providers::Providers;
use foreshadow_types::InstanceId;
use tokio::{
    sync::{mpsc, oneshot},
    task::{AbortHandle, JoinSet},
};

use crate::{
    collector::CollectorCommand,
    config::EngineConfig,
    error::{EngineError, StartError},
    lifecycle::Lifecycle,
    owner::{self, Ending, Owner},
};

/// How the owner ends.
pub(super) type Ended = oneshot::Receiver<Result<Ending, EngineError>>;

/// Gives the owner its thread.
pub(super) fn spawn_owner(
    owner: Owner,
    lifecycle: &Lifecycle,
    config: &EngineConfig,
    inbox: owner::Inbox,
) -> Result<Ended, StartError> {
    let (ending, ended) = oneshot::channel();
    let lifecycle = lifecycle.clone();
    let on_shutdown = config.on_shutdown;
    thread::Builder::new()
        .name("foreshadow-owner".to_owned())
        .spawn(move || {
            let outcome = owner.run(inbox, &lifecycle, on_shutdown);
            // Whoever supervises may be gone with its runtime; then there is nobody to tell.
            let _ = ending.send(outcome);
        })
        .map_err(|source| StartError::Io {
            path: "the owner's thread".into(),
            source,
        })?;
    Ok(ended)
}

/// Everything that runs.
pub(super) struct Parts {
    pub(super) ended: Ended,
    pub(super) tasks: JoinSet<()>,
    /// What decides nothing any more once the owner has ended.
    pub(super) stopped_first: [AbortHandle; 2],
    pub(super) collector: mpsc::Sender<CollectorCommand>,
    pub(super) provider: Arc<Providers>,
}

impl Parts {
    /// Owns all tasks and ends them in order: decisions first, then processes, then what is
    /// buffered.
    pub(super) async fn supervise(mut self, lifecycle: Lifecycle) {
        let ending = self.ended.await.unwrap_or(Err(EngineError::Stopped));
        let stop: Vec<InstanceId> = match &ending {
            Ok(ending) => ending.stop.clone(),
            Err(error) => {
                tracing::error!(%error, "the engine stops; processes are kept");
                Vec::new()
            }
        };
        for task in &self.stopped_first {
            task.abort();
        }
        self.provider.close(&stop).await;
        // A collector that has ended already has written what it could.
        let _ = self.collector.send(CollectorCommand::Finish).await;
        while let Some(task) = self.tasks.join_next().await {
            if let Err(error) = task
                && !error.is_cancelled()
            {
                tracing::error!(%error, "a part of the engine failed");
            }
        }
        lifecycle.stopped_with(ending.map(|_| ()));
    }
}
