//! Accuracy measures, defined as GIFT-Eval defines them (Aksu et al., 2024).

use crate::{PLANNING_LEVELS, QuantileForecast};

/// A value on the edge of an interval is inside it, up to this share of its size.
const EDGE_TOLERANCE: f64 = 1e-6;

/// Measures of one model over all forecasts added. A measure that nothing contributes to is NaN.
#[derive(Debug, Clone, PartialEq)]
pub struct Accuracy {
    /// Mean |error| of the median ÷ mean |y\[t\] − y\[t − season\]| before the window.
    pub mase: f64,
    /// Mean over the levels of Σ 2·pinball ÷ Σ |y|.
    pub crps: f64,
    /// Σ |error| of the median ÷ Σ |y|.
    pub wape: f64,
    /// Share of values within the 0.1 and 0.9 quantiles, ends included.
    pub coverage_80: f64,
    /// The planning levels among those that were forecast, each with the share of values at or below its
    /// quantile.
    pub coverage: Vec<(f64, f64)>,
    /// Mean pinball loss at each level, in the order of the levels.
    pub pinball: Vec<f64>,
    /// Values that were forecast.
    pub points: u64,
    /// Forecasts added, those without any value included.
    pub forecasts: u64,
}

/// Sums from which [`Accuracy`] is derived.
#[derive(Debug, Clone)]
pub struct AccuracySums {
    levels: Vec<f64>,
    pinball: Vec<f64>,
    absolute_error: f64,
    absolute_value: f64,
    scaled_error: f64,
    scaled_points: u64,
    inside: u64,
    /// Values at or below the quantile of each planning level, and how many there were.
    below: [(u64, u64); PLANNING_LEVELS.len()],
    points: u64,
    forecasts: u64,
}

impl AccuracySums {
    /// Empty sums for forecasts at these levels.
    pub fn new(levels: &[f64]) -> Self {
        Self {
            levels: levels.to_vec(),
            pinball: vec![0.0; levels.len()],
            absolute_error: 0.0,
            absolute_value: 0.0,
            scaled_error: 0.0,
            scaled_points: 0,
            inside: 0,
            below: [(0, 0); PLANNING_LEVELS.len()],
            points: 0,
            forecasts: 0,
        }
    }

    /// Adds one forecast and what came true; steps without a value (NaN) count for nothing.
    ///
    /// `seasonal_error` is the divisor of MASE for this window, see [`seasonal_error`]; where it is
    /// absent or zero, the forecast is left out of MASE alone.
    pub fn add(
        &mut self,
        forecast: &QuantileForecast,
        actual: &[f32],
        seasonal_error: Option<f64>,
    ) {
        self.forecasts += 1;
        let scale = seasonal_error.filter(|&scale| scale > 0.0);
        for (step, &value) in actual.iter().enumerate().take(forecast.horizon()) {
            if value.is_finite() {
                self.add_point(forecast, step, f64::from(value), scale);
            }
        }
    }

    fn add_point(
        &mut self,
        forecast: &QuantileForecast,
        step: usize,
        value: f64,
        scale: Option<f64>,
    ) {
        for (sum, &level) in self.pinball.iter_mut().zip(&self.levels) {
            let quantile = f64::from(forecast.quantile(step, level));
            *sum += pinball_loss(level, quantile, value);
        }
        let error = (value - f64::from(forecast.quantile(step, 0.5))).abs();
        self.points += 1;
        self.absolute_error += error;
        self.absolute_value += value.abs();
        if let Some(scale) = scale {
            self.scaled_error += error / scale;
            self.scaled_points += 1;
        }
        let tolerance = EDGE_TOLERANCE * value.abs().max(1.0);
        let low = f64::from(forecast.quantile(step, 0.1)) - tolerance;
        let high = f64::from(forecast.quantile(step, 0.9)) + tolerance;
        self.inside += u64::from((low..=high).contains(&value));
        let known = forecast.levels();
        let reach = known.first().copied().zip(known.last().copied());
        for (counts, level) in self.below.iter_mut().zip(PLANNING_LEVELS) {
            if reach.is_some_and(|(first, last)| (first..=last).contains(&level)) {
                let quantile = f64::from(forecast.quantile(step, level)) + tolerance;
                counts.0 += u64::from(value <= quantile);
                counts.1 += 1;
            }
        }
    }

    /// Adds the sums of other forecasts at the same levels.
    pub fn merge(&mut self, other: &Self) {
        for (sum, more) in self.pinball.iter_mut().zip(&other.pinball) {
            *sum += more;
        }
        self.absolute_error += other.absolute_error;
        self.absolute_value += other.absolute_value;
        self.scaled_error += other.scaled_error;
        self.scaled_points += other.scaled_points;
        self.inside += other.inside;
        for (counts, more) in self.below.iter_mut().zip(&other.below) {
            counts.0 += more.0;
            counts.1 += more.1;
        }
        self.points += other.points;
        self.forecasts += other.forecasts;
    }

