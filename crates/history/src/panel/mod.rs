//! History becomes a panel: series on one grid.
//!
//! Two passes over the files, so that memory is bounded by the panel and not by the files: the first
//! finds the series and the first and last bin, the second fills the bins.

mod fill;
mod roster;
mod survey;

use std::time::Duration;

use foreshadow_forecast::Panel;
use foreshadow_types::Timestamp;

use crate::{HistoryError, HistoryPaths};
use fill::Filler;
pub(crate) use fill::weights;
use survey::Survey;

/// The metric of request counts.
pub const REQUESTS_METRIC: &str = "requests";

/// Values that fit comfortably into a small machine: 64 Mi, which take 384 MiB while loading.
pub const DEFAULT_MAX_VALUES: usize = 64 << 20;

/// What a panel is made of.
#[derive(Debug, Clone, PartialEq)]
pub struct PanelOptions {
    /// The metrics wanted, in the order of the series of each entity; `None` for all.
    /// Request counts are the metric [`REQUESTS_METRIC`].
    pub metrics: Option<Vec<String>>,
    /// The width of a bin.
    pub interval: Duration,
    /// Only bins that end at or before this time are used.
    pub until: Option<Timestamp>,
    /// What happens when the panel would be too large.
    pub limits: PanelLimits,
}

/// What happens when series × bins is more than memory should hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PanelLimits {
    /// An error says so.
    Refuse {
        /// The most values.
        max_values: usize,
    },
    /// A seeded sample of the series, and the most recent bins, are kept.
    ///
    /// Series are given up first, down to 4,096 of them; then early bins are.
    Sample {
        /// The most values.
        max_values: usize,
        /// Decides which series stay.
        seed: u64,
    },
}

impl PanelLimits {
    fn max_values(self) -> u64 {
        match self {
            Self::Refuse { max_values } | Self::Sample { max_values, .. } => max_values as u64,
        }
    }
}

/// Loads history onto a common grid from the first to the last bin of all files; bins begin at
/// multiples of the interval since 1970.
///
/// A usage series is the mean of the samples in each bin, NaN where there is none, and a row that is
/// itself a mean counts as often as it has samples; entities and
/// metrics without a single value are series too. Samples that are null, NaN or infinite are absent.
/// Request files give the count of requests in each bin, for each pool and each user, zero where
/// there is none. Series are sorted by entity, then in the order of the metrics; usage comes first,
/// then pools, then users.
///
/// # Errors
/// [`HistoryError`] if a file cannot be read, a metric is nowhere to be found, there is no row, or
/// the panel is too large and must not be sampled.
pub fn load_panel(paths: &HistoryPaths, options: &PanelOptions) -> Result<Panel, HistoryError> {
    if options.interval.as_millis() == 0 {
        return Err(HistoryError::Interval(options.interval.as_millis()));
    }
    let survey = Survey::of(paths, options)?;
    let plan = survey.plan(options)?;
    let mut filler = Filler::new(plan);
    for source in survey.sources() {
        filler.read(source)?;
    }
    Ok(filler.finish())
}
