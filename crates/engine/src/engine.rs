//! Putting the parts together, and taking them apart again in order.

use std::{collections::BTreeSet, path::Path, sync::Arc, thread};

use foreshadow_allocator::{Allocator, AllocatorConfig, Event, Input};
use foreshadow_ledger::{Ledger, LedgerError};
use foreshadow_providers::ProcessProvider;
use foreshadow_types::InstanceId;
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::{AbortHandle, JoinSet},
};

use crate::{
    collector::{self, Collector, CollectorCommand, HistoryFolder},
    config::{ConfigError, Durability, EngineConfig, ProviderConfig, ShadowConfig},
    error::{EngineError, StartError},
    handle::{EngineHandle, Shared},
    inference::{BoxedForecaster, Inference, seasonal_naive},
    lifecycle::Lifecycle,
    numbers::Numbers,
    owner::{self, Ending, Owner},
    planning::{
        LatestForecasts, Links, OVERRIDES, PlannedPool, Planning, SHADOW_CONFIG, Versioned,
        read_config, read_overrides, recall,
    },
};

/// Messages of each kind that wait between the parts.
const WAITING_MESSAGES: usize = 1_024;

/// The live engine.
#[derive(Debug)]
pub struct Engine;

impl Engine {
    /// Starts the engine: reads back what earlier runs decided, adopts their processes, brings the
    /// pools up. It must be called within a tokio runtime, and stops when the last handle is dropped
    /// or [`EngineHandle::shutdown`] is called.
    ///
    /// # Errors
    /// [`StartError`] says what is wrong and how to mend it. An invalid configuration is found
    /// before any data is touched.
    pub async fn start(config: EngineConfig) -> Result<EngineHandle, StartError> {
        Self::start_with_model(config, None).await
    }

    /// Starts the engine with a model of one's own in the place of a trained one.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub async fn start_with_model(
        config: EngineConfig,
        model: Option<BoxedForecaster>,
    ) -> Result<EngineHandle, StartError> {
        config.validate()?;
        let started = tokio::task::spawn_blocking(move || recovered(config));
        let recovered = started.await.map_err(|error| StartError::Io {
            path: "the engine".into(),
            source: std::io::Error::other(error),
        })??;
        assemble(recovered, model)
    }
}

/// What earlier runs left, read back.
struct Recovered {
    config: EngineConfig,
    numbers: Arc<Numbers>,
    ledger: Ledger,
    allocator: Allocator,
    events: Vec<Event>,
    shadow: Versioned<ShadowConfig>,
    overrides: Versioned<Vec<crate::config::CapacityOverride>>,
    history: HistoryFolder,
    pools: Vec<PlannedPool>,
}

fn recovered(config: EngineConfig) -> Result<Recovered, StartError> {
    let numbers = Arc::new(Numbers::default());
    let ledger = Ledger::open(&config.data_dir, durability(config.durability))
        .map_err(|error| ledger_refused(&config.data_dir, error))?;
    let events = ledger
        .events()
        .map_err(|error| ledger_refused(&config.data_dir, error))?;
    if let Some(last) = events.last() {
        numbers.clock.not_before(last.at);
    }
    let allocator = Allocator::recover(AllocatorConfig::default(), events.iter().cloned())
        .map_err(|error| StartError::Ledger {
            path: config.data_dir.clone(),
            reason: error.to_string(),
        })?;
    let shadow = document(&ledger, &config.data_dir, SHADOW_CONFIG, read_config)?;
    let shadow = usable(shadow, &config);
    let overrides = document(&ledger, &config.data_dir, OVERRIDES, read_overrides)?;
    let overrides = overrides.unwrap_or(Versioned {
        version: 0,
        value: Vec::new(),
    });
    let folder = config.history_dir();
    let history = HistoryFolder::open(&folder).map_err(|source| StartError::Io {
        path: folder,
        source,
    })?;
    let pools = planned_pools(&config, &shadow.value, &history, &numbers)?;
    Ok(Recovered {
        config,
        numbers,
        ledger,
        allocator,
        events,
        shadow,
        overrides,
        history,
        pools,
    })
}

