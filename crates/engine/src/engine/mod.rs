//! Putting the parts together.

mod parts;
mod recover;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use foreshadow_allocator::{Allocator, Input};
use foreshadow_ledger::Ledger;
use foreshadow_planner::DemandModel;
use foreshadow_providers::{ProviderEvent, Providers, new_owner};
use foreshadow_types::{PoolName, Timestamp};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};

use self::{
    parts::{Parts, spawn_owner},
    recover::{Recovered, planned_pools, recovered},
};
use crate::{
    collector::{self, Collector, HistoryFolder, WarmSeries},
    config::{EngineConfig, LedgerPlace, PoolConfig, ProviderConfig, ShadowConfig},
    demand::Happening,
    error::StartError,
    handle::{EngineHandle, PastShadows, Shared},
    inference::{BoxedForecaster, Inference, Untrained},
    lifecycle::Lifecycle,
    models::ModelStore,
    numbers::Numbers,
    owner::{self, Owner, Recorder},
    planning::{
        LatestForecasts, Links, PastRequests, Planning, Recalling, Succession, Successor, recall,
    },
    retraining::{LoadedForecaster, Retraining, from_training, last_trained},
    scribe::{Kept, Scribe},
};

/// The document that holds the name that providers elsewhere know the shard's owner by.
const OWNER: &str = "owner";

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

/// The owner of the recovered state, and what it listens to.
struct Decider {
    owner: Owner,
    provider: Arc<Providers>,
    reports: mpsc::Receiver<ProviderEvent>,
    happenings: mpsc::Receiver<Vec<Happening>>,
}

/// Brings the recovered allocator up: pools as configured, processes adopted or killed, what a crash
/// interrupted carried out again.
fn decider(
    config: &EngineConfig,
    numbers: &Arc<Numbers>,
    mut allocator: Allocator,
    mut ledger: Ledger,
    mut recorder: Recorder,
) -> Result<Decider, StartError> {
    let name = name_elsewhere(config, &mut ledger)?;
    let (reporting, reports) = mpsc::channel(WAITING_MESSAGES);
    let provider = Arc::new(Providers::open(
        config.instances_dir(),
        name.as_deref(),
        reporting,
    )?);
    let opened = recorder.resume(&allocator);
    define_pools(config, &mut allocator, &provider, numbers)?;
    allocator.resume(numbers.clock.now());
    let (telling, happenings) = mpsc::channel(WAITING_MESSAGES);
    let mut owner = Owner::new(
        allocator,
        ledger,
        provider.clone(),
        numbers.clone(),
        telling,
        recorder,
    );
    owner.index(opened);
    let found = provider.reconcile(&owner.instances())?;
    tracing::info!(
        kept = found.kept,
        killed = found.killed,
        "processes of earlier runs"
    );
    owner.begin().map_err(|error| StartError::Ledger {
        path: config.data_dir.clone(),
        reason: error.to_string(),
    })?;
    Ok(Decider {
        owner,
        provider,
        reports,
        happenings,
    })
}

/// The name that whoever has instances elsewhere knows a shard by, whichever replica owns it; none of a
/// server alone, whose folder keeps one.
fn name_elsewhere(
    config: &EngineConfig,
    ledger: &mut Ledger,
) -> Result<Option<String>, StartError> {
    if config.ledger == LedgerPlace::DataDir {
        return Ok(None);
    }
    let refused = |error: foreshadow_ledger::LedgerError| StartError::Ledger {
        path: config.data_dir.clone(),
        reason: error.to_string(),
    };
    let kept = ledger.document(OWNER).map_err(refused)?;
    if let Some(name) = kept {
        return Ok(Some(String::from_utf8_lossy(&name).into_owned()));
    }
    let name = new_owner();
    let written = ledger.put_document(OWNER, name.as_bytes());
    written.map_err(refused)?;
    Ok(Some(name))
}

