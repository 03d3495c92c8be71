//! Where the history lies: one folder for each schema, in it one for each day; and on this machine the
//! journal of what is in no Parquet file yet.

use std::path::{Path, PathBuf};

use foreshadow_history::{HistoryError, erase_entity, make_folder, parquet_files};
use foreshadow_types::{EntityId, Timestamp};

use super::name::FileName;

const EXTENSION: &str = "parquet";

/// The folders of the history.
#[derive(Debug, Clone)]
pub(crate) struct HistoryFolder {
    usage: PathBuf,
    requests: PathBuf,
    journal: PathBuf,
}

/// What a file or a journal holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Samples of metrics.
    Usage,
    /// Requests for pools.
    Requests,
}

impl Kind {
    /// The name of its folder and its journal.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Usage => "usage",
            Self::Requests => "requests",
        }
    }
}

impl HistoryFolder {
    /// Makes the folders; `dir` may be a prefix of an object store, `journal` is on this machine.
    ///
    /// # Errors
    /// [`HistoryError`] if one cannot be made or reached.
    pub(crate) fn open(dir: &Path, journal: &Path) -> Result<Self, HistoryError> {
        let folder = Self {
            usage: dir.join(Kind::Usage.name()),
            requests: dir.join(Kind::Requests.name()),
            journal: journal.to_owned(),
        };
        for folder in [&folder.usage, &folder.requests, &folder.journal] {
            make_folder(folder)?;
        }
        Ok(folder)
    }

    #[cfg(test)]
    pub(crate) fn usage(&self) -> &Path {
        &self.usage
    }

    pub(crate) fn requests(&self) -> &Path {
        &self.requests
    }

    pub(crate) fn journal(&self) -> &Path {
        &self.journal
    }

    pub(crate) fn of(&self, kind: Kind) -> &Path {
        match kind {
            Kind::Usage => &self.usage,
            Kind::Requests => &self.requests,
        }
    }

    /// The folders that hold any file.
    ///
    /// # Errors
    /// [`HistoryError`] if they cannot be read.
    pub(crate) fn filled(&self) -> Result<Vec<PathBuf>, HistoryError> {
        let mut filled = Vec::new();
        for folder in [&self.usage, &self.requests] {
            if !parquet_files(folder)?.is_empty() {
                filled.push(folder.clone());
            }
        }
        Ok(filled)
    }

    /// Requests that have not ended yet; the file is replaced as they come and go.
    pub(crate) fn open_requests(&self) -> PathBuf {
        self.requests.join("open.parquet")
    }

    /// The file for the rows of the journal's segments up to `number`, in the folder of the day.
    pub(crate) fn file(
        &self,
        kind: Kind,
        at: Timestamp,
        number: u64,
    ) -> Result<PathBuf, HistoryError> {
        let folder = self.of(kind).join(format!("date={}", day_of(at)));
        make_folder(&folder)?;
        Ok(folder.join(format!("{}-{number}.{EXTENSION}", at.as_millis())))
    }

    /// Deletes an entity from all files; how many rows named it.
    pub(crate) fn erase(&self, entity: &EntityId) -> Result<u64, HistoryError> {
        let mut rows = 0;
        for kind in [Kind::Usage, Kind::Requests] {
            for path in parquet_files(self.of(kind))? {
                rows += erase_entity(&path, entity)?;
            }
        }
        Ok(rows)
    }

    /// The latest segment of the journal whose rows are in a Parquet file; zero if there is none.
    pub(crate) fn sealed(&self, kind: Kind) -> Result<u64, HistoryError> {
        let files = parquet_files(self.of(kind))?;
        let names = files.iter().filter_map(|path| FileName::of(path));
        Ok(names.map(|name| name.segments.1).max().unwrap_or(0))
    }
}

/// The day of a time, in UTC, as folders are named after it.
pub(crate) fn day_of(at: Timestamp) -> String {
    at.to_string().chars().take(10).collect()
}
