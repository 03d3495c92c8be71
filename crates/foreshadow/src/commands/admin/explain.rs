//! `foreshadow explain`: why a pool had the size it had.

use std::fmt::Write as _;

use foreshadow_api::v1::Explanation;
use foreshadow_types::Timestamp;

use super::Asked;
use crate::{failure::Failure, remote::time};

/// Arguments of `foreshadow explain`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The pool.
    #[arg(long, value_name = "NAME")]
    pool: String,
    /// The time; now unless given.
    #[arg(long, value_name = "TIME", value_parser = Timestamp::parse)]
    at: Option<Timestamp>,
    #[command(flatten)]
    asked: Asked,
}

/// Runs the command.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let at = args.at.map(|at| at.to_string()).unwrap_or_default();
    let query = [("pool", args.pool.clone()), ("at", at)];
    let found: Explanation = args.asked.remote.get("/admin/explain", &query)?;
    args.asked.write(&found, text)
}

/// The explanation for people.
fn text(found: &Explanation) -> String {
    let mut text = format!(
        "{} at {}: {} instances, {}, since {}",
        found.pool,
        time(found.at),
        found.target,
        found.mode,
        time(found.since)
    );
    if found.until.is_some() {
        let _ = write!(text, " until {}", time(found.until));
    }
    let _ = writeln!(
        text,
        "\n  then: {} ready, {} starting, {} leased, {} waiting",
        found.ready, found.starting, found.leased, found.queued
    );
    for (number, reason) in found.reasons.iter().enumerate() {
        let _ = writeln!(text, "  {}. {reason}", number + 1);
    }
    let mut waits: Vec<String> = found
        .waits
        .iter()
        .map(|(cause, count)| format!("{count} {}", cause.replace('_', " ")))
        .collect();
    waits.sort();
    let waits = if waits.is_empty() {
        "none".to_owned()
    } else {
        waits.join(", ")
    };
    let _ = writeln!(text, "  waits meanwhile: {waits}");
    text
}
