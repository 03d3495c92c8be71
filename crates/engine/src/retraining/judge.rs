//! Whether a candidate is better than the model in use, on bins that it has not seen.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use foreshadow_forecast::{Panel, Protocol};
use foreshadow_history::{DEFAULT_MAX_VALUES, HistoryPaths, PanelLimits, PanelOptions, load_panel};
use foreshadow_types::Timestamp;

use super::model::{LoadModel, LoadedForecaster};
use crate::inference::{BoxedForecaster, Untrained, season_bins, seasonal_naive};

/// Steps of each window and how many windows there are.
const HORIZON: usize = 6;
const WINDOWS: usize = 8;

/// How much of the latest history a candidate must not be fitted to.
pub(crate) fn holdout(interval: Duration) -> Duration {
    interval * (HORIZON * WINDOWS) as u32
}

/// What the gate found.
pub(super) struct Verdict {
    pub(super) promotes: bool,
    pub(super) loss: f64,
    pub(super) before: f64,
    pub(super) candidate: LoadedForecaster,
    pub(super) panel: Arc<Panel>,
}

/// Compares a candidate with the model in use, and with what there would be without any: the pretrained
/// model, if it is to be used, and seasonal-naive.
pub(super) fn judge(
    load: &LoadModel,
    (models, pretrained): (&Path, bool),
    folder: &Path,
    histories: &[PathBuf],
    until: Timestamp,
) -> Result<Verdict, String> {
    let mut candidate = load(folder)?;
    if candidate.trained_through >= until {
        return Err(format!(
            "the candidate was trained through {}, past {until}: it cannot be judged",
            candidate.trained_through
        ));
    }
    let interval = candidate.interval;
    let panel = load_history(histories, interval, DEFAULT_MAX_VALUES)?;
    let mut current = in_use(load, models, interval);
    let current = current.as_mut().map(|current| current.as_mut() as _);
    let protocol = Protocol {
        horizon: HORIZON,
        windows: WINDOWS,
        season: season_bins(candidate.interval),
    };
    let report = foreshadow_training::compare(
        &panel,
        protocol,
        candidate.forecaster.as_mut(),
        current,
        &mut [
            &mut seasonal_naive(interval),
            &mut Untrained::new(pretrained),
        ],
    )
    .map_err(|error| error.to_string())?;
    Ok(Verdict {
        promotes: report.promotes(),
        loss: report.candidate,
        before: report.current.unwrap_or(report.baseline),
        candidate,
        panel: Arc::new(panel),
    })
}

/// The promoted model, if there is one that can be read at this interval.
fn in_use(load: &LoadModel, models: &Path, interval: Duration) -> Option<BoxedForecaster> {
    let folder = foreshadow_training::current_model(models).ok().flatten();
    let current = folder.and_then(|folder| load(&folder).ok())?;
    (current.interval == interval).then_some(current.forecaster)
}

/// The history as a panel; a sample of the series, and their latest bins, where it is too large.
pub(crate) fn load_history(
    histories: &[PathBuf],
    interval: Duration,
    max_values: usize,
) -> Result<Panel, String> {
    let paths = HistoryPaths::expand(histories).map_err(|error| error.to_string())?;
    let options = PanelOptions {
        metrics: None,
        interval,
        until: None,
        limits: PanelLimits::Sample {
            max_values,
            seed: 0,
        },
    };
    load_panel(&paths, &options).map_err(|error| error.to_string())
}
