//! The evaluation protocol: non-overlapping windows at the end of a panel, each forecast from all
//! bins before it, scored as GIFT-Eval does (Aksu et al., 2024).

use thiserror::Error;

use crate::{AccuracySums, EVALUATION_LEVELS, ForecastError, Forecaster, Panel, QuantileForecast};

/// The most quantile values that a model is asked for at once (256 MiB).
const MAX_VALUES_AT_ONCE: usize = 64 << 20;

/// How many windows of which length are scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Protocol {
    /// Steps of a window, at least one.
    pub horizon: usize,
    /// Windows, at least one.
    pub windows: usize,
    /// Bins of a season, at least one: the divisor of MASE compares values this far apart.
    pub season: usize,
}

/// Why an evaluation is not possible.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EvaluationError {
    /// One of the numbers is zero.
    #[error("{0} must be at least 1")]
    Zero(&'static str),
    /// The history is too short.
    #[error(
        "{windows} windows of {horizon} bins need more than {needed} bins, but the history has \
         {bins}; give more history or fewer windows"
    )]
    TooShort {
        /// Windows asked for.
        windows: usize,
        /// Bins of each.
        horizon: usize,
        /// Their product.
        needed: usize,
        /// Bins of the panel.
        bins: usize,
    },
    /// The model gave no forecast.
    #[error("{model}: {source}")]
    Model {
        /// Its name.
        model: String,
        /// What it said.
        source: ForecastError,
    },
    /// The model's answer is not usable.
    #[error("{model}: its forecast of series {series} from bin {origin} is not {expected}")]
    Unusable {
        /// Its name.
        model: String,
        /// The series' index in the panel.
        series: usize,
        /// The first bin forecast.
        origin: usize,
        /// What a forecast should be.
        expected: &'static str,
    },
}

/// One forecast and what came true.
#[derive(Debug, Clone, Copy)]
pub struct Scored<'a> {
    /// The series' index in the panel.
    pub series: usize,
    /// The first bin forecast.
    pub origin: usize,
    /// The forecast, `horizon` steps.
    pub forecast: &'a QuantileForecast,
    /// The values of those steps, NaN where there is none.
    pub actual: &'a [f32],
}

/// A panel cut into windows, with the divisors of MASE.
#[derive(Debug)]
pub struct Evaluation<'a> {
    panel: &'a Panel,
    protocol: Protocol,
    origins: Vec<usize>,
    /// Row-major `[series, windows]`.
    seasonal_errors: Vec<Option<f64>>,
    /// What models are asked for.
    levels: Vec<f64>,
}

impl<'a> Evaluation<'a> {
    /// Cuts the last `windows × horizon` bins of the panel into windows.
    ///
    /// # Errors
    /// [`EvaluationError`] if a number is zero or no bin is left before the first window.
    pub fn new(panel: &'a Panel, protocol: Protocol) -> Result<Self, EvaluationError> {
        let origins = protocol.origins(panel.bins())?;
        let seasonal_errors = (0..panel.ids().len())
            .flat_map(|series| seasonal_errors(panel.series(series), protocol.season, &origins))
            .collect();
        Ok(Self {
            panel,
            protocol,
            origins,
            seasonal_errors,
            levels: EVALUATION_LEVELS.to_vec(),
        })
    }

    /// Asks models for other ascending levels than those that the measures are taken at: the tails'
    /// coverage is measured too where they are among them.
    #[must_use]
    pub fn at_levels(self, levels: &[f64]) -> Self {
        Self {
            levels: levels.to_vec(),
            ..self
        }
    }

    /// The first bin of each window, ascending.
    pub fn origins(&self) -> &[usize] {
        &self.origins
    }

    /// Scores a model on every series and window, and shows each forecast to `sink`.
    ///
    /// # Errors
    /// [`EvaluationError`] if the model fails or its forecasts are not finite; whatever `sink` says.
    pub fn score<E: From<EvaluationError>>(
        &self,
        model: &mut dyn Forecaster,
        mut sink: impl FnMut(&Scored<'_>) -> Result<(), E>,
    ) -> Result<AccuracySums, E> {
        let Protocol {
            horizon, windows, ..
        } = self.protocol;
        let mut sums = AccuracySums::new(&EVALUATION_LEVELS);
        let of_origin = self.panel.ids().len() * horizon * self.levels.len();
        let at_once = (MAX_VALUES_AT_ONCE / of_origin.max(1)).clamp(1, windows);
        for (chunk, origins) in self.origins.chunks(at_once).enumerate() {
            let forecasts = model
                .forecast(self.panel, origins, horizon, &self.levels)
                .map_err(|source| EvaluationError::Model {
                    model: model.name().to_owned(),
                    source,
                })?;
            for (i, &origin) in origins.iter().enumerate() {
                let window = chunk * at_once + i;
                for series in 0..self.panel.ids().len() {
                    let forecast = forecasts.get(i).and_then(|of_origin| of_origin.get(series));
                    let scored = self.scored(model.name(), series, origin, forecast)?;
                    let divisor = self.seasonal_errors[series * windows + window];
                    sums.add(scored.forecast, scored.actual, divisor);
                    sink(&scored)?;
                }
            }
        }
        Ok(sums)
    }

    fn scored<'f>(
        &self,
        model: &str,
        series: usize,
        origin: usize,
        forecast: Option<&'f QuantileForecast>,
    ) -> Result<Scored<'f>, EvaluationError>
    where
        'a: 'f,
    {
        let unusable = |expected| EvaluationError::Unusable {
            model: model.to_owned(),
            series,
            origin,
            expected,
        };
        let horizon = self.protocol.horizon;
        let forecast = forecast
            .filter(|forecast| forecast.horizon() == horizon)
            .ok_or_else(|| unusable("one of the horizon asked for"))?;
        if !forecast.is_finite() {
            return Err(unusable("finite"));
        }
        Ok(Scored {
            series,
            origin,
            forecast,
            actual: &self.panel.series(series)[origin..][..horizon],
        })
    }
}

