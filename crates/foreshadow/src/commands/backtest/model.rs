//! The model that a backtest is given.

use std::{collections::BTreeMap, path::Path};

use foreshadow_planner::DemandModel;
use foreshadow_simulation::backtest::Setting;
use foreshadow_training::{load_model, load_pools};
use foreshadow_types::{PoolName, Timestamp};

use crate::failure::Failure;

/// The demand models of the pools in `dir`.
///
/// # Errors
/// A model that is damaged, that has seen what is scored, or that was fitted to another start-up
/// time or tick is refused.
pub(super) fn load(
    dir: &Path,
    setting: &Setting,
) -> Result<BTreeMap<PoolName, DemandModel>, Failure> {
    let bad = |error: String| Failure::bad_input(format!("--model: {error}"));
    let model = load_model(dir).map_err(|error| bad(error.to_string()))?;
    let pools = load_pools(dir, &model.manifest).map_err(|error| bad(error.to_string()))?;
    if pools.is_empty() {
        return Err(bad(format!(
            "{} holds no demand model of a pool; train it on request history with `foreshadow train`",
            dir.display()
        )));
    }
    let latest = pools.values().map(DemandModel::trained_through).max();
    let through = latest.map_or(model.trained_through, |at| at.max(model.trained_through));
    if through >= setting.from() {
        return Err(bad(too_late(dir, through, setting.from())));
    }
    for (name, model) in &pools {
        fits(model, setting).map_err(|reason| bad(format!("pool `{name}`: {reason}")))?;
    }
    Ok(pools)
}

fn too_late(dir: &Path, through: Timestamp, from: Timestamp) -> String {
    format!(
        "{} was trained through {through}, but scoring starts at {from}; train it with `--until` or \
         score later with `--from`",
        dir.display()
    )
}

fn fits(model: &DemandModel, setting: &Setting) -> Result<(), String> {
    let (startup, tick) = (setting.startup().typical(), setting.tick());
    let same = u128::from(model.startup_ms()) == startup.as_millis()
        && u128::from(model.tick_ms()) == tick.as_millis();
    if same {
        return Ok(());
    }
    Err(format!(
        "fitted to a start-up of {} ms and a tick of {} ms, not to {} ms and {} ms; give the same \
         `--startup` and `--tick` to both commands",
        model.startup_ms(),
        model.tick_ms(),
        startup.as_millis(),
        tick.as_millis()
    ))
}
