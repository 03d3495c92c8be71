//! What the engine is started with: plain, validated, independent of any file format.

mod history;
mod model;
mod pool;
mod revision;
mod shadow;
mod shard;
mod validate;

use std::{
    collections::BTreeMap,
    num::NonZeroU32,
    path::{Path, PathBuf},
    time::Duration,
};

use foreshadow_allocator::{PriorityWeights, TenantQuota};
use foreshadow_types::{Bytes, ShardId, TenantId};

pub use foreshadow_lstm::Compute;
pub use foreshadow_planner::{CronTime, Follow, RuleSubject, Schedule, TriggerRule, Wanted};
pub use history::Downsampling;
pub use model::{PoolModel, PoolModelError, SimpleModel};
pub use pool::{Aim, Costs, Execution, PoolConfig, ProviderConfig, SeveralAims};
pub use shadow::{CapacityOverride, OverrideSubject, PoolObjective, ShadowConfig};
pub use shard::{LedgerPlace, ShardGap};
pub use validate::ConfigError;
pub(crate) use validate::shapes;

pub use crate::retraining::{Answer, SharedTraining, TrainingLock, TrainingTurn, TrainingTurns};

/// Everything the engine needs to start.
#[derive(Debug, Clone, PartialEq)]
pub struct EngineConfig {
    /// Where the ledger, the history, the models and the records of processes are kept.
    pub data_dir: PathBuf,
    /// How durable an acknowledged decision is.
    pub durability: Durability,
    /// Where decisions are kept.
    pub ledger: LedgerPlace,
    /// Which shard this engine owns, of those that replicas divide among them.
    pub shard: ShardId,
    /// The pools.
    pub pools: Vec<PoolConfig>,
    /// Pools of other shards: what speaks of them is right, and has no effect here.
    pub elsewhere: Vec<PoolConfig>,
    /// What tenants may take; it takes precedence over what was set while serving.
    pub tenants: BTreeMap<TenantId, TenantQuota>,
    /// How the queue ranks requests.
    pub priorities: PriorityWeights,
    /// The metric whose forecasts say how much an entity will use, for its weight in the ranks.
    pub usage_metric: Option<String>,
    /// The shadow configuration to begin with; one that was set while serving and kept on disk
    /// takes precedence.
    pub shadow: ShadowConfig,
    /// A model to begin with, as `train` writes it; a model promoted later takes precedence.
    pub model_dir: Option<PathBuf>,
    /// Whether the pretrained model forecasts usage, where bins are as wide as its own or several of them,
    /// until there is a model of one's own.
    pub pretrained: bool,
    /// Where the network forecasts at each tick, whichever of them is in use.
    pub compute: Compute,
    /// Where processes and external instances are recorded, which whoever owns them next must be able
    /// to read; `data_dir` if `None`.
    pub instances_dir: Option<PathBuf>,
    /// Where the history is written, a folder or `s3://bucket/prefix`; `data_dir/history` if `None`.
    pub history_dir: Option<PathBuf>,
    /// Histories of others who had this shard before: they are read too.
    pub written_by_others: Vec<PathBuf>,
    /// How past usage becomes coarser with age, by age; nothing does if it is empty.
    pub downsampling: Vec<Downsampling>,
    /// Request histories that the planners learn from when they start: files, folders or globs.
    pub demand_import: Vec<String>,
    /// How models are trained again.
    pub retraining: RetrainingConfig,
    /// What becomes of the processes at a graceful shutdown.
    pub on_shutdown: OnShutdown,
    /// How much may be kept and waited for.
    pub limits: Limits,
    /// The seed of everything random.
    pub seed: u64,
}

