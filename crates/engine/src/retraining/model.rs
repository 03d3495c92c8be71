//! A model as the engine uses it, and how it is read.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use foreshadow_lstm::Compute;
use foreshadow_planner::DemandModel;
use foreshadow_training::Measures;
use foreshadow_types::{PoolName, Timestamp};

use super::carried::CarriedLstm;
use crate::inference::BoxedForecaster;

/// A model that was read from its folder.
pub(crate) struct LoadedForecaster {
    pub(crate) forecaster: BoxedForecaster,
    /// The width of the bins that it was trained on.
    pub(crate) interval: Duration,
    /// The start of the last bin that it was trained on.
    pub(crate) trained_through: Timestamp,
    /// Demand models of pools that were fitted beside it.
    pub(crate) pools: BTreeMap<PoolName, DemandModel>,
    /// How good it was on what was held out, and the simple ones on the same.
    pub(crate) measures: Vec<Measures>,
}

/// How a model is read from its folder.
pub(crate) type LoadModel =
    Arc<dyn Fn(&Path) -> Result<LoadedForecaster, String> + Send + Sync + 'static>;

/// Reads what `train` has written, to be computed there.
pub(crate) fn from_training(compute: &Compute) -> LoadModel {
    let compute = compute.clone();
    Arc::new(move |folder| {
        let loaded = foreshadow_training::load_model(folder).map_err(|error| error.to_string())?;
        let interval = loaded.manifest.interval();
        let pools = foreshadow_training::load_pools(folder, &loaded.manifest);
        Ok(LoadedForecaster {
            forecaster: Box::new(CarriedLstm::new(loaded.network.on(&compute), interval)),
            interval,
            trained_through: loaded.trained_through,
            pools: pools.map_err(|error| error.to_string())?,
            measures: loaded.manifest.validation.models,
        })
    })
}
