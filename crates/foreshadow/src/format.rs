//! How results are printed.

use std::io::{ErrorKind, Write as _};

use clap::ValueEnum;

use crate::failure::Failure;

/// How a command prints its result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// One JSON document.
    Json,
}

/// Prints a result on stdout, with its colours if that is a terminal. Whoever reads it may have seen
/// enough before its end, which is no failure.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    shown(text).map(|_| ())
}

/// As [`print()`]; says whether somebody reads it still.
pub(crate) fn shown(text: &str) -> Result<bool, Failure> {
    let mut out = anstream::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        written => Ok(written.map(|()| true)?),
    }
}
