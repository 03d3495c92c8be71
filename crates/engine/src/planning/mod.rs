//! Forecasts, rules, overrides and plans, renewed each tick.

mod adaptation;
mod admin;
mod command;
mod document;
mod drift;
mod forecasts;
mod history;
mod idle;
mod latest;
mod pool;
mod predict;
mod preview;
mod rebuild;
mod recall;
mod score;
#[cfg(test)]
mod story;
mod succession;
mod tick;
mod training;
mod usage;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use foreshadow_planner::{FollowBook, RuleBook};
use foreshadow_types::{PoolName, Timestamp};
use tokio::sync::{mpsc, oneshot, watch};

pub(crate) use self::{
    command::PlanningCommand,
    document::{
        OVERRIDES, SHADOW_CONFIG, ShapeRecord, TriggerRecord, Versioned, read_config,
        read_overrides, read_trigger, trigger_record,
    },
    latest::{LatestForecasts, REQUESTS},
    pool::PlannedPool,
    recall::{PastRequests, Recalling, recall},
    succession::{Succession, Successor},
};
use self::{forecasts::Forecasts, training::Drift};
use crate::{
    collector::CollectorCommand,
    config::{CapacityOverride, ConfigError, PoolConfig, ShadowConfig, shapes},
    error::{EngineError, StartError},
    inference::Inference,
    numbers::Numbers,
    owner::OwnerCommand,
    retraining::TrainNow,
    scribe::Scribe,
};

/// The planners of all pools and what they go by.
pub(crate) struct Planning {
    pools: BTreeMap<PoolName, PlannedPool>,
    /// Pools of other shards, which the configuration may speak of.
    elsewhere: Vec<PoolConfig>,
    config: Versioned<ShadowConfig>,
    overrides: Versioned<Vec<CapacityOverride>>,
    rules: RuleBook,
    follows: FollowBook,
    forecasts: Forecasts,
    /// The width of the bins: the model's, or the tick while there is none.
    bin: Duration,
    model_interval: Option<Duration>,
    horizon_limit: usize,
    /// Until the past is known.
    recalling: Option<Recalling>,
    /// The model that is to take over once it has taken in the past.
    succession: Option<Succession>,
    /// What was found that no training has answered yet.
    drift: Option<Drift>,
    /// When training was last asked for.
    trained_at: Timestamp,
    links: Links,
}

/// The other parts of the engine, as planning reaches them.
pub(crate) struct Links {
    pub(crate) owner: mpsc::Sender<OwnerCommand>,
    pub(crate) collector: mpsc::Sender<CollectorCommand>,
    pub(crate) inference: Inference,
    pub(crate) training: mpsc::Sender<TrainNow>,
    pub(crate) scribe: Scribe,
    /// Whose forecasts say how much an entity will use, if ranks depend on it.
    pub(crate) usage_metric: Option<String>,
    /// When the service trained last, if it ever has.
    pub(crate) trained_at: Option<Timestamp>,
    pub(crate) latest: watch::Sender<Arc<LatestForecasts>>,
    pub(crate) overrides: watch::Sender<Arc<[CapacityOverride]>>,
    pub(crate) numbers: Arc<Numbers>,
}

impl Planning {
    pub(crate) fn new(
        (pools, recalling): (Vec<PlannedPool>, Recalling),
        elsewhere: Vec<PoolConfig>,
        config: Versioned<ShadowConfig>,
        overrides: Versioned<Vec<CapacityOverride>>,
        (model_interval, succession): (Option<Duration>, Option<Succession>),
        horizon_limit: usize,
        links: Links,
    ) -> Result<Self, StartError> {
        let own = pools.iter().map(|pool| &pool.config);
        let configs: Vec<_> = own.chain(&elsewhere).cloned().collect();
        let rules = RuleBook::new(config.value.triggers.clone(), shapes(&configs));
        let follows = FollowBook::new(config.value.follows.clone());
        Ok(Self {
            pools: pools
                .into_iter()
                .map(|pool| (pool.name().clone(), pool))
                .collect(),
            elsewhere,
            bin: model_interval.unwrap_or(config.value.tick),
            config,
            overrides,
            rules: rules.map_err(ConfigError::from)?,
            follows: follows.map_err(ConfigError::from)?,
            forecasts: Forecasts::default(),
            drift: None,
            trained_at: links
                .trained_at
                .unwrap_or_else(|| links.numbers.clock.now()),
            recalling: Some(recalling),
            succession,
            model_interval,
            horizon_limit,
            links,
        })
    }

