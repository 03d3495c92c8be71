//! Reading back what earlier runs left.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use foreshadow_allocator::{Allocator, AllocatorConfig};
use foreshadow_ledger::{Ledger, LedgerError};
use foreshadow_planner::{DemandModel, SettingsError};
use foreshadow_types::{PoolName, Timestamp};

use crate::{
    collector::{HistoryFolder, Journals, WarmSeries, begin_journals},
    config::{CapacityOverride, ConfigError, Durability, EngineConfig, LedgerPlace, ShadowConfig},
    error::StartError,
    numbers::Numbers,
    planning::{OVERRIDES, PlannedPool, SHADOW_CONFIG, Versioned, read_config, read_overrides},
    retraining::{LoadModel, LoadedForecaster, from_training, load_history},
};

/// How often a ledger in use is tried, and how long to wait between.
const LOCK_ATTEMPTS: u32 = 40;
const LOCK_PAUSE: Duration = Duration::from_millis(25);

/// How much of the past the series go on from, in values.
const MOST_PAST_VALUES: usize = 8 << 20;

/// What earlier runs left, read back.
pub(super) struct Recovered {
    pub(super) config: EngineConfig,
    pub(super) numbers: Arc<Numbers>,
    pub(super) ledger: Ledger,
    pub(super) allocator: Allocator,
    pub(super) shadow: Versioned<ShadowConfig>,
    pub(super) overrides: Versioned<Vec<CapacityOverride>>,
    pub(super) history: HistoryFolder,
    pub(super) pools: Vec<PlannedPool>,
    /// Fitted before, by pool.
    pub(super) demand_models: BTreeMap<PoolName, DemandModel>,
    pub(super) model: Option<LoadedForecaster>,
    /// The width of the bins and what they hold so far.
    pub(super) bin: Duration,
    pub(super) warm: Option<WarmSeries>,
    pub(super) journals: Journals,
}

pub(super) fn recovered(config: EngineConfig) -> Result<Recovered, StartError> {
    let numbers = Arc::new(Numbers::default());
    let ledger = open_ledger(&config)?;
    let events = ledger
        .events()
        .map_err(|error| ledger_refused(&config.data_dir, error))?;
    if let Some(last) = events.last() {
        numbers.clock.not_before(last.at);
    }
    let limits = AllocatorConfig {
        priorities: config.priorities.clone(),
        numbers_above: config.shard.numbers_above(),
        ..AllocatorConfig::default()
    };
    let allocator = Allocator::recover(limits, events).map_err(|error| StartError::Ledger {
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
    let history = HistoryFolder::open(&folder, &config.journal_dir());
    let history = history.map_err(|error| StartError::Io {
        path: folder.clone(),
        source: std::io::Error::other(error),
    })?;
    let history = history.beside(config.written_by_others.clone());
    let journals =
        begin_journals(&history, numbers.clock.now()).map_err(|reason| StartError::Io {
            path: folder,
            source: std::io::Error::other(reason),
        })?;
    let mut model = model_in_use(&config, &from_training(&config.compute));
    let demand_models = model.as_mut().map(|model| std::mem::take(&mut model.pools));
    let demand_models = demand_models.unwrap_or_default();
    let pools = planned_pools(&config, &shadow.value, &demand_models)?;
    let bin = model
        .as_ref()
        .map_or(shadow.value.tick, |model| model.interval);
    let warm = past_values(&history, bin, &config, numbers.clock.now());
    Ok(Recovered {
        config,
        numbers,
        ledger,
        allocator,
        shadow,
        overrides,
        history,
        pools,
        demand_models,
        model,
        bin,
        warm,
        journals,
    })
}

/// Opens the ledger. One that is in use is tried again for a moment: a server that has just ended, or
/// a process between its fork and its exec, may hold the lock still.
fn open_ledger(config: &EngineConfig) -> Result<Ledger, StartError> {
    let mut attempts = 1;
    loop {
        match open_once(config) {
            Err(LedgerError::InUse { .. }) if attempts < LOCK_ATTEMPTS => {
                attempts += 1;
                std::thread::sleep(LOCK_PAUSE);
            }
            opened => return opened.map_err(|error| ledger_refused(&config.data_dir, error)),
        }
    }
}

fn open_once(config: &EngineConfig) -> Result<Ledger, LedgerError> {
    match &config.ledger {
        LedgerPlace::DataDir => Ledger::open(&config.data_dir, durability(config.durability)),
        #[cfg(feature = "cluster")]
        LedgerPlace::Shared {
            url,
            epoch,
            patience,
        } => Ledger::open_shared(foreshadow_ledger::SharedShard {
            url: url.clone(),
            shard: u32::from(config.shard.0),
            epoch: *epoch,
            patience: *patience,
        }),
    }
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
        Some(kept) => match kept.value.validate(&config.all_pools()) {
            Ok(()) => kept,
            Err(error) => {
                tracing::warn!(%error, "the shadow configuration of the last run does not fit the pools any more; the configured one is used");
                configured(kept.version + 1)
            }
        },
    }
}

/// Planners that have seen nothing but what was fitted for them before.
pub(super) fn planned_pools(
    config: &EngineConfig,
    shadow: &ShadowConfig,
    demand_models: &BTreeMap<PoolName, DemandModel>,
) -> Result<Vec<PlannedPool>, StartError> {
    let mut pools = Vec::new();
    for pool in &config.pools {
        let refused = |error: SettingsError| ConfigError::Planner {
            pool: pool.name().clone(),
            reason: error.to_string(),
        };
        let mut planned = PlannedPool::new(pool.clone(), shadow, config.seed).map_err(refused)?;
        if let Some(model) = demand_models.get(pool.name()) {
            planned.begin_with(model.clone()).map_err(refused)?;
        }
        pools.push(planned);
    }
    Ok(pools)
}

/// The model that was promoted last, else the configured one. A model that cannot be read stops
/// nothing: the service goes on without.
fn model_in_use(config: &EngineConfig, load: &LoadModel) -> Option<LoadedForecaster> {
    let promoted = foreshadow_training::current_model(&config.models_dir());
    let promoted = promoted.unwrap_or_else(|error| {
        tracing::warn!(%error, "the promoted model cannot be told");
        None
    });
    promoted
        .into_iter()
        .chain(config.model_dir.clone())
        .find_map(|folder| match load(&folder) {
            Ok(model) => Some(model),
            Err(reason) => {
                tracing::warn!(folder = %folder.display(), reason, "a model cannot be used");
                None
            }
        })
}

/// What the latest days of the history hold at this width of bins, to go on from.
fn past_values(
    history: &HistoryFolder,
    interval: Duration,
    config: &EngineConfig,
    now: Timestamp,
) -> Option<WarmSeries> {
    let files = history.lately(now);
    let files = files.unwrap_or_else(|error| {
        tracing::warn!(%error, "past values could not be found");
        Vec::new()
    });
    if files.is_empty() {
        return None;
    }
    match load_history(&files, interval, MOST_PAST_VALUES) {
        Ok(panel) => Some(WarmSeries {
            panel: Arc::new(panel),
            pools: config
                .pools
                .iter()
                .map(|pool| pool.name().clone())
                .collect(),
        }),
        Err(reason) => {
            tracing::warn!(reason, "past values could not be recalled");
            None
        }
    }
}
