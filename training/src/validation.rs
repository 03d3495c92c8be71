//! Measures on the bins held out at the end of the history.

use std::collections::BTreeMap;

use foreshadow_forecast::{
    Accuracy, AccuracySums, EVALUATION_LEVELS, Evaluation, EvaluationError, Forecaster, Naive,
    Panel, Protocol, SeasonalNaive, mean_magnitude,
};
use foreshadow_lstm::LONGEST_HORIZON;

use crate::manifest::{Measures, Validation};

/// The season is a day.
const DAY_MS: u128 = 86_400_000;
/// Steps of a validation window, where the history is long enough.
const HORIZON: usize = 48;
/// At most two days are held out.
const LONGEST_DAYS: usize = 2;
/// At most this share of the history is held out.
const LARGEST_SHARE: usize = 10;

/// How the end of a history is held out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Split {
    pub(crate) protocol: Protocol,
    /// The first bin held out.
    pub(crate) first: usize,
}

impl Split {
    /// Whole windows of at most a tenth of the bins and two days; `None` if there are too few bins.
    pub(crate) fn of(panel: &Panel) -> Option<Self> {
        let bins = panel.bins();
        let season = (DAY_MS / panel.interval().as_millis().max(1)).max(1) as usize;
        let held = (bins / LARGEST_SHARE).min(LONGEST_DAYS.saturating_mul(season).max(HORIZON));
        let horizon = HORIZON.min(held).min(longest(panel));
        if horizon == 0 {
            return None;
        }
        let windows = held / horizon;
        let protocol = Protocol {
            horizon,
            windows,
            season,
        };
        Some(Self {
            protocol,
            first: bins - windows * horizon,
        })
    }
}

/// The most steps that the model reaches ahead.
fn longest(panel: &Panel) -> usize {
    let steps = LONGEST_HORIZON.as_millis() / panel.interval().as_millis().max(1);
    steps.max(1) as usize
}

/// What decides which weights are kept: the mean over the metrics of the weighted quantile loss in which,
/// as in training, a series counts by the root of its level. By the level itself a few large series would
/// decide alone; and farther windows than these would be so few that they decide by chance.
///
/// # Errors
/// [`EvaluationError`] if the model fails.
pub(crate) fn loss(
    panel: &Panel,
    protocol: Protocol,
    model: &mut dyn Forecaster,
) -> Result<f64, EvaluationError> {
    let evaluation = Evaluation::new(panel, protocol)?;
    let mut by_series: BTreeMap<usize, AccuracySums> = BTreeMap::new();
    evaluation.score(model, |scored| {
        by_series
            .entry(scored.series)
            .or_insert_with(|| AccuracySums::new(&EVALUATION_LEVELS))
            .add(scored.forecast, scored.actual, None);
        Ok::<(), EvaluationError>(())
    })?;
    let mut by_metric: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
    for (series, sums) in by_series {
        let level = mean_magnitude(panel.series(series)).unwrap_or(0.0);
        let accuracy = sums.accuracy();
        if level > 0.0 && accuracy.points > 0 {
            let metric = by_metric.entry(&panel.ids()[series].metric).or_default();
            let points = accuracy.points as f64;
            metric.0 += points * accuracy.pinball.iter().sum::<f64>() / level.sqrt();
            metric.1 += points * level.sqrt();
        }
    }
    let share = 2.0 / EVALUATION_LEVELS.len() as f64;
    let losses = by_metric.values().map(|(loss, size)| share * loss / size);
    Ok(losses.sum::<f64>() / by_metric.len().max(1) as f64)
}

/// Scores the model beside the naive ones.
///
/// # Errors
/// [`EvaluationError`] if the model fails.
pub(crate) fn beside_naive(
    panel: &Panel,
    protocol: Protocol,
    model: &mut dyn Forecaster,
) -> Result<Validation, EvaluationError> {
    let evaluation = Evaluation::new(panel, protocol)?;
    let mut seasonal = SeasonalNaive::new(protocol.season);
    let mut models = Vec::new();
    for model in [model, &mut seasonal, &mut Naive] {
        let sums = evaluation.score(model, |_| Ok::<(), EvaluationError>(()))?;
        models.push(measures(model.name(), &sums.accuracy()));
    }
    let first = panel.bins() - protocol.windows * protocol.horizon;
    Ok(Validation {
        horizon: protocol.horizon,
        windows: protocol.windows,
        season: protocol.season,
        from: panel.bin_start(first).to_string(),
        models,
    })
}

fn measures(model: &str, accuracy: &Accuracy) -> Measures {
    let known = |value: f64| value.is_finite().then_some(value);
    let pinball = accuracy.pinball.iter().sum::<f64>() / accuracy.pinball.len().max(1) as f64;
    Measures {
        model: model.to_owned(),
        mase: known(accuracy.mase),
        crps: known(accuracy.crps),
        wape: known(accuracy.wape),
        coverage_80: known(accuracy.coverage_80),
        pinball: known(pinball),
    }
}