    /// Plans at each tick and answers between them, until nobody can ask any more.
    pub(crate) async fn run(mut self, mut inbox: mpsc::Receiver<PlanningCommand>) {
        if self.wait_for_a_short_past().await.is_err() {
            return;
        }
        self.wait_for_a_near_successor().await;
        let mut next = self.now();
        loop {
            let pause = next.since(self.now());
            tokio::select! {
                command = inbox.recv() => match command {
                    Some(command) => self.answer(command).await,
                    None => return,
                },
                arrived = Succession::arrived(&mut self.succession) => {
                    self.take_over(arrived).await;
                }
                () = tokio::time::sleep(pause) => {
                    if self.tick().await.is_err() {
                        return;
                    }
                    next = self.after(next);
                }
            }
        }
    }

    fn now(&self) -> Timestamp {
        self.links.numbers.clock.now()
    }

    /// The next tick on the grid; those that were missed are left out and counted.
    fn after(&self, done: Timestamp) -> Timestamp {
        let tick = self.config.value.tick;
        let next = self.now().floor_to(tick) + tick;
        let missed = next.since(done + tick).as_millis() / tick.as_millis().max(1);
        let numbers = &self.links.numbers.forecasts;
        numbers.ticks.add(1);
        numbers.ticks_skipped.add(missed as u64);
        next
    }

    async fn answer(&mut self, command: PlanningCommand) {
        // A caller that has gone away needs no answer.
        match command {
            PlanningCommand::Predict { request, reply } => {
                let _ = reply.send(self.predict(&request).await);
            }
            PlanningCommand::Config { reply } => {
                let _ = reply.send(self.config_view());
            }
            PlanningCommand::SetConfig {
                config,
                if_match,
                dry_run,
                reply,
            } => {
                let outcome = self.set_config(*config, if_match.as_deref(), dry_run).await;
                let _ = reply.send(outcome);
            }
            PlanningCommand::MakeLive { pool, reply } => {
                let _ = reply.send(self.make_live(pool).await);
            }
            PlanningCommand::Explain { pool, at, reply } => {
                let _ = reply.send(self.explain(pool, at).await);
            }
            PlanningCommand::History { request, reply } => {
                let _ = reply.send(self.history(&request));
            }
            PlanningCommand::Overrides { reply } => {
                let _ = reply.send(self.overrides_view());
            }
            PlanningCommand::SetOverride {
                change,
                if_match,
                reply,
            } => {
                let outcome = self.set_override(change, if_match.as_deref()).await;
                let _ = reply.send(outcome);
            }
            PlanningCommand::Forget { entity, reply } => {
                let _ = reply.send(self.forget(&entity).await);
            }
            PlanningCommand::Retrain { reply } => {
                let _ = reply.send(self.train(self.now()));
            }
            PlanningCommand::UseModel(successor) => self.succeed(successor),
        }
    }

    /// Of all shards.
    fn pool_configs(&self) -> Vec<PoolConfig> {
        let own = self.pools.values().map(|pool| &pool.config);
        own.chain(&self.elsewhere).cloned().collect()
    }

    async fn ask_owner<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<T>) -> OwnerCommand,
    ) -> Result<T, EngineError> {
        let (reply, answer) = oneshot::channel();
        let sent = self.links.owner.send(command(reply)).await;
        sent.map_err(|_| EngineError::Stopped)?;
        answer.await.map_err(|_| EngineError::Stopped)
    }

    async fn ask_collector<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<T>) -> CollectorCommand,
    ) -> Result<T, EngineError> {
        let (reply, answer) = oneshot::channel();
        let sent = self.links.collector.send(command(reply)).await;
        sent.map_err(|_| EngineError::Stopped)?;
        answer.await.map_err(|_| EngineError::Stopped)
    }
}
