//! `--report DIR`: one HTML page without anything from a network.

mod chart;
mod curves;
mod followed;
mod level;
mod misses;
mod page;
mod settings;
mod words;

use std::{fs, path::Path};

use anyhow::Context;
use foreshadow_simulation::backtest::{Backtest, Setting, Trace};

pub(super) use followed::Followed;

/// Writes `index.html` into the folder.
pub(super) fn write(
    dir: &Path,
    result: &Backtest,
    followed: &Followed,
    trace: &Trace,
    setting: &Setting,
) -> anyhow::Result<()> {
    let settings = settings::configuration(result, followed, trace, setting);
    let html = page::render(result, followed, settings.as_deref())?.into_string();
    fs::create_dir_all(dir).with_context(|| format!("--report: {}", dir.display()))?;
    let path = dir.join("index.html");
    fs::write(&path, html).with_context(|| format!("--report: {}", path.display()))
}
