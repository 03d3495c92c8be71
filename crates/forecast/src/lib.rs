//! Quantile forecasts: the forecaster trait, accuracy measures, calibration and the naive models.
//!
//! Pure: no I/O, no clock, no operating-system randomness.

mod forecaster;
mod panel;
mod quantiles;

pub use forecaster::{ForecastError, Forecaster};
pub use panel::{Panel, SeriesId};
pub use quantiles::{EVALUATION_LEVELS, PLANNING_LEVELS, QuantileForecast};
