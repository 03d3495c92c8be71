//! `foreshadow config`.

use std::{fmt::Write as _, path::PathBuf};

use foreshadow_api::v1::{SetShadowConfigResponse, ShadowConfig};

use super::Asked;
use crate::{failure::Failure, format::Format};

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
    Check(Given),
    /// Apply another configuration as a whole. If it still has the `etag` of the one it was made
    /// from, nothing that came between is lost.
    Apply(Given),
}

#[derive(Debug, clap::Args)]
struct Given {
    /// The configuration as JSON, as `foreshadow config` prints it.
    file: PathBuf,
    #[command(flatten)]
    asked: Asked,
}

const PATH: &str = "/admin/shadow_config";

/// Runs the command.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    match &args.change {
        None => {
            // What is printed is what is applied again: JSON in both formats.
            let found: ShadowConfig = args.asked.remote.get(PATH, &[])?;
            println!("{}", serde_json::to_string_pretty(&found)?);
            Ok(())
        }
        Some(Change::Check(given)) => send(given, "?dry_run=true"),
        Some(Change::Apply(given)) => send(given, ""),
    }
}

fn send(given: &Given, query: &str) -> Result<(), Failure> {
    let named = |error: &dyn std::fmt::Display| {
        Failure::bad_input(format!("{}: {error}", given.file.display()))
    };
    let text = std::fs::read_to_string(&given.file).map_err(|error| named(&error))?;
    let config: ShadowConfig = serde_json::from_str(&text).map_err(|error| named(&error))?;
    let path = format!("{PATH}{query}");
    let answer: SetShadowConfigResponse = given.asked.remote.post(&path, &[], &config)?;
    match given.asked.format {
        Format::Json => println!("{}", serde_json::to_string_pretty(&answer)?),
        Format::Text => print!("{}", plans(&answer)),
    }
    Ok(())
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
