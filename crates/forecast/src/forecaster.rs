//! The trait that every model implements.

use thiserror::Error;

use crate::{Panel, QuantileForecast, SeriesId};

/// Why a model gave no forecast.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ForecastError {
    /// The model was trained at another resolution.
    #[error("the model works at multiples of {model_s}s, not at {asked_s}s")]
    Interval {
        /// The model's interval in seconds.
        model_s: u64,
        /// The interval asked for, in seconds.
        asked_s: u64,
    },
    /// The horizon is longer than the model answers.
    #[error("a horizon of {asked} steps is beyond the model's {longest}")]
    Horizon {
        /// The longest horizon, in steps.
        longest: usize,
        /// The horizon asked for, in steps.
        asked: usize,
    },
    /// The model could not be run.
    #[error("the model failed: {0}")]
    Failed(String),
}

/// A model that forecasts many series at once.
pub trait Forecaster {
    /// The name used in reports.
    fn name(&self) -> &str;

    /// The name that the latest forecasts of one series go by: another than [`name`](Self::name) where
    /// a model is made of several.
    fn name_of(&self, _series: &SeriesId) -> &str {
        self.name()
    }

    /// Takes in the past, so that the first forecast costs no more than those that follow it. A model
    /// without carried state has nothing to do.
    fn catch_up(&mut self, _past: &Panel) {}

    /// Forecasts `horizon` steps from each origin for every series of the panel.
    ///
    /// An origin is the index of the first bin forecast: only bins before it may be used. Origins
    /// ascend and are at most `panel.bins()`. The answer is in the order `[origin][series]`, each
    /// with the given ascending `levels`.
    ///
    /// # Errors
    /// [`ForecastError`] if the model does not answer this interval or horizon, or fails.
    fn forecast(
        &mut self,
        panel: &Panel,
        origins: &[usize],
        horizon: usize,
        levels: &[f64],
    ) -> Result<Vec<Vec<QuantileForecast>>, ForecastError>;
}
