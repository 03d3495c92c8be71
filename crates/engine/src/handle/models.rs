//! The models that retraining has made.

use super::EngineHandle;
use crate::{
    error::EngineError,
    models::{self, ModelView},
    planning::{PlanningCommand, Successor},
};

impl EngineHandle {
    /// The pretrained model, unless it is switched off, and those that retraining has made, the oldest
    /// first.
    ///
    /// # Errors
    /// [`EngineError::Stopped`].
    pub async fn models(&self) -> Result<Vec<ModelView>, EngineError> {
        let store = self.shared.models.clone();
        let answering = self.shared.numbers.forecasts.model.get();
        let listed = tokio::task::spawn_blocking(move || store.list(&answering)).await;
        listed.map_err(|_| EngineError::Stopped)
    }

    /// What became of the latest training, in words; `None` until there is one.
    pub fn latest_training(&self) -> Option<String> {
        let latest = self.shared.numbers.retraining.latest.get();
        (!latest.is_empty()).then_some(latest)
    }

    /// Asks for a training now; it runs beside everything else, and its model is taken up if it is
    /// better.
    ///
    /// # Errors
    /// [`EngineError::Training`] if one is under way and another waits.
    pub async fn retrain(&self) -> Result<(), EngineError> {
        self.ask_planning(|reply| PlanningCommand::Retrain { reply })
            .await?
    }

    /// Takes a model up and keeps it whatever retraining finds; `None` leaves the choice to
    /// retraining again, and the model in use.
    ///
    /// # Errors
    /// [`EngineError::Model`] if there is none of this name or it cannot be used; the model in use
    /// then stays.
    pub async fn use_model(&self, name: Option<String>) -> Result<(), EngineError> {
        let store = self.shared.models.clone();
        let refused = |name: &str, reason: String| EngineError::Model {
            name: name.to_owned(),
            reason,
        };
        let Some(name) = name else {
            return models::pin(&store.models, None)
                .map_err(|error| refused("", error.to_string()));
        };
        let (asked, now) = (name.clone(), self.shared.numbers.clock.now());
        let read = tokio::task::spawn_blocking(move || store.take_up(&asked, now)).await;
        let (model, warm) = read
            .map_err(|_| EngineError::Stopped)?
            .map_err(|reason| refused(&name, reason))?;
        tracing::info!(name, "a model is taken up and kept");
        let command = PlanningCommand::UseModel(Successor::of(model, warm));
        let sent = self.shared.planning.send(command).await;
        sent.map_err(|_| EngineError::Stopped)
    }
}
