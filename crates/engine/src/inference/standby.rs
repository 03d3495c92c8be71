//! What answers where a model does not.

use std::{sync::Arc, time::Duration};

use foreshadow_forecast::{
    Forecaster as _, PLANNING_LEVELS, Panel, QuantileForecast, SeasonalNaive,
};

use super::{Batch, BatchForecast, from_the_end};

/// The season that is repeated.
const SEASON: Duration = Duration::from_hours(24);

/// A day, in bins.
pub(crate) fn season_bins(interval: Duration) -> usize {
    ((SEASON.as_millis() / interval.as_millis().max(1)) as usize).max(1)
}

/// What repeats yesterday, or the last value where there is no yesterday.
pub(crate) fn seasonal_naive(interval: Duration) -> SeasonalNaive {
    SeasonalNaive::new(season_bins(interval))
}

pub(super) fn fallback_batch(panel: &Panel, horizon: usize) -> Batch {
    let mut standby = seasonal_naive(panel.interval());
    let model: Arc<str> = standby.name().into();
    let answered = from_the_end(&mut standby, panel, horizon);
    let quantiles = answered.unwrap_or_else(|_| {
        let zero = QuantileForecast::from_points(&PLANNING_LEVELS, &vec![0.0; horizon]);
        vec![zero; panel.ids().len()]
    });
    let forecasts = quantiles.into_iter().map(|quantiles| BatchForecast {
        quantiles,
        model: model.clone(),
        fallback: true,
    });
    Batch {
        forecasts: forecasts.collect(),
    }
}
