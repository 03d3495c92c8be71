//! What is said of a model beside its weights.

use std::time::Duration;

use foreshadow_lstm::NetworkSize;
use foreshadow_types::Timestamp;
use serde::{Deserialize, Serialize};

use crate::pools::PoolEntry;

/// The version of the folder's format. A folder of another version is refused.
pub const SCHEMA: &str = "foreshadow-lstm/2";

/// The contents of `manifest.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`SCHEMA`].
    pub schema: String,
    /// Start of the last bin used, validation included; RFC 3339.
    pub trained_through: String,
    /// Width of a bin in seconds.
    pub interval_s: f64,
    /// The metrics of the series.
    pub metrics: Vec<String>,
    /// Quantile levels that the network gives.
    pub quantiles: Vec<f64>,
    /// How many weights the network has.
    pub parameters: usize,
    /// Sizes of the network.
    pub network: NetworkSize,
    /// The seed of all chance.
    pub seed: u64,
    /// Series in the history.
    pub series: usize,
    /// Optimiser steps.
    pub steps: u64,
    /// Seconds of training, validation included.
    pub training_seconds: f64,
    /// Whose weights it began with, if not with fresh ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begun_with: Option<String>,
    /// Where it was trained: `cpu`, or the name of the graphics adapter.
    pub device: String,
    /// Measures on the bins held out at the end.
    pub validation: Validation,
    /// Demand models of pools, where requests were learnt from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pools: Vec<PoolEntry>,
}

/// Measures of the model and of the naive ones on the same windows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Validation {
    /// Steps of a window.
    pub horizon: usize,
    /// Windows scored.
    pub windows: usize,
    /// Steps of a season.
    pub season: usize,
    /// Start of the first window; RFC 3339.
    pub from: String,
    /// One entry for each model: `lstm`, `seasonal-naive`, `naive`.
    pub models: Vec<Measures>,
}

/// Measures of one model; a measure without data is absent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measures {
    /// The model's name.
    pub model: String,
    /// Mean absolute scaled error.
    pub mase: Option<f64>,
    /// Mean weighted quantile loss.
    pub crps: Option<f64>,
    /// Weighted absolute percentage error.
    pub wape: Option<f64>,
    /// Share of values between the 0.1 and 0.9 quantiles.
    pub coverage_80: Option<f64>,
    /// Mean pinball loss over the levels.
    pub pinball: Option<f64>,
}

impl Manifest {
    /// The width of a bin.
    pub fn interval(&self) -> Duration {
        Duration::from_millis((self.interval_s * 1e3).round().max(0.0) as u64)
    }

    /// Start of the last bin used; `None` if the manifest's text is not a time.
    pub fn trained_through(&self) -> Option<Timestamp> {
        Timestamp::parse(&self.trained_through).ok()
    }
}

/// A manifest that says nothing, for tests.
#[cfg(test)]
pub(crate) fn blank() -> Manifest {
    Manifest {
        schema: SCHEMA.to_owned(),
        trained_through: Timestamp::from_millis(0).to_string(),
        interval_s: 300.0,
        metrics: Vec::new(),
        quantiles: Vec::new(),
        parameters: 0,
        network: crate::options::TrainOptions::default().network,
        seed: 0,
        series: 0,
        steps: 0,
        training_seconds: 0.0,
        begun_with: None,
        device: "cpu".to_owned(),
        validation: Validation {
            horizon: 1,
            windows: 1,
            season: 1,
            from: Timestamp::from_millis(0).to_string(),
            models: Vec::new(),
        },
        pools: Vec::new(),
    }
}
