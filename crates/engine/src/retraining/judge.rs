//! Whether a candidate is better than the model in use, on bins that it has not seen.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use foreshadow_forecast::{Forecaster, Naive, Panel, Protocol};
use foreshadow_history::{
    DEFAULT_MAX_VALUES, HistoryPaths, PanelLimits, PanelOptions, begin_of, load_panel,
};
use foreshadow_types::Timestamp;

use super::model::{LoadModel, LoadedForecaster};
use crate::inference::{BoxedForecaster, Untrained, season_bins, seasonal_naive};

/// Steps of each window and how many windows there are at the least.
const HORIZON: u32 = 6;
const WINDOWS: u32 = 8;

/// How long the windows last together, however narrow the bins: an hour of garbage must not have the
/// majority of them.
const LASTS: Duration = Duration::from_hours(3);

/// How many windows judge a candidate: of a young history no more than a third is kept for them.
fn windows(interval: Duration, history: Duration) -> u32 {
    let window = interval * HORIZON;
    let fitting = LASTS.min(history / 3).as_millis() / window.as_millis().max(1);
    (fitting as u32).max(WINDOWS)
}

/// How much of the latest history, of such a length, a candidate must not be fitted to.
pub(crate) fn holdout(interval: Duration, history: Duration) -> Duration {
    interval * HORIZON * windows(interval, history)
}

/// How long the history goes back from `now`, or as far as matters to what is held out.
pub(super) fn length(histories: &[PathBuf], now: Timestamp) -> Result<Duration, String> {
    let paths = HistoryPaths::expand(histories).map_err(|error| error.to_string())?;
    let mut length = Duration::ZERO;
    for path in paths.files() {
        let first = begin_of(path).map_err(|error| error.to_string())?;
        length = length.max(first.map_or(Duration::ZERO, |first| now.since(first)));
        if length >= LASTS * 3 {
            break;
        }
    }
    Ok(length)
}

/// What a candidate is judged beside.
#[derive(Debug, Clone)]
pub(super) struct Rivals {
    /// Where models are promoted.
    pub(super) models: PathBuf,
    /// The model to begin with, until one is promoted.
    pub(super) configured: Option<PathBuf>,
    /// Whether the pretrained one is used until there is another.
    pub(super) pretrained: bool,
}

impl Rivals {
    /// The promoted model, or else the configured one, if it can be read at this interval.
    pub(super) fn in_use(&self, load: &LoadModel, interval: Duration) -> Option<BoxedForecaster> {
        let promoted = foreshadow_training::current_model(&self.models);
        let folder = promoted.ok().flatten().or_else(|| self.configured.clone());
        let current = folder.and_then(|folder| load(&folder).ok())?;
        (current.interval == interval).then_some(current.forecaster)
    }
}

/// What the gate found.
pub(super) struct Verdict {
    /// Why the candidate is not to be promoted, if so.
    pub(super) refusal: Option<String>,
    pub(super) loss: f64,
    pub(super) before: f64,
    pub(super) candidate: LoadedForecaster,
    pub(super) panel: Arc<Panel>,
}

/// Compares a candidate with the model in use, and with what needs no training: the pretrained model, if
/// it is to be used, seasonal-naive and the latest value; on the windows after `until`.
pub(super) fn judge(
    load: &LoadModel,
    rivals: &Rivals,
    folder: &Path,
    histories: &[PathBuf],
    (until, held_out): (Timestamp, Duration),
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
    let mut current = rivals.in_use(load, interval);
    let current = current.as_mut().map(|current| current.as_mut() as _);
    let protocol = Protocol {
        horizon: HORIZON as usize,
        windows: windows_of(held_out, interval),
        season: season_bins(candidate.interval),
    };
    // It is seasonal-naive where there is no pretrained model, or none for a series.
    let mut untrained = Untrained::new(rivals.pretrained);
    let (mut seasonal, mut latest) = (seasonal_naive(interval), Naive);
    let mut baselines: Vec<&mut dyn Forecaster> = vec![&mut seasonal, &mut latest];
    if rivals.pretrained {
        baselines.push(&mut untrained);
    }
    let report = foreshadow_training::compare(
        &panel,
        protocol,
        candidate.forecaster.as_mut(),
        current,
        &mut baselines,
    )
    .map_err(|error| error.to_string())?;
    let (loss, before) = (report.candidate, report.current.unwrap_or(report.baseline));
    let refusal = (!report.promotes()).then(|| {
        let (won, windows, baseline) = (report.won, report.windows, report.baseline);
        format!(
            "not better: loss {loss:.4}, in use {before:.4}, untrained {baseline:.4}; \
             better in {won} of {windows} windows"
        )
    });
    Ok(Verdict {
        refusal,
        loss,
        before,
        candidate,
        panel: Arc::new(panel),
    })
}

/// So many windows are held out.
fn windows_of(held_out: Duration, interval: Duration) -> usize {
    (held_out.as_millis() / (interval * HORIZON).as_millis().max(1)) as usize
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_of_garbage_never_has_the_majority_of_the_windows() {
        let week = Duration::from_hours(168);
        for minutes in [1, 2, 5, 15] {
            let interval = Duration::from_mins(minutes);
            let lasts = holdout(interval, week);
            assert!(lasts > Duration::from_hours(2), "{interval:?}: {lasts:?}");
            assert_eq!(
                windows_of(lasts, interval),
                windows(interval, week) as usize
            );
        }
        assert_eq!(
            holdout(Duration::from_secs(1), Duration::from_secs(200)),
            Duration::from_secs(66),
            "a third of a young history"
        );
    }
}
