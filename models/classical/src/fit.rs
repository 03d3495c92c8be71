//! What the models share: contexts, parallel fitting and turning intervals into quantiles.

use foreshadow_forecast::{Panel, QuantileForecast, impute_tail, last_value, naive_points};
use rayon::prelude::*;

use crate::normal::{INTERVAL, normal_quantile};

/// The mean and the standard deviation of each step.
pub(crate) struct NormalForecast {
    pub(crate) mean: Vec<f64>,
    pub(crate) deviation: Vec<f64>,
}

impl NormalForecast {
    /// From augurs' answer with the interval of [`INTERVAL`]; `None` if it is not finite.
    pub(crate) fn from_interval(forecast: &augurs::Forecast) -> Option<Self> {
        let intervals = forecast.intervals.as_ref()?;
        let deviation: Vec<_> = intervals
            .lower
            .iter()
            .zip(&intervals.upper)
            .map(|(low, high)| (high - low) / 2.0 / INTERVAL.1)
            .collect();
        let mean = forecast.point.clone();
        Self { mean, deviation }.finite()
    }

    /// Itself if all of it is finite.
    pub(crate) fn finite(self) -> Option<Self> {
        let all = self.mean.iter().chain(&self.deviation);
        all.copied().all(f64::is_finite).then_some(self)
    }

    fn quantiles(&self, levels: &[f64], floor: f64) -> QuantileForecast {
        let scores: Vec<_> = levels.iter().map(|&level| normal_quantile(level)).collect();
        let values = self
            .mean
            .iter()
            .zip(&self.deviation)
            .flat_map(|(mean, deviation)| {
                scores
                    .iter()
                    .map(move |z| (mean + z * deviation).max(floor) as f32)
            })
            .collect();
        QuantileForecast::new(levels, values)
    }
}

/// Forecasts every series from every origin with `fit`, which is given the last `context` bins before
/// it, imputed, and the origin. Where it gives nothing, the last value is repeated. A series that was never negative is
/// not forecast to become so.
pub(crate) fn forecast_all(
    panel: &Panel,
    origins: &[usize],
    horizon: usize,
    levels: &[f64],
    context: usize,
    fit: impl Fn(&[f64], usize) -> Option<NormalForecast> + Sync,
) -> Vec<Vec<QuantileForecast>> {
    let of_series = |origin: usize, series: usize| {
        let past = &panel.series(series)[..origin.min(panel.bins())];
        let naive = || QuantileForecast::from_points(levels, &naive_points(past, horizon));
        if last_value(past).is_none() {
            return naive();
        }
        let recent: Vec<_> = impute_tail(past, context)
            .into_iter()
            .map(f64::from)
            .collect();
        let Some(forecast) = fit(&recent, past.len()).filter(|f| f.mean.len() == horizon) else {
            return naive();
        };
        let floor = if recent.iter().all(|&value| value >= 0.0) {
            0.0
        } else {
            f64::NEG_INFINITY
        };
        let quantiles = forecast.quantiles(levels, floor);
        if quantiles.is_finite() {
            quantiles
        } else {
            naive()
        }
    };
    origins
        .iter()
        .map(|&origin| {
            (0..panel.ids().len())
                .into_par_iter()
                .map(|series| of_series(origin, series))
                .collect()
        })
        .collect()
}

/// Whether all values are the same, so that there is nothing to fit.
pub(crate) fn is_constant(values: &[f64]) -> bool {
    values.windows(2).all(|pair| pair[0] == pair[1])
}