fn assemble(
    recovered: Recovered,
    model: Option<BoxedForecaster>,
) -> Result<EngineHandle, StartError> {
    let Recovered {
        config,
        numbers,
        ledger,
        allocator,
        shadow,
        overrides,
        history,
        pools,
        demand_models,
        model: trained,
        bin,
        warm,
        journals,
    } = recovered;
    let recorder = Recorder::new(journals.requests);
    let decider = decider(&config, &numbers, allocator, ledger, recorder)?;
    let model_interval = trained.as_ref().map(|model| model.interval);
    let (inference, succession) = models(&config, model, trained, warm.as_ref())?;
    let (owner, owner_inbox) = mpsc::channel(config.limits.commands);
    let (collector, collector_inbox) = mpsc::channel(WAITING_MESSAGES);
    let (planning, planning_inbox) = mpsc::channel(WAITING_MESSAGES);
    let (training, training_inbox) = mpsc::channel(1);
    let (latest, latest_seen) = watch::channel(Arc::new(LatestForecasts::default()));
    let (published, overrides_seen) = watch::channel(overrides.value.as_slice().into());
    let lifecycle = Lifecycle::new();
    let scribe = scribe(&config)?;
    let shared = Shared {
        scribe: scribe.clone(),
        owner: owner.clone(),
        collector: collector.clone(),
        planning,
        latest: latest_seen,
        overrides: overrides_seen,
        numbers: numbers.clone(),
        lifecycle: lifecycle.clone(),
        durability: config.durability,
        models: Arc::new(model_store(&config, &history)),
        past: PastShadows::new(history.clone(), config.limits.history),
    };
    let mut collecting = Collector::new(
        bin,
        &config,
        (history.clone(), journals.usage),
        owner.clone(),
        numbers.clone(),
    );
    collecting.rebin(bin, warm.as_ref());
    let begun = numbers.clock.now();
    let recalling = recalling(&config, &shadow.value, demand_models, &history, begun)?;
    let trainer = retraining(&config, history, &shared);
    let links = Links {
        owner,
        collector: collector.clone(),
        inference,
        training,
        scribe,
        usage_metric: config.usage_metric.clone(),
        trained_at: last_trained(&config.models_dir()),
        latest,
        overrides: published,
        numbers,
    };
    let planner = Planning::new(
        (pools, recalling),
        config.elsewhere.clone(),
        shadow,
        overrides,
        (model_interval, succession),
        config.limits.horizon_steps,
        links,
    )?;

    let inbox = owner::Inbox {
        commands: owner_inbox,
        reports: decider.reports,
        batch: config.limits.batch,
    };
    let ended = spawn_owner(decider.owner, &lifecycle, &config, inbox)?;
    let mut tasks = JoinSet::new();
    tasks.spawn(collecting.run(collector::Inbox {
        commands: collector_inbox,
        happenings: decider.happenings,
    }));
    let planner = tasks.spawn(planner.run(planning_inbox));
    let trainer = tasks.spawn(trainer.run(training_inbox));
    let parts = Parts {
        ended,
        tasks,
        stopped_first: [planner, trainer],
        collector,
        provider: decider.provider,
    };
    lifecycle.run_to_end(parts.supervise(lifecycle.clone()));
    lifecycle.serving();
    Ok(EngineHandle::new(shared))
}

fn scribe(config: &EngineConfig) -> Result<Scribe, StartError> {
    let kept = Kept {
        plans: config.limits.plans,
        audit: config.limits.audit,
    };
    Scribe::start(config.data_dir.clone(), kept)
}

fn model_store(config: &EngineConfig, history: &HistoryFolder) -> ModelStore {
    ModelStore {
        models: config.models_dir(),
        load: from_training(&config.compute),
        history: history.clone(),
        pretrained: config.pretrained,
    }
}

