//! `foreshadow completions` and `foreshadow man`: what a package installs beside the binary.

use std::{io, path::PathBuf};

use clap::Command;
use clap_complete::{Shell, generate};

use crate::failure::Failure;

/// Arguments of `foreshadow completions`.
#[derive(Debug, clap::Args)]
pub(crate) struct CompletionsArgs {
    /// The shell.
    shell: Shell,
}

/// Arguments of `foreshadow man`.
#[derive(Debug, clap::Args)]
pub(crate) struct ManArgs {
    /// Write the page of each command into this folder, in the place of the first to stdout.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Prints the completions of a shell.
pub(crate) fn completions(args: &CompletionsArgs, mut command: Command) -> Result<(), Failure> {
    let name = command.get_name().to_owned();
    let mut text = Vec::new();
    generate(args.shell, &mut command, name, &mut text);
    io::Write::write_all(&mut io::stdout(), &text)?;
    Ok(())
}

/// Prints or writes the manual.
pub(crate) fn man(args: &ManArgs, command: Command) -> Result<(), Failure> {
    match &args.out {
        Some(folder) => clap_mangen::generate_to(command, folder)?,
        None => clap_mangen::Man::new(command).render(&mut io::stdout())?,
    }
    Ok(())
}
