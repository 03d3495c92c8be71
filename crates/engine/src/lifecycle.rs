//! Where the engine stands: serving, stopping, stopped.

use std::{future::Future, sync::Arc};

use tokio::sync::watch;

use crate::{
    config::OnShutdown,
    error::EngineError,
    pulse::{self, Pulse},
    views::Readiness,
};

/// The stages, in order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Stage {
    /// → Serving once recovered; → Stopped on failure.
    Starting,
    /// → Stopping when asked; → Stopped on failure.
    Serving,
    /// → Stopped when everything is flushed.
    Stopping(Option<OnShutdown>),
    /// Final.
    Stopped(Result<(), EngineError>),
}

/// The stage as all parts see it, and whether decisions go on.
#[derive(Debug, Clone)]
pub(crate) struct Lifecycle {
    stage: Arc<watch::Sender<Stage>>,
    pulse: Arc<Pulse>,
}

impl Lifecycle {
    pub(crate) fn new() -> Self {
        Self {
            stage: Arc::new(watch::Sender::new(Stage::Starting)),
            pulse: Arc::default(),
        }
    }

    pub(crate) fn pulse(&self) -> &Pulse {
        &self.pulse
    }

    pub(crate) fn serving(&self) {
        self.stage.send_if_modified(|stage| {
            let starting = *stage == Stage::Starting;
            if starting {
                self.pulse.beat();
                *stage = Stage::Serving;
            }
            starting
        });
    }

    pub(crate) fn ask_to_stop(&self, processes: Option<OnShutdown>) {
        self.stage.send_if_modified(|stage| {
            let running = matches!(stage, Stage::Starting | Stage::Serving);
            if running {
                *stage = Stage::Stopping(processes);
            }
            running
        });
    }

    /// The first outcome counts.
    pub(crate) fn stopped_with(&self, outcome: Result<(), EngineError>) {
        self.stage.send_if_modified(|stage| {
            let first = !matches!(stage, Stage::Stopped(_));
            if first {
                *stage = Stage::Stopped(outcome);
            }
            first
        });
    }

    /// Runs what ends the engine in the end; a fault in it is an end as well, so that nobody waits for
    /// ever.
    pub(crate) fn run_to_end(&self, engine: impl Future<Output = ()> + Send + 'static) {
        let lifecycle = self.clone();
        tokio::spawn(async move {
            if let Err(fault) = tokio::spawn(engine).await {
                tracing::error!(%fault, "the engine failed while it ended");
                lifecycle.stopped_with(Err(EngineError::Stopped));
            }
        });
    }

    pub(crate) fn readiness(&self) -> Readiness {
        let not_ready = |reason: &str| Readiness::NotReady(reason.to_owned());
        match &*self.stage.borrow() {
            Stage::Starting => not_ready("starting"),
            Stage::Serving => match pulse::not_ready(self.pulse.still()) {
                None => Readiness::Ready,
                Some(reason) => Readiness::NotReady(reason),
            },
            Stage::Stopping(_) => not_ready("shutting down"),
            Stage::Stopped(Ok(())) => not_ready("stopped"),
            Stage::Stopped(Err(error)) => Readiness::NotReady(error.to_string()),
        }
    }

    /// Whether the engine decides, or may do so yet.
    pub(crate) fn is_alive(&self) -> bool {
        match &*self.stage.borrow() {
            Stage::Serving => pulse::is_alive(self.pulse.still()),
            Stage::Starting | Stage::Stopping(_) | Stage::Stopped(_) => true,
        }
    }

    /// Waits until the engine is asked to stop, or has failed; how processes are to be treated.
    pub(crate) async fn asked_to_stop(&self) -> Option<OnShutdown> {
        let mut stages = self.stage.subscribe();
        let stage = stages
            .wait_for(|stage| matches!(stage, Stage::Stopping(_) | Stage::Stopped(_)))
            .await;
        match stage.as_deref() {
            Ok(Stage::Stopping(processes)) => *processes,
            Ok(Stage::Starting | Stage::Serving | Stage::Stopped(_)) | Err(_) => None,
        }
    }

    pub(crate) async fn stopped(&self) -> Result<(), EngineError> {
        let mut stages = self.stage.subscribe();
        let stage = stages
            .wait_for(|stage| matches!(stage, Stage::Stopped(_)))
            .await;
        match stage.as_deref() {
            Ok(Stage::Stopped(outcome)) => outcome.clone(),
            Ok(Stage::Starting | Stage::Serving | Stage::Stopping(_)) | Err(_) => {
                Err(EngineError::Stopped)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_engine_that_fails_while_it_ends_has_stopped() {
        let lifecycle = Lifecycle::new();
        lifecycle.serving();
        lifecycle.run_to_end(async { panic!("a fault in the engine") });
        assert_eq!(lifecycle.stopped().await, Err(EngineError::Stopped));
    }
}
