//! Why the ledger refused.

use std::{
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use thiserror::Error;

/// Where a ledger lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In a file.
    File(PathBuf),
    /// On a server that others use as well.
    Server {
        /// The server and its database, without user and password.
        server: String,
    },
    /// In a shard of such a server.
    Shard {
        /// The shard.
        shard: u32,
        /// The server and its database, without user and password.
        server: String,
    },
}

impl From<&Path> for Place {
    fn from(path: &Path) -> Self {
        Self::File(path.to_owned())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Server { server } => f.write_str(server),
            Self::Shard { shard, server } => write!(f, "shard {shard} of {server}"),
        }
    }
}

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
    /// It was written by a later release.
    #[error(
        "{place} has format {found}, this release knows up to {known}; use the release that wrote it"
    )]
    TooNew {
        /// The ledger.
        place: Place,
        /// Its format.
        found: u32,
        /// The newest format known here.
        known: u32,
    },
    /// It was written by an earlier release whose records are not read any more.
    #[error(
        "{place} has format {found}, this release reads formats from {known} on; use the release that wrote it, or move it away to begin anew"
    )]
    TooOld {
        /// The ledger.
        place: Place,
        /// Its format.
        found: u32,
        /// The oldest format read here.
        known: u32,
    },
    /// It is damaged.
    #[error("{place} is damaged: {what}; it is left as it is: restore it from a copy")]
    Damaged {
        /// The ledger.
        place: Place,
        /// What was found.
        what: String,
    },
    /// An event cannot be put into bytes.
    #[error("an event cannot be written down: {what}; nothing more is acknowledged")]
    Encode {
        /// What the encoder said.
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
    /// An earlier write failed; the ledger has to be opened again.
    #[error("{place} stopped taking writes after an earlier error")]
    Stopped {
        /// The ledger.
        place: Place,
    },
    /// The shard is not owned under this epoch any more: nothing was written.
    #[error(
        "shard {shard} is not owned under epoch {epoch} any more: it has passed to another server or was released, and nothing is written"
    )]
    Fenced {
        /// The shard.
        shard: u32,
        /// The epoch under which a write was tried.
        epoch: u64,
    },
    /// The server could not be reached in time. Whether the write that was under way is there is not
    /// known: it may be acknowledged by nobody.
    #[error("{place} could not be reached for {}s: {why}; nothing more is acknowledged", patience.as_secs_f64())]
    Unreachable {
        /// The ledger.
        place: Place,
        /// How long it was tried.
        patience: Duration,
        /// What the last try met with.
        why: String,
    },
    /// The server cannot be used as it is set up, or refused a statement.
    #[error("{place}: {why}")]
    Refused {
        /// The ledger.
        place: Place,
        /// What the server said, or what is wrong with how it is named.
        why: String,
    },
}
