//! `foreshadow drain`.

use serde_json::{Value, json};

use super::Asked;
use crate::{failure::Failure, remote::segment};

/// Arguments of `foreshadow drain`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// All instances that a pool has now; others are started in their place.
    Pool {
        /// The pool.
        name: String,
        #[command(flatten)]
        asked: Asked,
    },
    /// One instance.
    Instance {
        /// Such as `i-42`.
        id: String,
        #[command(flatten)]
        asked: Asked,
    },
}

/// Runs the command.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let (kind, name, asked) = match &args.what {
        What::Pool { name, asked } => ("pools", name, asked),
        What::Instance { id, asked } => ("instances", id, asked),
    };
    let path = format!("/admin/{kind}/{}/drain", segment(name));
    let answer: Value = asked.remote.post(&path, &[], &json!({}))?;
    asked.write(&answer, |_| format!("`{name}` is being drained\n"))
}
