//! What callers hold: the engine's calls, in domain types.

mod allocations;
mod audit;
mod models;
mod past;
mod planning;
mod shadows;

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};

pub use allocations::{AllocationWatch, Exchanged};
pub(crate) use past::PastShadows;

use crate::{
    collector::CollectorCommand,
    config::{CapacityOverride, Durability, OnShutdown},
    error::EngineError,
    lifecycle::Lifecycle,
    models::ModelStore,
    numbers::Numbers,
    owner::OwnerCommand,
    planning::{LatestForecasts, PlanningCommand},
    scribe::Scribe,
    views::Readiness,
};

/// What the parts of the engine are reached by.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) owner: mpsc::Sender<OwnerCommand>,
    pub(crate) collector: mpsc::Sender<CollectorCommand>,
    pub(crate) planning: mpsc::Sender<PlanningCommand>,
    pub(crate) latest: watch::Receiver<Arc<LatestForecasts>>,
    /// Overrides, those that are over included.
    pub(crate) overrides: watch::Receiver<Arc<[CapacityOverride]>>,
    pub(crate) numbers: Arc<Numbers>,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) durability: Durability,
    pub(crate) models: Arc<ModelStore>,
    pub(crate) scribe: Scribe,
    pub(crate) past: PastShadows,
}

/// When nobody can call the engine any more it stops, and all processes are kept.
impl Drop for Shared {
    fn drop(&mut self) {
        self.lifecycle.ask_to_stop(Some(OnShutdown::Keep));
    }
}

/// The engine, as its callers see it; cheap to clone. When the last one is dropped, the engine stops
/// and the processes are kept for the next run.
///
/// Calls are answered when what they decided is durable. When the engine has stopped, every call
/// answers [`EngineError::Stopped`].
#[derive(Debug, Clone)]
pub struct EngineHandle {
    shared: Arc<Shared>,
}

impl EngineHandle {
    pub(crate) fn new(shared: Shared) -> Self {
        Self {
            shared: Arc::new(shared),
        }
    }

    /// How durable an acknowledged decision is.
    pub fn durability(&self) -> Durability {
        self.shared.durability
    }

    /// Whether the engine can serve.
    pub fn ready(&self) -> Readiness {
        self.shared.lifecycle.readiness()
    }

    /// Whether the engine goes on deciding, or begins or ends in order. One that has stood still for minutes
    /// is helped by a new process alone.
    pub fn is_alive(&self) -> bool {
        self.shared.lifecycle.is_alive()
    }

    /// Waits until the engine has stopped; an error says why if it was not asked to.
    ///
    /// # Errors
    /// [`EngineError::Ledger`] if decisions could no longer be kept.
    pub async fn stopped(&self) -> Result<(), EngineError> {
        self.shared.lifecycle.stopped().await
    }

    /// Stops: no further calls are taken, those under way are answered, processes are kept or
    /// stopped as configured, everything is flushed.
    ///
    /// # Errors
    /// [`EngineError::Ledger`] if decisions could no longer be kept.
    pub async fn shutdown(&self) -> Result<(), EngineError> {
        self.shared.lifecycle.ask_to_stop(None);
        self.stopped().await
    }

    /// Stops as [`shutdown`](Self::shutdown) does, but treats processes as given here.
    ///
    /// # Errors
    /// [`EngineError::Ledger`] if decisions could no longer be kept.
    pub async fn shutdown_with(&self, processes: OnShutdown) -> Result<(), EngineError> {
        self.shared.lifecycle.ask_to_stop(Some(processes));
        self.stopped().await
    }

    async fn ask_owner<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<T>) -> OwnerCommand,
    ) -> Result<T, EngineError> {
        ask(&self.shared.owner, command).await
    }

    async fn ask_collector<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<T>) -> CollectorCommand,
    ) -> Result<T, EngineError> {
        ask(&self.shared.collector, command).await
    }

    async fn ask_planning<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<T>) -> PlanningCommand,
    ) -> Result<T, EngineError> {
        ask(&self.shared.planning, command).await
    }
}

/// Sends a command that says where its answer goes, and waits for the answer.
async fn ask<C, T>(
    to: &mpsc::Sender<C>,
    command: impl FnOnce(oneshot::Sender<T>) -> C,
) -> Result<T, EngineError> {
    let (reply, answer) = oneshot::channel();
    let sent = to.send(command(reply)).await;
    sent.map_err(|_| EngineError::Stopped)?;
    answer.await.map_err(|_| EngineError::Stopped)
}
