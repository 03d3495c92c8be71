//! `foreshadow drain`.

use serde_json::{Value, json};

use super::Asked;
use crate::{failure::Failure, remote::segment};

/// Arguments of `foreshadow drain`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
    #[command(flatten)]
    asked: Asked,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// All instances that a pool has now; others are started in their place.
    Pool {
        /// The pool.
        name: String,
    },
    /// One instance.
    Instance {
        /// Such as `i-42`.
        id: String,
    },
}

/// Runs the command.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let (kind, name) = match &args.what {
        What::Pool { name } => ("pools", name),
        What::Instance { id } => ("instances", id),
    };
    let path = format!("/admin/{kind}/{}/drain", segment(name));
    let answer: Value = args.asked.remote.post(&path, &[], &json!({}))?;
    args.asked
        .write(&answer, |_| format!("`{name}` is being drained\n"))
}