impl EngineConfig {
    /// No pools, everything at its default, in this folder.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            durability: Durability::default(),
            ledger: LedgerPlace::default(),
            shard: ShardId::default(),
            pools: Vec::new(),
            elsewhere: Vec::new(),
            tenants: BTreeMap::new(),
            priorities: PriorityWeights::default(),
            usage_metric: None,
            shadow: ShadowConfig::default(),
            model_dir: None,
            pretrained: true,
            compute: Compute::cpu(),
            instances_dir: None,
            history_dir: None,
            written_by_others: Vec::new(),
            downsampling: Vec::new(),
            demand_import: Vec::new(),
            retraining: RetrainingConfig::default(),
            on_shutdown: OnShutdown::default(),
            limits: Limits::default(),
            seed: 0,
        }
    }

    /// Where instances are recorded.
    pub(crate) fn instances_dir(&self) -> &Path {
        self.instances_dir.as_deref().unwrap_or(&self.data_dir)
    }

    /// The folder of the models that retraining makes.
    pub fn models_dir(&self) -> PathBuf {
        self.data_dir.join("models")
    }
}

/// How durable an acknowledged decision is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// On disk before the reply leaves.
    #[default]
    Fsync,
    /// Handed to the operating system before the reply leaves: survives a crash of the server, not
    /// of the machine.
    Memory,
}

/// What becomes of the processes at a graceful shutdown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnShutdown {
    /// Warm ones are stopped, those on lease keep running.
    #[default]
    StopWarm,
    /// All keep running and are adopted at the next start.
    Keep,
    /// All are stopped; their leases end.
    StopAll,
}

/// How models are trained again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetrainingConfig {
    /// The program and its first arguments; the engine appends `--history DIR… --interval I
    /// --max-seconds N --seed N --out DIR`. `None` trains never.
    pub command: Option<Vec<String>>,
    /// The program and its first arguments that replays the pools with a candidate; the engine appends
    /// `--case FILE` and reads a [`foreshadow_training::PoolsReport`] as JSON from its output. `None`
    /// promotes without a replay.
    pub replay: Option<Vec<String>>,
    /// How long one training may take.
    pub max_duration: Duration,
    /// How much the training yields to others, as in `nice -n`.
    pub niceness: u8,
    /// How much memory the training may map (address space, setrlimit(2)); no limit if `None`.
    pub memory: Option<Bytes>,
    /// How many candidates that were not promoted are kept for inspection.
    pub keep_candidates: usize,
    /// When it may be trained; at any time unless given.
    pub turns: TrainingTurns,
    /// What engines share that train in turn: one trains for all of them.
    pub shared: Option<SharedTraining>,
}

/// What a training may map unless something else is said.
const TRAINING_MEMORY: Bytes = Bytes(8 << 30);

impl Default for RetrainingConfig {
    fn default() -> Self {
        Self {
            command: None,
            replay: None,
            max_duration: Duration::from_mins(10),
            niceness: 10,
            memory: Some(TRAINING_MEMORY),
            keep_candidates: 3,
            turns: TrainingTurns::default(),
            shared: None,
        }
    }
}

/// How much may be kept and waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Commands that wait for the allocator; further ones wait for a place.
    pub commands: usize,
    /// Decisions put into one commit at most.
    pub batch: usize,
    /// Entities with a shadow; the least recently seen give way.
    pub entities: usize,
    /// Series that are forecast at each tick.
    pub series: usize,
    /// The longest horizon that `predict` answers, in steps.
    pub horizon_steps: usize,
    /// The largest page of `list`.
    pub page: NonZeroU32,
    /// Samples that may wait for their file of the history; further ones wait with their senders.
    pub unsealed: usize,
    /// How long the history is kept; `None` for ever.
    pub history: Option<Duration>,
    /// How long it is remembered why pools had the size they had.
    pub plans: Duration,
    /// How long it is remembered who changed what.
    pub audit: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            commands: 16_384,
            batch: 4_096,
            entities: 1_000_000,
            series: 262_144,
            horizon_steps: 10_080,
            page: NonZeroU32::MIN.saturating_add(999),
            unsealed: 4_000_000,
            history: None,
            plans: Duration::from_hours(30 * 24),
            audit: Duration::from_hours(400 * 24),
        }
    }
}
