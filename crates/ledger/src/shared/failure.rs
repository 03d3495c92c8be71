//! What went wrong in a try, and whether another may go better.

use std::{error::Error, fmt::Write as _, io, time::Duration};

use tokio_postgres::error::SqlState;
use tokio_rustls::rustls;

use crate::{LedgerError, Place};

/// Why a try failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// No answer came in time.
    TimedOut,
    /// The connection broke, or the server refused.
    Server(tokio_postgres::Error),
    /// The shard is not owned under this epoch.
    Fenced {
        /// The shard.
        shard: u32,
        /// The epoch.
        epoch: u64,
    },
    /// What is there is not what this ledger wrote.
    Wrong(String),
    /// The tables are missing, or of another release.
    Unusable(LedgerError),
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Server(error)
    }
}

impl Failure {
    /// Whether another try may go better.
    pub(super) fn passes(&self) -> bool {
        match self {
            Self::TimedOut => true,
            // What is there already is found by the next try, if an earlier one wrote it.
            Self::Server(error) => may_pass(error) || self.is_conflict(),
            Self::Fenced { .. } | Self::Wrong(_) | Self::Unusable(_) => false,
        }
    }

    /// What it means to whoever runs the server.
    pub(super) fn into_error(self, place: Place, patience: Duration) -> LedgerError {
        let why = match self {
            Self::TimedOut => "no answer".to_owned(),
            Self::Server(error) if may_pass(&error) => told(&error),
            Self::Server(error) => {
                let why = told(&error);
                return LedgerError::Refused { place, why };
            }
            Self::Fenced { shard, epoch } => return LedgerError::Fenced { shard, epoch },
            Self::Wrong(what) => return LedgerError::Damaged { place, what },
            Self::Unusable(error) => return error,
        };
        LedgerError::Unreachable {
            place,
            patience,
            why,
        }
    }

    /// Whether a row with this key is there already.
    pub(super) fn is_conflict(&self) -> bool {
        match self {
            Self::Server(error) => error.code() == Some(&SqlState::UNIQUE_VIOLATION),
            Self::TimedOut | Self::Fenced { .. } | Self::Wrong(_) | Self::Unusable(_) => false,
        }
    }
}

fn may_pass(error: &tokio_postgres::Error) -> bool {
    error.code().map_or_else(|| is_broken(error), is_passing)
}

/// The connection was lost, or there was none. One that could not be encrypted as it should be will
/// not be later.
fn is_broken(error: &tokio_postgres::Error) -> bool {
    let source = error.source().and_then(<dyn Error>::downcast_ref);
    let is_outage = |source: &io::Error| {
        !source
            .get_ref()
            .is_some_and(<dyn Error + Send + Sync>::is::<rustls::Error>)
    };
    error.is_closed() || source.is_some_and(is_outage)
}

/// The server ends, starts, has passed on to another, or has too much to do.
fn is_passing(code: &SqlState) -> bool {
    let connection = code.code().starts_with("08");
    let passing = [
        &SqlState::ADMIN_SHUTDOWN,
        &SqlState::CRASH_SHUTDOWN,
        &SqlState::CANNOT_CONNECT_NOW,
        &SqlState::TOO_MANY_CONNECTIONS,
        &SqlState::OUT_OF_MEMORY,
        &SqlState::QUERY_CANCELED,
        &SqlState::LOCK_NOT_AVAILABLE,
        &SqlState::READ_ONLY_SQL_TRANSACTION,
        &SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
        &SqlState::T_R_SERIALIZATION_FAILURE,
        &SqlState::T_R_DEADLOCK_DETECTED,
    ];
    connection || passing.contains(&code)
}

/// An error with all its causes. None of them holds a password: it is sent to the server alone.
pub(super) fn told(error: &dyn Error) -> String {
    let mut told = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let _written = write!(told, ": {cause}");
        source = cause.source();
    }
    told
}
