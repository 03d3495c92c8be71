//! A model as the engine uses it, and how it is read.

use std::{path::Path, sync::Arc, time::Duration};

use foreshadow_types::Timestamp;

use super::carried::CarriedLstm;
use crate::inference::BoxedForecaster;

/// A model that was read from its folder.
pub(crate) struct LoadedForecaster {
    pub(crate) forecaster: BoxedForecaster,
    /// The width of the bins that it was trained on.
    pub(crate) interval: Duration,
    /// The start of the last bin that it was trained on.
    pub(crate) trained_through: Timestamp,
}

/// How a model is read from its folder.
pub(crate) type LoadModel =
    Arc<dyn Fn(&Path) -> Result<LoadedForecaster, String> + Send + Sync + 'static>;

/// Reads what `train` has written.
pub(crate) fn from_training() -> LoadModel {
    Arc::new(|folder| {
        let loaded = foreshadow_training::load_model(folder).map_err(|error| error.to_string())?;
        let interval = loaded.manifest.interval();
        Ok(LoadedForecaster {
            forecaster: Box::new(CarriedLstm::new(loaded.network, interval)),
            interval,
            trained_through: loaded.trained_through,
        })
    })
}
