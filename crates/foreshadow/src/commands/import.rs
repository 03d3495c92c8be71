//! `foreshadow import`.

use crate::failure::Failure;

/// Arguments of `foreshadow import`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// Runs the command.
pub(crate) fn run(_args: Args) -> Result<(), Failure> {
    Err(Failure::bad_input("this build has no `import` yet"))
}