fn durability(durability: Durability) -> foreshadow_ledger::Durability {
    match durability {
        Durability::Fsync => foreshadow_ledger::Durability::Fsync,
        Durability::Memory => foreshadow_ledger::Durability::Memory,
    }
}

fn ledger_refused(folder: &Path, error: LedgerError) -> StartError {
    match error {
        LedgerError::InUse { folder, .. } => StartError::InUse(folder),
        other => StartError::Ledger {
            path: folder.to_owned(),
            reason: other.to_string(),
        },
    }
}

fn document<T>(
    ledger: &Ledger,
    folder: &Path,
    name: &str,
    read: impl Fn(&[u8]) -> Result<T, String>,
) -> Result<Option<T>, StartError> {
    let body = ledger
        .document(name)
        .map_err(|error| ledger_refused(folder, error))?;
    body.map(|body| read(&body))
        .transpose()
        .map_err(|reason| StartError::Damaged {
            path: folder.join(name),
            reason,
        })
}

/// The configuration that was set while serving, unless the pools it speaks of are gone.
fn usable(kept: Option<Versioned<ShadowConfig>>, config: &EngineConfig) -> Versioned<ShadowConfig> {
    let configured = |version| Versioned {
        version,
        value: config.shadow.clone(),
    };
    match kept {
        None => configured(1),
        Some(kept) => match kept.value.validate(&config.pools) {
            Ok(()) => kept,
            Err(error) => {
                tracing::warn!(%error, "the shadow configuration of the last run does not fit the pools any more; the configured one is used");
                configured(kept.version + 1)
            }
        },
    }
}

fn planned_pools(
    config: &EngineConfig,
    shadow: &ShadowConfig,
    history: &HistoryFolder,
    numbers: &Numbers,
) -> Result<Vec<PlannedPool>, StartError> {
    let mut pools = Vec::new();
    for pool in &config.pools {
        let planned = PlannedPool::new(pool.clone(), shadow, config.seed);
        pools.push(planned.map_err(|error| ConfigError::Planner {
            pool: pool.name().clone(),
            reason: error.to_string(),
        })?);
    }
    let mut histories: Vec<_> = config.demand_import.iter().map(Into::into).collect();
    if has_files(history.requests()) {
        histories.push(history.requests().to_owned());
    }
    // The service starts also without its memory; it learns anew.
    match recall(&mut pools, &histories, numbers.clock.now()) {
        Ok(requests) => tracing::info!(requests, "past requests were recalled"),
        Err(error) => tracing::warn!(%error, "past requests could not be recalled"),
    }
    Ok(pools)
}

fn has_files(folder: &Path) -> bool {
    std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some())
}

