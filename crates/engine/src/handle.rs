//! What callers hold: the engine's calls, in domain types.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use foreshadow_allocator::{
    Allocation, AllocationRequest, Input, ListFilter, Page, Reply, TenantQuota,
};
use foreshadow_shadow::Observation;
use foreshadow_types::{
    AllocationId, EntityId, FencingToken, InstanceId, PoolName, TenantId, UserId,
};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_stream::{Stream, wrappers::WatchStream};

use crate::{
    clock::Stopwatch,
    collector::CollectorCommand,
    config::{Durability, OnShutdown, ShadowConfig},
    error::EngineError,
    lifecycle::Lifecycle,
    metrics::MetricsSnapshot,
    models::{self, ModelStore, ModelView},
    numbers::Numbers,
    owner::OwnerCommand,
    planning::{LatestForecasts, PlanningCommand},
    views::{
        Forgotten, GroupAccuracy, OverrideChange, OverridesView, PoolPlanView, PoolView,
        PredictRequest, Prediction, Readiness, ReportOutcome, ResourceShadowView,
        ShadowConfigOutcome, VersionedShadowConfig,
    },
};

/// What the parts of the engine are reached by.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) owner: mpsc::Sender<OwnerCommand>,
    pub(crate) collector: mpsc::Sender<CollectorCommand>,
    pub(crate) planning: mpsc::Sender<PlanningCommand>,
    pub(crate) latest: watch::Receiver<Arc<LatestForecasts>>,
    pub(crate) numbers: Arc<Numbers>,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) durability: Durability,
    pub(crate) models: Arc<ModelStore>,
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

    /// Asks for an instance: granted, joined, queued or booked.
    ///
    /// # Errors
    /// [`EngineError::Allocator`] if it is refused.
    pub async fn allocate(&self, request: AllocationRequest) -> Result<Allocation, EngineError> {
        self.allocation(Input::Allocate(Arc::new(request))).await
    }

    /// Gives many leases back and asks for many instances at once, in this order; the answers are in
    /// the order of what was asked and leave together.
    ///
    /// # Errors
    /// The call fails as a whole only if the engine has stopped; each release and each request is
    /// granted or refused by itself.
    pub async fn exchange(
        &self,
        releases: Vec<(AllocationId, FencingToken)>,
        requests: Vec<AllocationRequest>,
    ) -> Result<Exchanged, EngineError> {
        let count = releases.len();
        let releases = releases
            .into_iter()
            .map(|(id, token)| Input::Release { id, token });
        let requests = requests
            .into_iter()
            .map(|request| Input::Allocate(Arc::new(request)));
        let (reply, answer) = oneshot::channel();
        let asked = Stopwatch::start();
        let command = OwnerCommand::Many {
            inputs: releases.chain(requests).collect(),
            asked,
            reply,
        };
        self.ask_owner(command).await?;
        let answers = answer.await.map_err(|_| EngineError::Stopped)?;
        let mut answers = answers.into_iter().map(into_allocation);
        Ok(Exchanged {
            released: answers.by_ref().take(count).collect(),
            granted: answers.collect(),
        })
    }

    /// Gives an instance back.
    ///
    /// # Errors
    /// [`EngineError::Allocator`] if there is no such allocation, the token is stale or nothing is
    /// held.
    pub async fn release(
        &self,
        id: AllocationId,
        token: FencingToken,
    ) -> Result<Allocation, EngineError> {
        self.allocation(Input::Release { id, token }).await
    }

    /// Keeps an instance for so long from now; `None` repeats the lease's duration.
    ///
    /// # Errors
    /// [`EngineError::Allocator`] as for [`release`](Self::release), or for a lease that is too long.
    pub async fn renew(
        &self,
        id: AllocationId,
        token: FencingToken,
        duration: Option<Duration>,
    ) -> Result<Allocation, EngineError> {
        let input = Input::Renew {
            id,
            token,
            duration,
        };
        self.allocation(input).await
    }

    /// Withdraws a request that holds nothing yet.
    ///
    /// # Errors
    /// [`EngineError::Allocator`] if there is no such allocation or it holds an instance.
    pub async fn cancel(&self, id: AllocationId) -> Result<Allocation, EngineError> {
        self.allocation(Input::Cancel { id }).await
    }

    /// An allocation as it stands.
    ///
    /// # Errors
    /// [`EngineError::Allocator`] if there is none.
    pub async fn get(&self, id: AllocationId) -> Result<Allocation, EngineError> {
        let (reply, answer) = oneshot::channel();
        self.ask_owner(OwnerCommand::Get { id, reply }).await?;
        answer.await.map_err(|_| EngineError::Stopped)?
    }

    /// An allocation as it stands, and as it changes until it has ended.
    ///
    /// # Errors
    /// [`EngineError::Allocator`] if there is none.
    pub async fn watch(&self, id: AllocationId) -> Result<AllocationWatch, EngineError> {
        let (reply, answer) = oneshot::channel();
        self.ask_owner(OwnerCommand::Watch { id, reply }).await?;
        let receiver = answer.await.map_err(|_| EngineError::Stopped)??;
        Ok(AllocationWatch(WatchStream::new(receiver)))
    }

    /// A page of allocations in order of their ids, at most `limit` after `after`.
    ///
    /// # Errors
    /// [`EngineError::Stopped`].
    pub async fn list(
        &self,
        filter: ListFilter,
        after: Option<AllocationId>,
        limit: usize,
    ) -> Result<Page, EngineError> {
        let (reply, answer) = oneshot::channel();
        let command = OwnerCommand::List {
            filter,
            after,
            limit,
            reply,
        };
        self.ask_owner(command).await?;
        answer.await.map_err(|_| EngineError::Stopped)
    }

    /// Takes an instance out: at once if it is free, after use if it is held.
    ///
    /// # Errors
    /// [`EngineError::Allocator`] if there is no such instance.
    pub async fn drain(&self, instance: InstanceId) -> Result<(), EngineError> {
        self.input(Input::Drain { instance }).await.map(|_| ())
    }

    /// Takes out all instances that a pool has now, each as [`drain`](Self::drain) does; others are
    /// started in their place.
    ///
    /// # Errors
    /// [`EngineError::Allocator`] if there is no such pool.
    pub async fn drain_pool(&self, pool: PoolName) -> Result<(), EngineError> {
        self.input(Input::DrainPool(pool)).await.map(|_| ())
    }

    /// Whether this token is that of the present holders of an instance: what the resource's side asks
    /// before it serves a caller.
    ///
    /// # Errors
    /// [`EngineError::Allocator`] if nobody holds the instance or others hold it now.
    pub async fn check_token(
        &self,
        instance: InstanceId,
        token: FencingToken,
    ) -> Result<(), EngineError> {
        let (reply, answer) = oneshot::channel();
        let command = OwnerCommand::CheckToken {
            instance,
            token,
            reply,
        };
        self.ask_owner(command).await?;
        answer.await.map_err(|_| EngineError::Stopped)?
    }

    /// Sets what a tenant may take; an empty quota takes the general limits again.
    ///
    /// # Errors
    /// [`EngineError::Allocator`] if the quota makes no sense.
    pub async fn set_quota(&self, tenant: TenantId, quota: TenantQuota) -> Result<(), EngineError> {
        let limit = Input::LimitTenant { tenant, quota };
        self.input(limit).await.map(|_| ())
    }

    /// The tenants with a quota of their own, in order of their names.
    ///
    /// # Errors
    /// [`EngineError::Stopped`].
    pub async fn quotas(&self) -> Result<Vec<(TenantId, TenantQuota)>, EngineError> {
        let (reply, answer) = oneshot::channel();
        self.ask_owner(OwnerCommand::Quotas { reply }).await?;
        let mut quotas = answer.await.map_err(|_| EngineError::Stopped)?;
        quotas.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(quotas)
    }

    /// How durable an acknowledged decision is.
    pub fn durability(&self) -> Durability {
        self.shared.durability
    }

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
        let (reply, answer) = oneshot::channel();
        self.ask_planning(PlanningCommand::Predict { request, reply })
            .await?;
        answer.await.map_err(|_| EngineError::Stopped)?
    }

    /// Takes observations. It waits while earlier ones are still being taken; once it has answered,
    /// what was accepted survives a crash of the process.
    ///
    /// # Errors
    /// [`EngineError::Stopped`], or [`EngineError::Ledger`] if they cannot be kept.
    pub async fn report(
        &self,
        observations: Vec<Observation>,
    ) -> Result<ReportOutcome, EngineError> {
        let (reply, answer) = oneshot::channel();
        let command = CollectorCommand::Report {
            observations,
            reply,
        };
        self.ask_collector(command).await?;
        answer.await.map_err(|_| EngineError::Stopped)?
    }

    /// The resource shadow of a user.
    ///
    /// # Errors
    /// [`EngineError::UnknownEntity`] if nothing is known of them.
    pub async fn resource_shadow(&self, user: &UserId) -> Result<ResourceShadowView, EngineError> {
        let entity = EntityId::from(user);
        let (reply, answer) = oneshot::channel();
        let command = CollectorCommand::Shadow {
            entity: entity.clone(),
            reply,
        };
        self.ask_collector(command).await?;
        let shadow = answer.await.map_err(|_| EngineError::Stopped)?;
        let latest = self.shared.latest.borrow().clone();
        let overrides = self.overrides().await?.overrides;
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
        let (reply, answer) = oneshot::channel();
        let user = user.clone();
        self.ask_owner(OwnerCommand::Forget { user, reply }).await?;
        let allocations = answer.await.map_err(|_| EngineError::Stopped)??;
        let (reply, answer) = oneshot::channel();
        let command = CollectorCommand::Forget {
            entity: entity.clone(),
            reply,
        };
        self.ask_collector(command).await?;
        let (shadow, history_rows) = answer.await.map_err(|_| EngineError::Stopped)??;
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

    async fn forget_plans(&self, entity: EntityId) -> Result<u64, EngineError> {
        let (reply, answer) = oneshot::channel();
        self.ask_planning(PlanningCommand::Forget { entity, reply })
            .await?;
        answer.await.map_err(|_| EngineError::Stopped)?
    }

    async fn live_allocations(&self, user: &UserId) -> Result<Vec<Allocation>, EngineError> {
        let (reply, answer) = oneshot::channel();
        let user = user.clone();
        self.ask_owner(OwnerCommand::OfUser { user, reply }).await?;
        answer.await.map_err(|_| EngineError::Stopped)
    }

    /// The shadow configuration in force.
    ///
    /// # Errors
    /// [`EngineError::Stopped`].
    pub async fn shadow_config(&self) -> Result<VersionedShadowConfig, EngineError> {
        let (reply, answer) = oneshot::channel();
        self.ask_planning(PlanningCommand::Config { reply }).await?;
        answer.await.map_err(|_| EngineError::Stopped)
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
        let (reply, answer) = oneshot::channel();
        let command = PlanningCommand::SetConfig {
            config: Box::new(config),
            if_match,
            dry_run,
            reply,
        };
        self.ask_planning(command).await?;
        answer.await.map_err(|_| EngineError::Stopped)?
    }

    /// The overrides in force.
    ///
    /// # Errors
    /// [`EngineError::Stopped`].
    pub async fn overrides(&self) -> Result<OverridesView, EngineError> {
        let (reply, answer) = oneshot::channel();
        self.ask_planning(PlanningCommand::Overrides { reply })
            .await?;
        answer.await.map_err(|_| EngineError::Stopped)
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
        let (reply, answer) = oneshot::channel();
        let command = PlanningCommand::SetOverride {
            change,
            if_match,
            reply,
        };
        self.ask_planning(command).await?;
        answer.await.map_err(|_| EngineError::Stopped)?
    }

    /// The pools as they stand.
    ///
    /// # Errors
    /// [`EngineError::Stopped`].
    pub async fn pools(&self) -> Result<Vec<PoolView>, EngineError> {
        let (reply, answer) = oneshot::channel();
        self.ask_owner(OwnerCommand::Pools { reply }).await?;
        let pools = answer.await.map_err(|_| EngineError::Stopped)?;
        let latest = self.shared.latest.borrow().clone();
        Ok(pools
            .into_iter()
            .map(|pool| latest.complete(pool))
            .collect())
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

    /// The models that retraining has made, the oldest first.
    ///
    /// # Errors
    /// [`EngineError::Stopped`].
    pub async fn models(&self) -> Result<Vec<ModelView>, EngineError> {
        let store = self.shared.models.clone();
        let listed =
            tokio::task::spawn_blocking(move || models::list(&store.models, &store.load)).await;
        listed.map_err(|_| EngineError::Stopped)
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
        let asked = name.clone();
        let read = tokio::task::spawn_blocking(move || store.take_up(&asked)).await;
        let (model, warm) = read
            .map_err(|_| EngineError::Stopped)?
            .map_err(|reason| refused(&name, reason))?;
        tracing::info!(name, "a model is taken up and kept");
        self.ask_planning(PlanningCommand::UseModel {
            model: model.forecaster,
            interval: model.interval,
            warm,
        })
        .await
    }

    /// Whether the engine can serve.
    pub fn ready(&self) -> Readiness {
        self.shared.lifecycle.readiness()
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

    async fn allocation(&self, input: Input) -> Result<Allocation, EngineError> {
        into_allocation(self.input(input).await)
    }

    async fn input(&self, input: Input) -> Result<Reply, EngineError> {
        let (reply, answer) = oneshot::channel();
        let asked = Stopwatch::start();
        let command = OwnerCommand::One {
            input,
            asked,
            reply,
        };
        self.ask_owner(command).await?;
        answer.await.map_err(|_| EngineError::Stopped)?
    }

    async fn ask_owner(&self, command: OwnerCommand) -> Result<(), EngineError> {
        let sent = self.shared.owner.send(command).await;
        sent.map_err(|_| EngineError::Stopped)
    }

    async fn ask_collector(&self, command: CollectorCommand) -> Result<(), EngineError> {
        let sent = self.shared.collector.send(command).await;
        sent.map_err(|_| EngineError::Stopped)
    }

    async fn ask_planning(&self, command: PlanningCommand) -> Result<(), EngineError> {
        let sent = self.shared.planning.send(command).await;
        sent.map_err(|_| EngineError::Stopped)
    }
}

/// What became of an [`EngineHandle::exchange`].
#[derive(Debug)]
pub struct Exchanged {
    /// One for each release, in their order.
    pub released: Vec<Result<Allocation, EngineError>>,
    /// One for each request, in their order.
    pub granted: Vec<Result<Allocation, EngineError>>,
}

fn into_allocation(reply: Result<Reply, EngineError>) -> Result<Allocation, EngineError> {
    match reply? {
        Reply::Allocation(allocation) => Ok(*allocation),
        Reply::Done => Err(EngineError::Stopped),
    }
}

/// An allocation as it changes: the present state first, then each later one; states that follow
/// each other quickly may be left out, the last never is. Ends when the allocation has.
#[derive(Debug)]
pub struct AllocationWatch(WatchStream<Allocation>);

impl Stream for AllocationWatch {
    type Item = Allocation;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Allocation>> {
        Pin::new(&mut self.0).poll_next(context)
    }
}
