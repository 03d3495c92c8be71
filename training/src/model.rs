//! A model's folder: `manifest.json` and `weights.safetensors`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use foreshadow_lstm::{Compute, LstmForecaster, Network, NetworkError, WeightsError};
use foreshadow_types::Timestamp;
use thiserror::Error;

use crate::{
    files,
    manifest::{Manifest, SCHEMA},
};

pub(crate) const MANIFEST: &str = "manifest.json";
const WEIGHTS: &str = "weights.safetensors";

/// A model read from its folder and checked.
#[derive(Debug, Clone)]
pub struct LoadedModel {
    /// What its manifest says.
    pub manifest: Manifest,
    /// Start of the last bin it was trained on.
    pub trained_through: Timestamp,
    /// The network.
    pub network: Network,
}

/// Why a model could not be read.
#[derive(Debug, Error)]
pub enum ModelError {
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The manifest is not of this version's form.
    #[error("{}: {reason}; train the model anew with `foreshadow train`", path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The weights are damaged or of another network.
    #[error("{}: {source}; restore the file or train the model anew", path.display())]
    Weights {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: WeightsError,
    },
    /// The demand model of a pool is damaged or of another version.
    #[error("{}: {source}", path.display())]
    Demand {
        /// The file.
        path: PathBuf,
        /// What is wrong and how to mend it.
        source: foreshadow_planner::ModelError,
    },
}

impl LoadedModel {
    /// With the weights in these bytes, which are said to be at `path`.
    fn of(
        (manifest, trained_through): (Manifest, Timestamp),
        path: PathBuf,
        weights: &[u8],
    ) -> Result<Self, ModelError> {
        let network = Network::from_safetensors(manifest.network.clone(), weights)
            .map_err(|source| ModelError::Weights { path, source })?;
        Ok(Self {
            manifest,
            trained_through,
            network,
        })
    }

    /// The same, whose network is computed there.
    #[must_use]
    pub fn on(self, compute: &Compute) -> Self {
        Self {
            network: self.network.on(compute),
            ..self
        }
    }

    /// The model as a forecaster.
    pub fn forecaster(&self) -> LstmForecaster {
        LstmForecaster::new(self.network.clone(), self.manifest.interval())
    }
}

/// The model for usage that every build holds: what there is before a model of one's own.
///
/// # Errors
/// [`ModelError`] if this version reads no models of its form.
pub fn pretrained() -> Result<LoadedModel, ModelError> {
    use foreshadow_pretrained::{USAGE_MANIFEST, USAGE_WEIGHTS};
    let place = Path::new("models/pretrained/usage");
    let (manifest, trained_through) = parse_manifest(&place.join(MANIFEST), USAGE_MANIFEST)?;
    LoadedModel::of(
        (manifest, trained_through),
        place.join(WEIGHTS),
        USAGE_WEIGHTS,
    )
}

/// Reads and checks the model in `dir`.
///
/// # Errors
/// [`ModelError`] names the file, what is wrong with it and how to mend it.
pub fn load_model(dir: &Path) -> Result<LoadedModel, ModelError> {
    let (manifest, trained_through) = read_manifest(&dir.join(MANIFEST))?;
    let path = dir.join(WEIGHTS);
    let bytes = fs::read(&path).map_err(|source| ModelError::File {
        path: path.clone(),
        source,
    })?;
    LoadedModel::of((manifest, trained_through), path, &bytes)
}

fn read_manifest(path: &Path) -> Result<(Manifest, Timestamp), ModelError> {
    let text = fs::read_to_string(path).map_err(|source| ModelError::File {
        path: path.to_owned(),
        source,
    })?;
    parse_manifest(path, &text)
}

/// Checks the text of a manifest; `path` is where it is said to be.
fn parse_manifest(path: &Path, text: &str) -> Result<(Manifest, Timestamp), ModelError> {
    let wrong = |reason: String| ModelError::Manifest {
        path: path.to_owned(),
        reason,
    };
    let json: serde_json::Value =
        serde_json::from_str(text).map_err(|error| wrong(format!("not JSON ({error})")))?;
    let schema = json.get("schema").and_then(serde_json::Value::as_str);
    if schema != Some(SCHEMA) {
        let found = schema.map_or_else(|| "none".to_owned(), |schema| format!("`{schema}`"));
        return Err(wrong(format!(
            "its schema is {found}, this version reads `{SCHEMA}`"
        )));
    }
    let manifest: Manifest =
        serde_json::from_value(json).map_err(|error| wrong(error.to_string()))?;
    let trained_through = manifest.trained_through().ok_or_else(|| {
        wrong(format!(
            "`trained_through` is not a time: `{}`",
            manifest.trained_through
        ))
    })?;
    if manifest.interval().is_zero() {
        return Err(wrong(format!("`interval_s` is {}", manifest.interval_s)));
    }
    Ok((manifest, trained_through))
}

/// Writes a model into `dir`: the weights first, so that a manifest is never without them.
///
/// # Errors
/// [`ModelError`] if a file cannot be written.
pub fn save_model(dir: &Path, manifest: &Manifest, network: &Network) -> Result<(), ModelError> {
    let weights = dir.join(WEIGHTS);
    let bytes = network
        .to_safetensors()
        .map_err(|source| ModelError::Weights {
            path: weights.clone(),
            source,
        })?;
    write(&weights, &bytes)?;
    rewrite_manifest(dir, manifest)
}

/// Writes the manifest of a model whose other files are there.
pub(crate) fn rewrite_manifest(dir: &Path, manifest: &Manifest) -> Result<(), ModelError> {
    let path = dir.join(MANIFEST);
    let mut text =
        serde_json::to_string_pretty(manifest).map_err(|error| ModelError::Manifest {
            path: path.clone(),
            reason: error.to_string(),
        })?;
    text.push('\n');
    write(&path, text.as_bytes())
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), ModelError> {
    files::write_atomically(path, bytes).map_err(|source| ModelError::File {
        path: path.to_owned(),
        source,
    })
}

impl From<NetworkError> for ModelError {
    fn from(error: NetworkError) -> Self {
        Self::Weights {
            path: PathBuf::from(WEIGHTS),
            source: error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_card_of_the_pretrained_model_says_what_its_manifest_says() {
        let model = pretrained().unwrap();
        let size = &model.manifest.network;
        assert_eq!(model.manifest.parameters, size.initial_weights(0).len());
        assert_eq!(model.manifest.interval_s, 300.0);
        let card = include_str!("../../models/pretrained/usage/README.md");
        let card = card.split_whitespace().collect::<Vec<_>>().join(" ");
        let [lstm, seasonal, naive] = &model.manifest.validation.models[..] else {
            panic!("the manifest has measures of three models");
        };
        let measure = |value: Option<f64>| format!("{:.3}", value.unwrap());
        for words in [
            format!(
                "CRPS is {} (naive {}, seasonal-naive {})",
                measure(lstm.crps),
                measure(naive.crps),
                measure(seasonal.crps)
            ),
            format!(
                "MASE {} ({}, {})",
                measure(lstm.mase),
                measure(naive.mase),
                measure(seasonal.mase)
            ),
            format!("covers {:.0} %", 100.0 * lstm.coverage_80.unwrap()),
        ] {
            assert!(card.contains(&words), "the card does not say `{words}`");
        }
    }
}