/// Begins to forecast: with `given` if there is one, else with the trained or the pretrained model as soon
/// as it has taken in what earlier runs left, and with seasonal-naive until then.
fn models(
    config: &EngineConfig,
    given: Option<BoxedForecaster>,
    trained: Option<LoadedForecaster>,
    warm: Option<&WarmSeries>,
) -> Result<(Inference, Option<Succession>), StartError> {
    let failed = |source| StartError::Io {
        path: "the threads of the models".into(),
        source,
    };
    let begin = |model| Inference::start(model).map_err(failed);
    if let Some(given) = given {
        return Ok((begin(given)?, None));
    }
    let interval = trained.as_ref().map(|model| model.interval);
    let model = trained.map_or_else(
        || Box::new(Untrained::new(config.pretrained).on(&config.compute)) as BoxedForecaster,
        |trained| trained.forecaster,
    );
    let Some(warm) = warm.map(|warm| warm.panel.clone()) else {
        return Ok((begin(model)?, None));
    };
    let successor = Successor {
        model,
        interval,
        warm: warm.clone(),
    };
    let succession = Succession::begin(successor, &warm).map_err(failed)?;
    Ok((begin(Box::new(Untrained::new(false)))?, Some(succession)))
}

/// Shows planners the past while the service begins.
fn recalling(
    config: &EngineConfig,
    shadow: &ShadowConfig,
    demand_models: BTreeMap<PoolName, DemandModel>,
    history: &HistoryFolder,
    begun: Timestamp,
) -> Result<Recalling, StartError> {
    let past = PastRequests {
        imports: config.demand_import.iter().map(Into::into).collect(),
        history: history.clone(),
        until: begun,
    };
    let (config, shadow) = (config.clone(), shadow.clone());
    // What was right a moment ago is right again.
    let anew = move || planned_pools(&config, &shadow, &demand_models).unwrap_or_default();
    recall(anew, past).map_err(|source| StartError::Io {
        path: "the thread that reads past requests".into(),
        source,
    })
}

fn retraining(config: &EngineConfig, history: HistoryFolder, shared: &Shared) -> Retraining {
    Retraining {
        config: config.retraining.clone(),
        models: config.models_dir(),
        history,
        imports: config.demand_import.iter().map(Into::into).collect(),
        seed: config.seed,
        configured: config.model_dir.clone(),
        pretrained: config.pretrained,
        load: from_training(&config.compute),
        numbers: shared.numbers.clone(),
        scribe: shared.scribe.clone(),
        collector: shared.collector.clone(),
        planning: shared.planning.clone(),
    }
}

fn define_pools(
    config: &EngineConfig,
    allocator: &mut Allocator,
    provider: &Providers,
    numbers: &Numbers,
) -> Result<(), StartError> {
    let now = numbers.clock.now();
    let refused = |error: foreshadow_allocator::AllocatorError| StartError::Ledger {
        path: config.data_dir.clone(),
        reason: error.to_string(),
    };
    for pool in &config.pools {
        let name = pool.name().clone();
        match &pool.provider {
            ProviderConfig::Process(process) => provider.define_process(name, process.clone())?,
            ProviderConfig::External(external) => {
                provider.define_external(name, external.clone())?;
            }
            ProviderConfig::Kubernetes(pods) => provider.define_kubernetes(&name, pods)?,
        }
        if let Some(fallback) = &pool.fallback {
            provider.define_fallback(pool.name().clone(), fallback.clone())?;
        }
        let define = Input::DefinePool(Box::new(pool.resolved()));
        allocator.handle(define, now).map_err(refused)?;
    }
    for (tenant, quota) in &config.tenants {
        let limit = Input::LimitTenant {
            tenant: tenant.clone(),
            quota: config.own_part(quota),
        };
        allocator.handle(limit, now).map_err(refused)?;
    }
    let configured: BTreeSet<_> = config.pools.iter().map(PoolConfig::name).collect();
    for pool in allocator.pools() {
        if !configured.contains(&pool.name) {
            tracing::warn!(pool = %pool.name, "a pool is not configured any more and is retired");
            let retire = Input::RetirePool(pool.name.clone());
            allocator.handle(retire, now).map_err(refused)?;
        }
    }
    Ok(())
}
