//! A piecewise linear trend with seasons of the calendar.

use std::sync::Arc;

use augurs::prophet::{
    OptProphetOptions, Optimizer, PredictionData, Prophet as Model, TrainingData,
    optimizer::{OptimizeOpts, OptimizedParams},
};
use foreshadow_forecast::{ForecastError, Forecaster, Panel, QuantileForecast};

use crate::{
    fit::{NormalForecast, forecast_all, is_constant},
    mode::PosteriorMode,
};

/// Bins of the past that are looked at: at five minutes just over two weeks, from where on a week is a
/// season.
const CONTEXT: usize = 4_096;
/// Fewer bins than this say nothing of a trend.
const FEWEST: usize = 16;

/// Prophet (Taylor and Letham, 2018) with its defaults: a linear trend whose rate may change at 25
/// times, the day as a season after two days, the week after two weeks, and the year after two years.
///
/// It looks at the last 4,096 bins, imputed with the last value. Quantiles are normal: their variance
/// is that of the noise and of the changes that the trend may still have, which Prophet draws at random
/// and here are integrated. Where nothing can be fitted, the last value is repeated.
#[derive(Debug, Clone, Copy, Default)]
pub struct Prophet;

impl Forecaster for Prophet {
    fn name(&self) -> &'static str {
        "prophet"
    }

    fn forecast(
        &mut self,
        panel: &Panel,
        origins: &[usize],
        horizon: usize,
        levels: &[f64],
    ) -> Result<Vec<Vec<QuantileForecast>>, ForecastError> {
        Ok(forecast_all(
            panel,
            origins,
            horizon,
            levels,
            CONTEXT,
            |context, origin| {
                let first = origin - context.len();
                let times = (first..origin + horizon).map(|bin| seconds(panel, bin));
                fit(context, &times.collect::<Vec<_>>())
            },
        ))
    }
}

/// When a bin begins, in seconds since 1970.
fn seconds(panel: &Panel, bin: usize) -> i64 {
    panel.bin_start(bin).as_millis().div_euclid(1_000)
}

/// Forecasts the times after those that have a value.
fn fit(context: &[f64], times: &[i64]) -> Option<NormalForecast> {
    if context.len() < FEWEST || is_constant(context) {
        return None;
    }
    let (past, ahead) = times.split_at(context.len());
    let mode = Arc::new(PosteriorMode::default());
    let options = OptProphetOptions {
        uncertainty_samples: Some(0),
        ..OptProphetOptions::default()
    };
    let mut model = Model::new(options.into(), mode.clone() as Arc<dyn Optimizer>);
    let data = TrainingData::new(past.to_vec(), context.to_vec()).ok()?;
    model.fit(data, OptimizeOpts::default()).ok()?;
    let forecast = model.predict(PredictionData::new(ahead.to_vec())).ok()?;
    let uncertainty = Uncertainty::of(mode.found.get()?, context);
    let (start, end) = (past[0], past[past.len() - 1]);
    let later = |&time: &i64| (time - end) as f64 / (end - start) as f64;
    NormalForecast {
        mean: forecast.yhat.point,
        deviation: ahead.iter().map(|t| uncertainty.after(later(t))).collect(),
    }
    .finite()
}

/// How uncertain a forecast is.
struct Uncertainty {
    /// The largest value that was fitted, in whose units the parameters are.
    scale: f64,
    noise: f64,
    /// How many changes of the trend's rate are to be expected in as long a time as was fitted.
    changes: f64,
    /// How large one is in the mean; it is double-exponential.
    change: f64,
}

impl Uncertainty {
    fn of(found: &OptimizedParams, context: &[f64]) -> Self {
        let changes = found.delta.len() as f64;
        let total: f64 = found.delta.iter().map(|change| change.abs()).sum();
        Self {
            scale: context.iter().fold(0.0, |most, v| v.abs().max(most)),
            noise: *found.sigma_obs,
            changes,
            change: total / changes.max(1.0),
        }
    }

    /// The standard deviation at a time after the last value, as a share of the time that was fitted:
    /// each change at a time s before it moves the value by s times itself.
    fn after(&self, time: f64) -> f64 {
        let trend = self.changes * 2.0 * self.change.powi(2) * time.powi(3) / 3.0;
        self.scale * (self.noise.powi(2) + trend).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BINS: i64 = 900;

    fn noise(bin: i64) -> f64 {
        (bin * 7_919 % 13) as f64
    }

    /// Forecasts of values every five minutes: the mean and the deviation after some steps.
    fn forecast(value: impl Fn(i64) -> f64) -> [(f64, f64); 4] {
        let context: Vec<_> = (0..BINS).map(|bin| f64::from(value(bin) as f32)).collect();
        let times = (0..BINS + 288).map(|bin| 1_700_000_000 + 300 * bin);
        let forecast = fit(&context, &times.collect::<Vec<_>>()).unwrap();
        [0, 47, 143, 287].map(|step| (forecast.mean[step], forecast.deviation[step]))
    }

    fn close(ours: [(f64, f64); 4], theirs: [(f64, f64); 4]) {
        for ((mean, deviation), (its_mean, its_deviation)) in ours.into_iter().zip(theirs) {
            assert!((mean - its_mean).abs() < 0.15 * its_deviation, "{ours:?}");
            assert!((deviation / its_deviation - 1.0).abs() < 0.1, "{ours:?}");
        }
    }

    /// Beside Prophet 1.5.0 for Python with the same values and its defaults. Its deviations are of 4,000
    /// draws; Stan's search ends a little before the mode (where the trend bends, its log-posterior is
    /// 2,766.7, ours 2,770.7).
    #[test]
    fn it_says_what_prophet_says() {
        let wave = |bin: i64| {
            let day = bin as f64 * std::f64::consts::TAU / 288.0;
            10.0 + 0.01 * bin as f64 + 5.0 * day.sin() + 0.3 * noise(bin)
        };
        let theirs = [
            (24.3245, 1.1478),
            (26.1267, 1.1509),
            (18.7727, 1.1351),
            (27.1159, 1.109),
        ];
        close(forecast(wave), theirs);
        let bend = |bin: i64| {
            let trend = (0.02 * bin as f64).min(15.0 - 0.01 * bin as f64);
            trend + noise(bin) / 13.0
        };
        let theirs = [
            (6.4275, 0.2872),
            (5.9526, 0.2948),
            (4.9906, 0.3924),
            (3.5151, 0.8133),
        ];
        close(forecast(bend), theirs);
    }
}
