//! Why a request had to wait.

use std::fmt;

/// The cause of one miss or join.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MissCause {
    /// The planner had not learnt enough to forecast.
    NoForecast,
    /// Demand over the lead time exceeded the target.
    UnderForecast,
    /// The target covered the demand over the start-up time, but its instances were still starting.
    Late,
    /// A limit kept the target below what was wanted.
    Quota,
    /// Starts had failed.
    FailedStart,
    /// An instance was ready that it could have had, had it asked for a smaller shape.
    ShapeMismatch,
}

impl MissCause {
    /// All causes, in the order they are tested.
    pub const ALL: [Self; 6] = [
        Self::FailedStart,
        Self::Quota,
        Self::ShapeMismatch,
        Self::NoForecast,
        Self::Late,
        Self::UnderForecast,
    ];
}

impl MissCause {
    /// Its name in data.
    pub fn key(self) -> &'static str {
        match self {
            Self::NoForecast => "no_forecast",
            Self::UnderForecast => "under_forecast",
            Self::Late => "late",
            Self::Quota => "quota",
            Self::FailedStart => "failed_start",
            Self::ShapeMismatch => "shape_mismatch",
        }
    }
}

impl fmt::Display for MissCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoForecast => "no forecast",
            Self::UnderForecast => "under-forecast",
            Self::Late => "late",
            Self::Quota => "quota",
            Self::FailedStart => "failed start",
            Self::ShapeMismatch => "shape mismatch",
        })
    }
}

/// How many requests waited, by cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MissCounts([u64; MissCause::ALL.len()]);

impl MissCounts {
    /// Counts one more.
    pub fn add(&mut self, cause: MissCause) {
        self.0[cause as usize] += 1;
    }

    /// How many had this cause.
    pub fn of(&self, cause: MissCause) -> u64 {
        self.0[cause as usize]
    }

    /// Those that came after an earlier count.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self(std::array::from_fn(|cause| {
            self.0[cause].saturating_sub(earlier.0[cause])
        }))
    }

    /// Adds another pool's.
    pub fn merge(&mut self, other: &Self) {
        for (sum, part) in self.0.iter_mut().zip(other.0) {
            *sum += part;
        }
    }

    /// How many there were.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}
