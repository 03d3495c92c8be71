//! Measures on the bins held out at the end of the history.

use std::collections::BTreeMap;

use foreshadow_forecast::{
    Accuracy, AccuracySums, EVALUATION_LEVELS, Evaluation, EvaluationError, Forecaster, Naive,
    Panel, Protocol, SeasonalNaive,
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

/// Mean over the metrics of the weighted quantile loss, at the near horizon and over all that was
/// held out in one: what decides which weights are kept.
///
/// # Errors
/// [`EvaluationError`] if the model fails.
pub(crate) fn loss(
    panel: &Panel,
    near: Protocol,
    model: &mut dyn Forecaster,
) -> Result<f64, EvaluationError> {
    let far = Protocol {
        horizon: (near.horizon * near.windows).min(longest(panel)),
        windows: 1,
        ..near
    };
    let near_loss = loss_at(panel, near, model)?;
    Ok(f64::midpoint(near_loss, loss_at(panel, far, model)?))
}

/// Mean over the metrics of the weighted quantile loss.
///
/// # Errors
/// [`EvaluationError`] if the model fails.
fn loss_at(
    panel: &Panel,
    protocol: Protocol,
    model: &mut dyn Forecaster,
) -> Result<f64, EvaluationError> {
    let evaluation = Evaluation::new(panel, protocol)?;
    let mut by_metric: BTreeMap<&str, AccuracySums> = BTreeMap::new();
    evaluation.score(model, |scored| {
        by_metric
            .entry(&panel.ids()[scored.series].metric)
            .or_insert_with(|| AccuracySums::new(&EVALUATION_LEVELS))
            .add(scored.forecast, scored.actual, None);
        Ok::<(), EvaluationError>(())
    })?;
    let losses: Vec<f64> = by_metric
        .values()
        .map(|sums| sums.accuracy().crps)
        .filter(|loss| loss.is_finite())
        .collect();
    Ok(losses.iter().sum::<f64>() / losses.len().max(1) as f64)
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