impl Protocol {
    /// The first bin of each window, ascending.
    fn origins(self, bins: usize) -> Result<Vec<usize>, EvaluationError> {
        for (number, name) in [
            (self.horizon, "horizon"),
            (self.windows, "windows"),
            (self.season, "season"),
        ] {
            if number == 0 {
                return Err(EvaluationError::Zero(name));
            }
        }
        let needed = self.windows.saturating_mul(self.horizon);
        if needed >= bins {
            return Err(EvaluationError::TooShort {
                windows: self.windows,
                horizon: self.horizon,
                needed,
                bins,
            });
        }
        let first = bins - needed;
        Ok((0..self.windows)
            .map(|window| first + window * self.horizon)
            .collect())
    }
}

/// [`crate::seasonal_error`] of the bins before each of the ascending origins, in one pass.
fn seasonal_errors(values: &[f32], season: usize, origins: &[usize]) -> Vec<Option<f64>> {
    let (mut sum, mut count, mut next) = (0.0, 0_u64, season);
    origins
        .iter()
        .map(|&origin| {
            while next < origin {
                let difference = f64::from(values[next]) - f64::from(values[next - season]);
                if difference.is_finite() {
                    sum += difference.abs();
                    count += 1;
                }
                next += 1;
            }
            (count > 0).then(|| sum / count as f64)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use foreshadow_types::{EntityId, Timestamp};

    use super::*;
    use crate::{Naive, SeriesId, seasonal_error};

    fn panel(series: &[&[f32]]) -> Panel {
        let ids = (0..series.len())
            .map(|i| {
                SeriesId::of_entity(
                    EntityId::new(&format!("vm-{i}")).unwrap(),
                    "load".to_owned(),
                )
            })
            .collect();
        let start = Timestamp::from_millis(0);
        let bins = series[0].len();
        Panel::new(start, Duration::from_mins(5), ids, bins, series.concat())
    }

    const PROTOCOL: Protocol = Protocol {
        horizon: 2,
        windows: 2,
        season: 1,
    };

    #[test]
    fn the_last_bins_are_cut_into_windows() {
        let panel = panel(&[&[1.0, 2.0, 4.0, 4.0, 5.0, f32::NAN]]);
        let evaluation = Evaluation::new(&panel, PROTOCOL).unwrap();
        assert_eq!(evaluation.origins(), [2, 4]);
        let mut seen = Vec::new();
        let sums = evaluation
            .score::<EvaluationError>(&mut Naive, |scored| {
                seen.push((scored.origin, scored.forecast.quantile(0, 0.5)));
                Ok(())
            })
            .unwrap();
        assert_eq!(seen, [(2, 2.0), (4, 4.0)]);
        let accuracy = sums.accuracy();
        assert_eq!((accuracy.points, accuracy.forecasts), (3, 2));
        let first = 2.0 + 2.0;
        let second = 1.0 / ((1.0 + 2.0) / 3.0);
        assert!((accuracy.mase - (first + second) / 3.0).abs() < 1e-9);
    }

    #[test]
    fn divisors_in_one_pass_equal_those_of_each_context() {
        let values = [1.0, f32::NAN, 4.0, 4.5, 5.0, 9.0, 2.0];
        let origins = [1, 3, 5, 7];
        for season in 1..4 {
            let each: Vec<_> = origins
                .iter()
                .map(|&origin| seasonal_error(&values[..origin], season))
                .collect();
            assert_eq!(seasonal_errors(&values, season, &origins), each);
        }
    }

    #[test]
    fn a_history_that_is_too_short_says_how_much_is_needed() {
        let panel = panel(&[&[1.0; 4]]);
        let error = Evaluation::new(&panel, PROTOCOL).unwrap_err();
        assert!(error.to_string().contains("more than 4 bins"), "{error}");
    }

    struct Broken;

    impl Forecaster for Broken {
        fn name(&self) -> &'static str {
            "broken"
        }

        fn forecast(
            &mut self,
            _: &Panel,
            origins: &[usize],
            horizon: usize,
            levels: &[f64],
        ) -> Result<Vec<Vec<QuantileForecast>>, ForecastError> {
            let nan = QuantileForecast::from_points(levels, &vec![f32::NAN; horizon]);
            Ok(vec![vec![nan]; origins.len()])
        }
    }

    #[test]
    fn a_forecast_that_is_not_finite_is_an_error() {
        let panel = panel(&[&[1.0; 6]]);
        let evaluation = Evaluation::new(&panel, PROTOCOL).unwrap();
        let result = evaluation.score::<EvaluationError>(&mut Broken, |_| Ok(()));
        assert!(matches!(result, Err(EvaluationError::Unusable { .. })));
    }
}
