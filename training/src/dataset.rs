//! The history that a model is fitted on.

use std::{path::PathBuf, time::Duration};

use foreshadow_forecast::Panel;
use foreshadow_history::{
    DEFAULT_MAX_VALUES, HistoryError, HistoryPaths, PanelLimits, PanelOptions, load_panel,
};
use foreshadow_types::Timestamp;

/// Which history a model is fitted on.
#[derive(Debug, Clone, PartialEq)]
pub struct DatasetOptions {
    /// Files, folders or globs, of usage or of requests.
    pub history: Vec<PathBuf>,
    /// The metrics; `None` for all.
    pub metrics: Option<Vec<String>>,
    /// The width of a bin.
    pub interval: Duration,
    /// Only bins that end at or before this time are used.
    pub until: Option<Timestamp>,
    /// Decides which series are kept when there are too many for memory.
    pub seed: u64,
}

/// Loads the history as a panel of at most 64 Mi values: beyond that a seeded sample of the series,
/// and the most recent bins of them, are kept.
///
/// # Errors
/// [`HistoryError`] if a file cannot be read, a metric is missing or there is no row.
pub fn load_dataset(options: &DatasetOptions) -> Result<Panel, HistoryError> {
    let paths = HistoryPaths::expand(&options.history)?;
    let panel = PanelOptions {
        metrics: options.metrics.clone(),
        interval: options.interval,
        until: options.until,
        limits: PanelLimits::Sample {
            max_values: DEFAULT_MAX_VALUES,
            seed: options.seed,
        },
    };
    load_panel(&paths, &panel)
}
