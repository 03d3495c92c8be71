//! `foreshadow config`.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
};

use foreshadow_api::v1::{SetShadowConfigResponse, ShadowConfig};

use super::Asked;
use crate::failure::Failure;

/// Arguments of `foreshadow config`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    change: Option<Change>,
    #[command(flatten)]
    asked: Asked,
}

#[derive(Debug, clap::Subcommand)]
enum Change {
    /// Say what would come of another configuration, without applying it.
    Check {
        /// The configuration as JSON, as `foreshadow config` prints it.
        file: PathBuf,
    },
    /// Apply another configuration as a whole. If it still has the `etag` of the one it was made
    /// from, nothing that came between is lost.
    Apply {
        /// The configuration as JSON, as `foreshadow config` prints it.
        file: PathBuf,
    },
}

const PATH: &str = "/admin/shadow_config";

/// Runs the command.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let (file, query) = match &args.change {
        None => {
            // What is printed is what is applied again: JSON in both formats.
            let found: ShadowConfig = args.asked.remote.get(PATH, &[])?;
            println!("{}", serde_json::to_string_pretty(&found)?);
            return Ok(());
        }
        Some(Change::Check { file }) => (file, "?dry_run=true"),
        Some(Change::Apply { file }) => (file, ""),
    };
    let config =
        read(file).map_err(|error| Failure::bad_input(format!("{}: {error:#}", file.display())))?;
    let path = format!("{PATH}{query}");
    let answer: SetShadowConfigResponse = args.asked.remote.post(&path, &[], &config)?;
    args.asked.write(&answer, plans)
}

fn read(file: &Path) -> anyhow::Result<ShadowConfig> {
    Ok(serde_json::from_str(&std::fs::read_to_string(file)?)?)
}

/// What each pool would keep.
fn plans(answer: &SetShadowConfigResponse) -> String {
    let etag = answer.config.as_ref().map_or("", |config| &config.etag);
    let mut text = format!("accepted, etag {etag}\n");
    for plan in &answer.plan {
        let _ = writeln!(text, "{}: {} instances", plan.pool, plan.target);
        for reason in &plan.reasons {
            let _ = writeln!(text, "  {reason}");
        }
    }
    text
}