    /// The measures of everything added.
    pub fn accuracy(&self) -> Accuracy {
        let points = self.points as f64;
        let weighted: f64 = self
            .pinball
            .iter()
            .map(|sum| 2.0 * sum / self.absolute_value)
            .sum();
        Accuracy {
            mase: self.scaled_error / self.scaled_points as f64,
            crps: weighted / self.levels.len() as f64,
            wape: self.absolute_error / self.absolute_value,
            coverage_80: self.inside as f64 / points,
            coverage: PLANNING_LEVELS
                .iter()
                .zip(&self.below)
                .filter(|(_, (_, of))| *of > 0)
                .map(|(level, (below, of))| (*level, *below as f64 / *of as f64))
                .collect(),
            pinball: self.pinball.iter().map(|sum| sum / points).collect(),
            points: self.points,
            forecasts: self.forecasts,
        }
    }
}

/// The mean of |y| over the values that are present; `None` if there is none.
pub fn mean_magnitude(values: &[f32]) -> Option<f64> {
    let present = values.iter().filter(|value| value.is_finite());
    let (sum, count) = present.fold((0.0, 0.0), |(sum, count), value| {
        (sum + f64::from(value.abs()), count + 1.0)
    });
    (count > 0.0).then(|| sum / count)
}

/// The loss whose mean is least when `quantile` is the quantile at `level`.
pub fn pinball_loss(level: f64, quantile: f64, value: f64) -> f64 {
    let above = value - quantile;
    if above >= 0.0 {
        level * above
    } else {
        (level - 1.0) * above
    }
}

/// Mean |y\[t\] − y\[t − season\]| over the pairs that both have a value; `None` without such a pair.
pub fn seasonal_error(context: &[f32], season: usize) -> Option<f64> {
    if season == 0 || context.len() <= season {
        return None;
    }
    let differences = context[season..]
        .iter()
        .zip(context)
        .map(|(&later, &earlier)| f64::from(later) - f64::from(earlier))
        .filter(|difference| difference.is_finite());
    let (sum, count) = differences.fold((0.0, 0_u64), |(sum, count), difference| {
        (sum + difference.abs(), count + 1)
    });
    (count > 0).then(|| sum / count as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EVALUATION_LEVELS;

    #[test]
    fn a_point_forecast_scores_its_absolute_error_as_crps() {
        let mut sums = AccuracySums::new(&EVALUATION_LEVELS);
        let forecast = QuantileForecast::from_points(&EVALUATION_LEVELS, &[2.0, 2.0, 2.0]);
        sums.add(&forecast, &[1.0, f32::NAN, 5.0], Some(2.0));
        let accuracy = sums.accuracy();
        assert_eq!(accuracy.points, 2);
        assert!((accuracy.wape - 4.0 / 6.0).abs() < 1e-12);
        assert!((accuracy.crps - 4.0 / 6.0).abs() < 1e-12);
        assert!((accuracy.mase - 1.0).abs() < 1e-12);
        assert_eq!(accuracy.coverage_80, 0.0);
    }

    #[test]
    fn values_on_the_edge_are_covered() {
        let mut sums = AccuracySums::new(&[0.1, 0.5, 0.9]);
        let forecast = QuantileForecast::new(&[0.1, 0.5, 0.9], vec![1.0, 2.0, 3.0]);
        for value in [1.0, 3.0, 0.99, 3.01] {
            sums.add(&forecast, &[value], None);
        }
        assert_eq!(sums.accuracy().coverage_80, 0.5);
        assert!(sums.accuracy().mase.is_nan());
    }

    #[test]
    fn a_series_without_seasonal_change_is_left_out_of_mase_alone() {
        let mut sums = AccuracySums::new(&[0.5]);
        let forecast = QuantileForecast::from_points(&[0.5], &[1.0]);
        sums.add(&forecast, &[2.0], Some(0.0));
        sums.add(&forecast, &[2.0], Some(0.5));
        assert_eq!(sums.accuracy().mase, 2.0);
        assert_eq!(sums.accuracy().points, 2);
    }

    #[test]
    fn the_seasonal_error_skips_pairs_with_a_gap() {
        let context = [1.0, 2.0, f32::NAN, 5.0, 7.0, 6.0];
        assert_eq!(seasonal_error(&context, 2), Some(2.0));
        assert_eq!(seasonal_error(&context, 6), None);
        assert_eq!(seasonal_error(&[f32::NAN; 9], 2), None);
    }

    #[test]
    fn merged_sums_equal_sums_in_one_go() {
        let levels = [0.1, 0.5, 0.9];
        let forecast = QuantileForecast::new(&levels, vec![0.0, 1.0, 2.0]);
        let (mut left, mut right) = (AccuracySums::new(&levels), AccuracySums::new(&levels));
        let mut whole = AccuracySums::new(&levels);
        left.add(&forecast, &[1.5], Some(1.0));
        right.add(&forecast, &[4.0], Some(3.0));
        whole.add(&forecast, &[1.5], Some(1.0));
        whole.add(&forecast, &[4.0], Some(3.0));
        left.merge(&right);
        assert_eq!(left.accuracy(), whole.accuracy());
    }
}
