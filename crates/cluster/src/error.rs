//! What can go wrong with the database.

use std::error::Error;

use foreshadow_ledger::LedgerError;
use thiserror::Error;

/// Why the database was of no help.
#[derive(Debug, Error)]
pub enum ClusterError {
    /// The database cannot be used as given, or does not do what it is told.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// A question was not answered.
    #[error("the shared ledger: {0}")]
    Database(String),
    /// It took too long.
    #[error("the shared ledger does not answer")]
    Silent,
    /// The cluster was begun with another number of shards.
    #[error("the cluster has {found} shards, not {asked}; give `shards = {found}`")]
    OtherShards {
        /// How many there are.
        found: i64,
        /// How many were asked for.
        asked: u16,
    },
}

impl From<tokio_postgres::Error> for ClusterError {
    fn from(error: tokio_postgres::Error) -> Self {
        let cause = error.source();
        let text = cause.map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"));
        Self::Database(text)
    }
}
