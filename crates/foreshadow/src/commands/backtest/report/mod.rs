//! `--report DIR`: one HTML page without anything from a network.

mod chart;
mod curves;
mod level;
mod page;
mod words;

use std::{fs, path::Path};

use anyhow::Context;
use foreshadow_simulation::backtest::Backtest;

pub(super) use level::Levels;

/// Writes `index.html` into the folder.
pub(super) fn write(dir: &Path, result: &Backtest, levels: &Levels) -> anyhow::Result<()> {
    let html = page::render(result, levels).into_string();
    fs::create_dir_all(dir).with_context(|| format!("--report: {}", dir.display()))?;
    let path = dir.join("index.html");
    fs::write(&path, html).with_context(|| format!("--report: {}", path.display()))
}
