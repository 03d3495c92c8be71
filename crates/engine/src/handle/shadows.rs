//! What is known of users: reported, asked for, deleted.

use std::time::Duration;

use foreshadow_shadow::Observation;
use foreshadow_types::{EntityId, UserId};
use tokio::time::sleep;

use super::EngineHandle;
use crate::{
    collector::{CollectorCommand, ReportError},
    error::EngineError,
    owner::OwnerCommand,
    views::{Forgotten, ReportOutcome, ResourceShadowView},
};

/// How often observations are offered that cannot be taken yet, and how long to wait after each time.
const ATTEMPTS: u32 = 5;
const PAUSE: Duration = Duration::from_millis(500);

impl EngineHandle {
    /// Takes observations. It waits while earlier ones are still being taken; once it has answered,
    /// what was accepted survives a crash of the process.
    ///
    /// # Errors
    /// [`EngineError::Stopped`], or [`EngineError::Ledger`] if they cannot be kept.
    pub async fn report(
        &self,
        observations: Vec<Observation>,
    ) -> Result<ReportOutcome, EngineError> {
        self.reported(observations, false).await
    }

    /// The same for a sender who sends again what was not answered: an observation that was taken of late
    /// with the same time and value counts once.
    ///
    /// # Errors
    /// As [`report`](Self::report).
    pub async fn report_once(
        &self,
        observations: Vec<Observation>,
    ) -> Result<ReportOutcome, EngineError> {
        self.reported(observations, true).await
    }

    async fn reported(
        &self,
        observations: Vec<Observation>,
        once: bool,
    ) -> Result<ReportOutcome, EngineError> {
        if observations.is_empty() {
            return Ok(ReportOutcome::default());
        }
        let mut left = observations;
        for _ in 0..ATTEMPTS {
            let report = |reply| CollectorCommand::Report {
                observations: left,
                once,
                reply,
            };
            match self.ask_collector(report).await? {
                Ok(outcome) => return Ok(outcome),
                Err(ReportError::Journal(reason)) => {
                    let reason = format!("the journal of samples: {reason}");
                    return Err(EngineError::Ledger(reason));
                }
                Err(ReportError::Behind(observations)) => left = observations,
            }
            sleep(PAUSE).await;
        }
        let reason = "the history is behind; send again later";
        Err(EngineError::Ledger(reason.to_owned()))
    }

    /// The resource shadow of a user.
    ///
    /// # Errors
    /// [`EngineError::UnknownEntity`] if nothing is known of them.
    pub async fn resource_shadow(&self, user: &UserId) -> Result<ResourceShadowView, EngineError> {
        let entity = EntityId::from(user);
        let asked = entity.clone();
        let shadow = self
            .ask_collector(|reply| CollectorCommand::Shadow {
                entity: asked,
                reply,
            })
            .await?;
        let latest = self.shared.latest.borrow().clone();
        let overrides = self.published_overrides();
        let allocations = self.live_allocations(user).await?;
        ResourceShadowView::assemble(entity, shadow, &latest, overrides, allocations)
    }

    /// Deletes a user everywhere: the shadow, the history, forecasts, overrides and what allocations
    /// say of them. A model that was trained on their usage stays.
    ///
    /// # Errors
    /// [`EngineError::UnknownEntity`] if nothing was known of them, [`EngineError::Ledger`] if a
    /// file cannot be written; then some of it may be there still and the call can be repeated.
    pub async fn forget_user(&self, user: &UserId) -> Result<Forgotten, EngineError> {
        let entity = EntityId::from(user);
        let overrides = self.forget_plans(entity.clone()).await?;
        let user = user.clone();
        let allocations = self
            .ask_owner(|reply| OwnerCommand::Forget { user, reply })
            .await??;
        let collected = entity.clone();
        let (shadow, history_rows) = self
            .ask_collector(|reply| CollectorCommand::Forget {
                entity: collected,
                reply,
            })
            .await??;
        // A tick that was under way has read the series before they were dropped.
        self.forget_plans(entity.clone()).await?;
        let forgotten = Forgotten {
            shadow,
            history_rows,
            allocations,
            overrides,
        };
        if forgotten == Forgotten::default() {
            return Err(EngineError::UnknownEntity(entity));
        }
        Ok(forgotten)
    }
}
