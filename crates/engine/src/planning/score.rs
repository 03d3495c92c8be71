//! Actual against predicted, lately.

use foreshadow_forecast::{QuantileForecast, pinball_loss};

use crate::views::Accuracy;

/// How much of its weight a comparison keeps with each that follows: about the last hundred count.
const KEPT: f32 = 0.99;

/// Fading sums of comparisons, small enough for every series to have one.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Score {
    points: u64,
    weight: f32,
    pinball: f32,
    inside: f32,
    absolute_error: f32,
    absolute_value: f32,
}

impl Score {
    /// Takes note of one value and the step of a forecast that was of it.
    pub(crate) fn add(&mut self, forecast: &QuantileForecast, step: usize, actual: f32) {
        if !actual.is_finite() || step >= forecast.horizon() {
            return;
        }
        let losses = forecast.levels().iter().zip(forecast.step(step));
        let losses =
            losses.map(|(level, value)| pinball_loss(*level, f64::from(*value), f64::from(actual)));
        let pinball = losses.sum::<f64>() / forecast.levels().len() as f64;
        let tolerance = 1e-6 * actual.abs().max(1.0);
        let inside = actual >= forecast.quantile(step, 0.1) - tolerance
            && actual <= forecast.quantile(step, 0.9) + tolerance;
        let error = (actual - forecast.quantile(step, 0.5)).abs();
        self.points += 1;
        self.weight = KEPT * self.weight + 1.0;
        self.pinball = KEPT * self.pinball + pinball as f32;
        self.inside = KEPT * self.inside + f32::from(inside);
        self.absolute_error = KEPT * self.absolute_error + error;
        self.absolute_value = KEPT * self.absolute_value + actual.abs();
    }

    /// The mean size of the actual values; none before the first.
    pub(crate) fn scale(&self) -> Option<f64> {
        (self.weight > 0.0).then(|| f64::from(self.absolute_value / self.weight))
    }

    pub(crate) fn accuracy(&self) -> Accuracy {
        let mean = |sum: f32| (self.weight > 0.0).then(|| f64::from(sum / self.weight));
        Accuracy {
            points: self.points,
            pinball: mean(self.pinball),
            coverage_80: mean(self.inside),
            wape: (self.absolute_value > 0.0)
                .then(|| f64::from(self.absolute_error / self.absolute_value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use foreshadow_forecast::PLANNING_LEVELS;

    use super::*;

    #[test]
    fn a_perfect_forecast_has_no_loss_and_a_missed_one_has() {
        let forecast = QuantileForecast::from_points(&PLANNING_LEVELS, &[2.0]);
        let mut score = Score::default();
        score.add(&forecast, 0, 2.0);
        score.add(&forecast, 0, f32::NAN);
        score.add(&forecast, 7, 2.0);
        let perfect = score.accuracy();
        assert_eq!((perfect.points, perfect.pinball), (1, Some(0.0)));
        assert_eq!((perfect.coverage_80, perfect.wape), (Some(1.0), Some(0.0)));
        score.add(&forecast, 0, 4.0);
        let worse = score.accuracy();
        assert!(worse.pinball > Some(0.0) && worse.coverage_80 < Some(0.6));
        assert!(worse.wape > Some(0.3));
    }
}
