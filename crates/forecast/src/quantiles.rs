//! Quantile levels and forecasts.

/// The levels that accuracy is measured at: 0.1 to 0.9.
pub const EVALUATION_LEVELS: [f64; 9] = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9];

/// The evaluation levels and the tail that pools are sized with.
pub const PLANNING_LEVELS: [f64; 11] = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99];

/// Quantiles of one series for each step ahead.
#[derive(Debug, Clone, PartialEq)]
pub struct QuantileForecast {
    levels: Vec<f64>,
    /// Row-major `[horizon, levels]`.
    values: Vec<f32>,
}

impl QuantileForecast {
    /// From values in row-major order, `[horizon, levels]`. Quantiles of a step that cross are sorted.
    ///
    /// # Panics
    /// If `levels` is empty or `values` is not a whole number of steps.
    pub fn new(levels: &[f64], mut values: Vec<f32>) -> Self {
        assert!(!levels.is_empty(), "a forecast has at least one level");
        assert!(
            values.len().is_multiple_of(levels.len()),
            "a forecast has whole steps"
        );
        for step in values.chunks_exact_mut(levels.len()) {
            step.sort_by(f32::total_cmp);
        }
        Self {
            levels: levels.to_vec(),
            values,
        }
    }

    /// The same value at every level: what a point forecast says as a distribution.
    pub fn from_points(levels: &[f64], points: &[f32]) -> Self {
        let values = points
            .iter()
            .flat_map(|&point| std::iter::repeat_n(point, levels.len()))
            .collect();
        Self {
            levels: levels.to_vec(),
            values,
        }
    }

    /// The levels, ascending.
    pub fn levels(&self) -> &[f64] {
        &self.levels
    }

    /// How many steps ahead it reaches.
    pub fn horizon(&self) -> usize {
        self.values.len() / self.levels.len()
    }

    /// The quantiles of one step, in the order of the levels; steps count from zero.
    pub fn step(&self, step: usize) -> &[f32] {
        &self.values[step * self.levels.len()..][..self.levels.len()]
    }

    /// The quantile at `level`, linear between the levels and flat outside them.
    pub fn quantile(&self, step: usize, level: f64) -> f32 {
        let values = self.step(step);
        let above = self.levels.partition_point(|&known| known < level);
        match above {
            0 => values[0],
            n if n == self.levels.len() => values[n - 1],
            n => {
                let (low, high) = (self.levels[n - 1], self.levels[n]);
                let weight = ((level - low) / (high - low)) as f32;
                values[n - 1] + weight * (values[n] - values[n - 1])
            }
        }
    }

    /// Whether every value is a finite number.
    pub fn is_finite(&self) -> bool {
        self.values.iter().all(|value| value.is_finite())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_sorted_and_interpolated() {
        let forecast = QuantileForecast::new(&[0.1, 0.5, 0.9], vec![3.0, 1.0, 2.0]);
        assert_eq!(forecast.step(0), [1.0, 2.0, 3.0]);
        assert_eq!(forecast.quantile(0, 0.3), 1.5);
        assert_eq!(forecast.quantile(0, 0.01), 1.0);
        assert_eq!(forecast.quantile(0, 0.99), 3.0);
    }
}
