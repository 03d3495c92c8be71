//! `foreshadow completions` and `foreshadow man`: what a package installs beside the binary.

use std::{fs, path::PathBuf};

use clap::Command;
use clap_complete::{Shell, generate};

use crate::{failure::Failure, format::print};

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
    print(&String::from_utf8_lossy(&text))
}

/// Prints or writes the manual.
pub(crate) fn man(args: &ManArgs, command: Command) -> Result<(), Failure> {
    let Some(folder) = &args.out else {
        let mut text = Vec::new();
        clap_mangen::Man::new(command).render(&mut text)?;
        return print(&String::from_utf8_lossy(&text));
    };
    let written =
        fs::create_dir_all(folder).and_then(|()| clap_mangen::generate_to(command, folder));
    written.map_err(|error| {
        let place = folder.display();
        Failure::bad_input(format!(
            "--out {place}: {error}; give a folder that can be written"
        ))
    })
}
