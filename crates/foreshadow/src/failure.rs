//! How a command ends when it does not succeed.

use std::{fmt::Display, process::ExitCode};

/// Why a command did not succeed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The input, the configuration or the usage is at fault: one line that names it, exit code 2.
    BadInput(String),
    /// The command failed for another reason: exit code 1.
    Failed(anyhow::Error),
}

impl Failure {
    /// A failure that the caller can mend by changing what was given.
    pub(crate) fn bad_input(reason: impl Display) -> Self {
        Self::BadInput(reason.to_string())
    }

    /// The reason alone, where the command goes on.
    pub(crate) fn into_error(self) -> anyhow::Error {
        match self {
            Self::BadInput(reason) => anyhow::Error::msg(reason),
            Self::Failed(error) => error,
        }
    }

    /// Prints one line on stderr and gives the exit code.
    pub(crate) fn report(&self) -> ExitCode {
        match self {
            Self::BadInput(reason) => {
                eprintln!("error: {}", one_line(reason));
                ExitCode::from(2)
            }
            Self::Failed(error) => {
                eprintln!("error: {}", one_line(&format!("{error:#}")));
                ExitCode::FAILURE
            }
        }
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
