//! Forecasts, plans and what governs them.

use std::time::Duration;

use foreshadow_types::{EntityId, PoolName, Timestamp};

use super::EngineHandle;
use crate::{
    config::{CapacityOverride, ShadowConfig},
    error::EngineError,
    metrics::MetricsSnapshot,
    owner::OwnerCommand,
    planning::PlanningCommand,
    views::{
        Explanation, GroupAccuracy, OverrideChange, OverridesView, PoolHistory, PoolHistoryRequest,
        PoolPlanView, PoolView, PredictRequest, Prediction, ShadowConfigOutcome,
        VersionedShadowConfig,
    },
};

impl EngineHandle {
    /// Forecasts the demand of an entity or a pool.
    ///
    /// # Errors
    /// [`EngineError::UnknownEntity`], [`EngineError::UnknownPool`] or
    /// [`EngineError::UnknownMetric`] if nothing is known, [`EngineError::Argument`] for a horizon
    /// or levels outside of what is allowed.
    pub async fn predict(&self, request: PredictRequest) -> Result<Prediction, EngineError> {
        if let Some(prediction) = self.shared.latest.borrow().answer(&request) {
            return Ok(prediction);
        }
        self.ask_planning(|reply| PlanningCommand::Predict { request, reply })
            .await?
    }

    /// The shadow configuration in force.
    ///
    /// # Errors
    /// [`EngineError::Stopped`].
    pub async fn shadow_config(&self) -> Result<VersionedShadowConfig, EngineError> {
        self.ask_planning(|reply| PlanningCommand::Config { reply })
            .await
    }

    /// Sets the shadow configuration as a whole, or with `dry_run` only says what it would give.
    ///
    /// # Errors
    /// [`EngineError::Config`] if it is not valid, [`EngineError::EtagMismatch`] if `if_match` is
    /// not the tag of the one in force, [`EngineError::Ledger`] if it cannot be kept.
    pub async fn set_shadow_config(
        &self,
        config: ShadowConfig,
        if_match: Option<String>,
        dry_run: bool,
    ) -> Result<ShadowConfigOutcome, EngineError> {
        self.ask_planning(|reply| PlanningCommand::SetConfig {
            config: Box::new(config),
            if_match,
            dry_run,
            reply,
        })
        .await?
    }

    /// Lets the plans of a pool that is in preview be carried out from now on.
    ///
    /// # Errors
    /// [`EngineError::UnknownPool`], or [`EngineError::Ledger`] if it cannot be kept.
    pub async fn make_live(&self, pool: PoolName) -> Result<ShadowConfigOutcome, EngineError> {
        self.ask_planning(|reply| PlanningCommand::MakeLive { pool, reply })
            .await?
    }

    /// Why a pool had the size it had at a time.
    ///
    /// # Errors
    /// [`EngineError::UnknownPool`], [`EngineError::NoPlan`] if none was made before that time or it
    /// is forgotten, [`EngineError::Log`] if the log cannot be read.
    pub async fn explain(&self, pool: PoolName, at: Timestamp) -> Result<Explanation, EngineError> {
        self.ask_planning(|reply| PlanningCommand::Explain { pool, at, reply })
            .await?
    }

    /// What was asked of a pool and planned for it over a span of the past.
    ///
    /// # Errors
    /// [`EngineError::UnknownPool`], [`EngineError::Argument`] for a span that is none or too long,
    /// [`EngineError::Log`] if the log of plans cannot be read.
    pub async fn pool_history(
        &self,
        request: PoolHistoryRequest,
    ) -> Result<PoolHistory, EngineError> {
        let asked = |reply| PlanningCommand::History { request, reply };
        let mut history = self.ask_planning(asked).await??;
        let until = history.from + history.step * history.demand.len() as u32;
        let (from, step) = (history.from, history.step);
        let plans = self
            .shared
            .scribe
            .between(history.pool.clone(), from, until, step);
        history.plans = plans.await?;
        Ok(history)
    }

    /// How often is planned, and how far ahead forecasts reach; zero before the first plan.
    pub fn cadence(&self) -> (Duration, Duration) {
        let latest = self.shared.latest.borrow();
        (latest.tick, latest.horizon)
    }

    /// How long ago was last planned; zero before the first plan.
    pub fn plan_age(&self) -> Duration {
        self.shared.numbers.plan_age()
    }

    /// The overrides in force, without waiting for a plan that is being made.
    pub fn published_overrides(&self) -> Vec<CapacityOverride> {
        let now = self.shared.numbers.clock.now();
        let published = self.shared.overrides.borrow().clone();
        let in_force = published.iter().filter(|one| one.holds_at(now));
        in_force.cloned().collect()
    }

    /// The overrides in force.
    ///
    /// # Errors
    /// [`EngineError::Stopped`].
    pub async fn overrides(&self) -> Result<OverridesView, EngineError> {
        self.ask_planning(|reply| PlanningCommand::Overrides { reply })
            .await
    }

    /// Sets, extends or clears an override; it is planned with at once.
    ///
    /// # Errors
    /// [`EngineError::UnknownPool`], [`EngineError::UnknownOverride`], [`EngineError::Argument`] for
    /// an end in the past, [`EngineError::EtagMismatch`], or [`EngineError::Ledger`] if it cannot be
    /// kept.
    pub async fn set_override(
        &self,
        change: OverrideChange,
        if_match: Option<String>,
    ) -> Result<OverridesView, EngineError> {
        self.ask_planning(|reply| PlanningCommand::SetOverride {
            change,
            if_match,
            reply,
        })
        .await?
    }

    /// The pools as they stand.
    ///
    /// # Errors
    /// [`EngineError::Stopped`].
    pub async fn pools(&self) -> Result<Vec<PoolView>, EngineError> {
        let pools = self
            .ask_owner(|reply| OwnerCommand::Pools { reply })
            .await?;
        let latest = self.shared.latest.borrow().clone();
        Ok(pools
            .into_iter()
            .map(|pool| latest.complete(pool))
            .collect())
    }

    /// One pool as it stands.
    ///
    /// # Errors
    /// [`EngineError::UnknownPool`].
    pub async fn pool(&self, name: PoolName) -> Result<PoolView, EngineError> {
        let asked = name.clone();
        let status = self
            .ask_owner(|reply| OwnerCommand::Pool { name: asked, reply })
            .await?;
        let status = status.ok_or(EngineError::UnknownPool(name))?;
        Ok(self.shared.latest.borrow().complete(status))
    }

    /// The latest plan.
    pub fn plan(&self) -> Vec<PoolPlanView> {
        self.shared.latest.borrow().plan()
    }

    /// All numbers of the engine.
    ///
    /// # Errors
    /// [`EngineError::Stopped`].
    pub async fn metrics(&self) -> Result<MetricsSnapshot, EngineError> {
        let pools = self.pools().await?;
        let waiting = self.shared.owner.max_capacity() - self.shared.owner.capacity();
        let mut snapshot = self.shared.numbers.snapshot(pools, waiting as u64);
        snapshot.forecasts.groups = self.adaptation();
        Ok(snapshot)
    }

    /// Actual against predicted by pool, category and model, and drift in it.
    pub fn adaptation(&self) -> Vec<GroupAccuracy> {
        self.shared.latest.borrow().adaptation.to_vec()
    }

    pub(super) async fn forget_plans(&self, entity: EntityId) -> Result<u64, EngineError> {
        self.ask_planning(|reply| PlanningCommand::Forget { entity, reply })
            .await?
    }
}
