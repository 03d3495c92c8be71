//! Why a request had to wait.

use std::fmt;

/// The cause of one miss or join.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MissCause {
    /// The planner had not learnt enough to forecast.
    NoForecast,
    /// Demand over the lead time exceeded the target.
    UnderForecast,
    /// The target would have covered it, but the instances were still starting.
    Late,
    /// Ready instances were there, but none fitted the request.
    ShapeMismatch,
    /// A limit kept the target below what was wanted.
    Quota,
    /// Starts had failed.
    FailedStart,
}

impl MissCause {
    /// All causes, in the order they are tested.
    pub const ALL: [Self; 6] = [
        Self::ShapeMismatch,
        Self::FailedStart,
        Self::Quota,
        Self::NoForecast,
        Self::Late,
        Self::UnderForecast,
    ];
}

impl fmt::Display for MissCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoForecast => "no forecast",
            Self::UnderForecast => "under-forecast",
            Self::Late => "late",
            Self::ShapeMismatch => "shape mismatch",
            Self::Quota => "quota",
            Self::FailedStart => "failed start",
        })
    }
}

/// How many requests waited, by cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MissCounts([u64; 6]);

impl MissCounts {
    /// Counts one more.
    pub fn add(&mut self, cause: MissCause) {
        self.0[cause as usize] += 1;
    }

    /// How many had this cause.
    pub fn of(&self, cause: MissCause) -> u64 {
        self.0[cause as usize]
    }

    /// How many there were.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}
