//! Why the ledger refused.

use std::path::PathBuf;

use thiserror::Error;

/// Why the ledger refused.
#[derive(Debug, Error)]
pub enum LedgerError {
    /// Another process owns the data folder.
    #[error(
        "data folder {} is in use by another server{}; stop it or choose another folder with --data",
        folder.display(),
        owner.map(|pid| format!(" (process {pid})")).unwrap_or_default()
    )]
    InUse {
        /// The folder.
        folder: PathBuf,
        /// The process that owns it, if it left its number.
        owner: Option<u32>,
    },
    /// The folder or a file in it cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The path at fault.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not a ledger.
    #[error("{} is not a ledger of this service; it is left as it is: move it away or choose another folder with --data", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The file was written by a later release.
    #[error("{} has format {found}, this release knows up to {known}; use the release that wrote it", path.display())]
    TooNew {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest format known here.
        known: u32,
    },
    /// The file was written by an earlier release whose records are not read any more.
    #[error("{} has format {found}, this release reads format {known}; use the release that wrote it, or move the file away to begin anew", path.display())]
    TooOld {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The format read here.
        known: u32,
    },
    /// The file is damaged.
    #[error("{} is damaged: {what}; it is left as it is: restore it from a copy", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        what: String,
    },
    /// A write failed: the disk is full or broken.
    #[error("{}: cannot write: {source}; nothing more is acknowledged", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What `SQLite` said.
        source: rusqlite::Error,
    },
    /// An earlier write failed; the process has to be started again.
    #[error("{} stopped taking writes after an earlier error", path.display())]
    Stopped {
        /// The file.
        path: PathBuf,
    },
}
