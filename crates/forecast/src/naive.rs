//! The models that every other one has to beat.

use crate::{
    ForecastError, Forecaster, Panel, QuantileForecast,
    impute::{impute_tail, last_value},
};

/// Repeats the last value; a series without one is forecast as zero.
#[derive(Debug, Clone, Copy, Default)]
pub struct Naive;

impl Forecaster for Naive {
    fn name(&self) -> &'static str {
        "naive"
    }

    fn forecast(
        &mut self,
        panel: &Panel,
        origins: &[usize],
        horizon: usize,
        levels: &[f64],
    ) -> Result<Vec<Vec<QuantileForecast>>, ForecastError> {
        Ok(point_forecasts(panel, origins, levels, |context| {
            naive_points(context, horizon)
        }))
    }
}

/// Repeats the values of one season before, from the last full season of the imputed context. Where
/// the context is shorter than a season, the last value is repeated.
#[derive(Debug, Clone, Copy)]
pub struct SeasonalNaive {
    season: usize,
}

impl SeasonalNaive {
    /// With a season of this many bins, at least one.
    pub fn new(season: usize) -> Self {
        Self {
            season: season.max(1),
        }
    }
}

impl Forecaster for SeasonalNaive {
    fn name(&self) -> &'static str {
        "seasonal-naive"
    }

    fn forecast(
        &mut self,
        panel: &Panel,
        origins: &[usize],
        horizon: usize,
        levels: &[f64],
    ) -> Result<Vec<Vec<QuantileForecast>>, ForecastError> {
        Ok(point_forecasts(panel, origins, levels, |context| {
            seasonal_naive_points(context, self.season, horizon)
        }))
    }
}

/// The last value of `context`, `horizon` times.
pub fn naive_points(context: &[f32], horizon: usize) -> Vec<f32> {
    vec![last_value(context).unwrap_or(0.0); horizon]
}

/// The values of one season before, `horizon` steps ahead.
pub fn seasonal_naive_points(context: &[f32], season: usize, horizon: usize) -> Vec<f32> {
    if season == 0 || context.len() < season {
        return naive_points(context, horizon);
    }
    let last_season = impute_tail(context, season);
    (0..horizon)
        .map(|step| last_season[step % season])
        .collect()
}

fn point_forecasts(
    panel: &Panel,
    origins: &[usize],
    levels: &[f64],
    points: impl Fn(&[f32]) -> Vec<f32>,
) -> Vec<Vec<QuantileForecast>> {
    let of_origin = |&origin: &usize| {
        (0..panel.ids().len())
            .map(|series| {
                let context = &panel.series(series)[..origin.min(panel.bins())];
                QuantileForecast::from_points(levels, &points(context))
            })
            .collect()
    };
    origins.iter().map(of_origin).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAN: f32 = f32::NAN;

    #[test]
    fn naive_repeats_the_last_value_there_is() {
        assert_eq!(naive_points(&[1.0, 4.0, NAN], 2), [4.0, 4.0]);
        assert_eq!(naive_points(&[NAN], 2), [0.0, 0.0]);
        assert_eq!(naive_points(&[], 1), [0.0]);
    }

    #[test]
    fn seasonal_naive_cycles_through_the_last_season() {
        let context = [9.0, 1.0, NAN, 3.0];
        let expected = [1.0, 1.0, 3.0, 1.0, 1.0];
        assert_eq!(seasonal_naive_points(&context, 3, 5), expected);
    }

    #[test]
    fn seasonal_naive_falls_back_to_naive_before_the_first_season_is_over() {
        assert_eq!(seasonal_naive_points(&[1.0, 2.0], 3, 2), [2.0, 2.0]);
    }
}
