//! What a provider reports.

use std::{fmt, time::Duration};

use foreshadow_types::InstanceId;

/// What became of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProviderEvent {
    /// It is ready for use.
    Ready {
        /// Which one.
        instance: InstanceId,
        /// Where it is reached, `host:port`.
        address: String,
        /// From the start being asked until it was ready; zero when it was adopted.
        took: Duration,
    },
    /// It is ready for use, given by a fallback: that tells nothing of how long starts take.
    Given {
        /// Which one.
        instance: InstanceId,
        /// Where it is reached, `host:port`.
        address: String,
    },
    /// It did not become ready; nothing of it is left.
    Failed {
        /// Which one.
        instance: InstanceId,
        /// Why, for people.
        reason: String,
    },
    /// It was there and is no more; nothing of it is left.
    Gone {
        /// Which one.
        instance: InstanceId,
        /// Why.
        reason: GoneReason,
    },
}

/// Why an instance is no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GoneReason {
    /// It was stopped as asked.
    Stopped,
    /// It ended by itself; the text is its exit status where it is known.
    Exited(String),
    /// It did not answer its probes and was killed.
    Stuck,
    /// It was not there when the server started again.
    Missing,
}

impl fmt::Display for GoneReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopped => f.write_str("stopped as asked"),
            Self::Exited(status) => write!(f, "ended by itself ({status})"),
            Self::Stuck => f.write_str("did not answer its probes"),
            Self::Missing => f.write_str("was gone when the server started"),
        }
    }
}
