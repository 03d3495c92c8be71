//! Why the engine refused or failed.

use std::path::PathBuf;

use foreshadow_allocator::AllocatorError;
use foreshadow_types::{EntityId, PoolName, Timestamp};
use thiserror::Error;

use crate::config::ConfigError;

/// Why a call was refused.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum EngineError {
    /// The allocator refused it; nothing has changed.
    #[error(transparent)]
    Allocator(#[from] AllocatorError),
    /// There is no such pool.
    #[error("there is no pool `{0}`")]
    UnknownPool(PoolName),
    /// Nothing is known of the entity.
    #[error("nothing is known of `{0}`")]
    UnknownEntity(EntityId),
    /// Nothing was known of the entity at a time.
    #[error("nothing was known of `{entity}` at {at}")]
    UnknownThen {
        /// The entity.
        entity: EntityId,
        /// The time.
        at: Timestamp,
    },
    /// Nothing of this metric is known of the entity or pool.
    #[error("`{subject}` has no metric `{metric}`")]
    UnknownMetric {
        /// The entity or pool.
        subject: String,
        /// The metric.
        metric: String,
    },
    /// There is no such override.
    #[error("there is no override `{0}`")]
    UnknownOverride(String),
    /// No plan was in force for a pool at a time.
    #[error("pool `{pool}` had no plan at {at}; it may be before the first, or forgotten since")]
    NoPlan {
        /// The pool.
        pool: PoolName,
        /// The time.
        at: Timestamp,
    },
    /// The log of plans or that of changes cannot be used.
    #[error("what was written down cannot be used: {0}")]
    Log(String),
    /// Trainings are one at a time.
    #[error("a training is under way and another waits; ask again when it has ended")]
    Training,
    /// A model cannot be taken up.
    #[error("the model `{name}` cannot be taken up: {reason}")]
    Model {
        /// Its name.
        name: String,
        /// Why.
        reason: String,
    },
    /// Another change came between.
    #[error(
        "the configuration is at {current}, not at {given}; read it again and repeat the change"
    )]
    EtagMismatch {
        /// The tag that was given.
        given: String,
        /// The tag there is.
        current: String,
    },
    /// The configuration is not valid.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// An argument is outside of what is allowed.
    #[error("`{field}` is {value}; {mend}")]
    Argument {
        /// Which argument.
        field: &'static str,
        /// What it is.
        value: String,
        /// What it may be.
        mend: String,
    },
    /// Nothing can be acknowledged, because nothing can be made durable.
    #[error("decisions cannot be kept: {0}")]
    Ledger(String),
    /// The engine is shutting down, or has failed.
    #[error("the engine has stopped")]
    Stopped,
}

/// Why the engine could not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The configuration is not valid.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A folder or file cannot be used.
    #[error("cannot use `{path}`: {source}")]
    Io {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The ledger cannot be read.
    #[error("cannot recover from the ledger in `{path}`: {reason}")]
    Ledger {
        /// Its folder.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Another server uses the data folder.
    #[error("`{0}` is in use by another server; stop it or give another `--data`")]
    InUse(PathBuf),
    /// A provider cannot be set up.
    #[error(transparent)]
    Provider(#[from] foreshadow_providers::ProviderError),
    /// A file that was kept by an earlier run cannot be read.
    #[error(
        "`{path}` is damaged: {reason}; restore it or remove it to begin with the configured one"
    )]
    Damaged {
        /// Which one.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}