fn assemble(
    recovered: Recovered,
    model: Option<BoxedForecaster>,
) -> Result<EngineHandle, StartError> {
    let Recovered {
        config,
        numbers,
        ledger,
        mut allocator,
        events,
        shadow,
        overrides,
        history,
        pools,
    } = recovered;
    let (reports, report_inbox) = mpsc::channel(WAITING_MESSAGES);
    let provider = Arc::new(ProcessProvider::open(
        &config.data_dir.join("instances"),
        reports,
    )?);
    define_pools(&config, &mut allocator, &provider, &numbers)?;
    allocator.resume(numbers.clock.now());

    let (happenings, happening_inbox) = mpsc::channel(WAITING_MESSAGES);
    let mut owner = Owner::new(
        allocator,
        ledger,
        provider.clone(),
        numbers.clone(),
        happenings,
    );
    owner.index(&events);
    drop(events);
    let known = owner.instances();
    provider.reconcile(&known)?;
    owner.begin().map_err(|error| StartError::Ledger {
        path: config.data_dir.clone(),
        reason: error.to_string(),
    })?;

    let model = model.unwrap_or_else(|| Box::new(seasonal_naive(shadow.value.tick)));
    let inference = Inference::start(model).map_err(|source| StartError::Io {
        path: "the inference thread".into(),
        source,
    })?;
    let (commands, command_inbox) = mpsc::channel(config.limits.commands);
    let (collecting, collector_inbox) = mpsc::channel(WAITING_MESSAGES);
    let (planning, planning_inbox) = mpsc::channel(WAITING_MESSAGES);
    let (latest, latest_receiver) = watch::channel(Arc::new(LatestForecasts::default()));
    let bin = shadow.value.tick;
    let collector = Collector::new(bin, config.limits, history, numbers.clone());
    let links = Links {
        owner: commands.clone(),
        collector: collecting.clone(),
        inference,
        latest,
        numbers: numbers.clone(),
    };
    let horizon = config.limits.horizon_steps;
    let planner = Planning::new(pools, shadow, overrides, None, horizon, links)?;

    let lifecycle = Lifecycle::new();
    let ended = spawn_owner(
        owner,
        &lifecycle,
        &config,
        owner::Inbox {
            commands: command_inbox,
            reports: report_inbox,
            batch: config.limits.batch,
        },
    )?;
    let mut tasks = JoinSet::new();
    let collector_inbox = collector::Inbox {
        commands: collector_inbox,
        happenings: happening_inbox,
    };
    tasks.spawn(collector.run(collector_inbox));
    let planner = tasks.spawn(planner.run(planning_inbox));
    let parts = Parts {
        ended,
        tasks,
        planner,
        collector: collecting.clone(),
        provider,
    };
    tokio::spawn(parts.supervise(lifecycle.clone()));
    lifecycle.serving();
    Ok(EngineHandle::new(Shared {
        owner: commands,
        collector: collecting,
        planning,
        latest: latest_receiver,
        numbers,
        lifecycle,
        durability: config.durability,
    }))
}

fn define_pools(
    config: &EngineConfig,
    allocator: &mut Allocator,
    provider: &ProcessProvider,
    numbers: &Numbers,
) -> Result<(), StartError> {
    let now = numbers.clock.now();
    let refused = |error: foreshadow_allocator::AllocatorError| StartError::Ledger {
        path: config.data_dir.clone(),
        reason: error.to_string(),
    };
    for pool in &config.pools {
        let ProviderConfig::Process(process) = &pool.provider;
        provider.define(pool.name().clone(), process.clone())?;
        let define = Input::DefinePool(Box::new(pool.resolved()));
        allocator.handle(define, now).map_err(refused)?;
    }
    let configured: BTreeSet<_> = config.pools.iter().map(|pool| pool.name()).collect();
    for pool in allocator.pools() {
        if !configured.contains(&pool.name) {
            tracing::warn!(pool = %pool.name, "a pool is not configured any more and is retired");
            let retire = Input::RetirePool(pool.name.clone());
            allocator.handle(retire, now).map_err(refused)?;
        }
    }
    Ok(())
}

type Ended = oneshot::Receiver<Result<Ending, EngineError>>;

fn spawn_owner(
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
struct Parts {
    ended: Ended,
    tasks: JoinSet<()>,
    planner: AbortHandle,
    collector: mpsc::Sender<CollectorCommand>,
    provider: Arc<ProcessProvider>,
}

impl Parts {
    /// Owns all tasks and ends them in order: decisions first, then processes, then what is
    /// buffered.
    async fn supervise(mut self, lifecycle: Lifecycle) {
        let ending = self.ended.await.unwrap_or(Err(EngineError::Stopped));
        let stop: Vec<InstanceId> = match &ending {
            Ok(ending) => ending.stop.clone(),
            Err(error) => {
                tracing::error!(%error, "the engine stops; processes are kept");
                Vec::new()
            }
        };
        self.planner.abort();
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
