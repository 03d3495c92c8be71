//! Why a lease ended early.

use std::sync::Arc;

use thiserror::Error;

use crate::State;

/// Why a lease ended before it was given back: its instance may be another's since.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Lost {
    /// The server has ended it: the instance failed ([`State::Lost`]), it was not renewed in time
    /// ([`State::Expired`]), or somebody else gave it back ([`State::Released`]).
    #[error("the lease {id} is {state}; claim another")]
    Ended {
        /// The allocation.
        id: Arc<str>,
        /// What became of it.
        state: State,
    },
    /// The server knows the lease no more, or a later one has its instance.
    #[error("the lease {id} is over: {message}; claim another")]
    Refused {
        /// The allocation.
        id: Arc<str>,
        /// What the server said.
        message: String,
    },
    /// No renewal got through until the lease was over.
    #[error("the lease {id} could not be renewed in time: {message}; claim another")]
    NotRenewed {
        /// The allocation.
        id: Arc<str>,
        /// Why the last renewal failed.
        message: String,
    },
}
