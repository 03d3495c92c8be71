//! Quantile forecasts: the forecaster trait, accuracy measures, calibration and the naive models.
//!
//! Pure: no I/O, no clock, no operating-system randomness.

mod accuracy;
mod auto;
mod calibrated;
mod choice;
mod conformal;
mod evaluation;
mod forecaster;
mod impute;
mod naive;
mod panel;
mod quantiles;
mod selection;

pub use accuracy::{Accuracy, AccuracySums, mean_magnitude, pinball_loss, seasonal_error};
pub use auto::Auto;
pub use calibrated::Calibrated;
pub use choice::Choice;
pub use conformal::Calibrator;
pub use evaluation::{Evaluation, EvaluationError, Protocol, Scored};
pub use forecaster::{ForecastError, Forecaster};
pub use impute::{impute_last_value, impute_tail, last_value};
pub use naive::{Naive, SeasonalNaive, naive_points, seasonal_naive_points};
pub use panel::{Panel, SeriesId, SeriesKind};
pub use quantiles::{EVALUATION_LEVELS, PLANNING_LEVELS, QuantileForecast};
pub(crate) use selection::ModelSelector;
