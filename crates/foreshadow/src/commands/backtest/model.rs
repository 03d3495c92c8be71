//! Checks the model that a backtest is given.

use std::path::Path;

use foreshadow_simulation::backtest::Setting;
use foreshadow_training::load_model;

use crate::failure::Failure;

/// Refuses a model that is damaged or has seen what is scored.
///
/// The planner sizes pools by a demand model of its own, which it fits as the log is replayed.
pub(super) fn check(dir: &Path, setting: &Setting) -> Result<(), Failure> {
    let model = load_model(dir).map_err(|error| Failure::bad_input(format!("--model: {error}")))?;
    if model.trained_through >= setting.from() {
        return Err(Failure::bad_input(format!(
            "--model: {} was trained through {}, but scoring starts at {}; train it with `--until` or \
             score later with `--from`",
            dir.display(),
            model.trained_through,
            setting.from()
        )));
    }
    Ok(())
}
