//! Where the history lies: one folder for each schema, in it one for each day, beside them the
//! journal of what is in no Parquet file yet.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use foreshadow_history::{HistoryError, erase_entity};
use foreshadow_types::{EntityId, Timestamp};

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
    /// Makes the folders.
    pub(crate) fn open(dir: &Path) -> io::Result<Self> {
        let folder = Self {
            usage: dir.join(Kind::Usage.name()),
            requests: dir.join(Kind::Requests.name()),
            journal: dir.join("journal"),
        };
        for folder in [&folder.usage, &folder.requests, &folder.journal] {
            fs::create_dir_all(folder)?;
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
    pub(crate) fn filled(&self) -> Vec<PathBuf> {
        [&self.usage, &self.requests]
            .into_iter()
            .filter(|folder| has_files(folder))
            .cloned()
            .collect()
    }

    /// Requests that have not ended yet; the file is replaced as they come and go.
    pub(crate) fn open_requests(&self) -> PathBuf {
        self.requests.join("open.parquet")
    }

    /// The file for the rows of the journal's segments up to `number`, in the folder of the day.
    pub(crate) fn file(&self, kind: Kind, at: Timestamp, number: u64) -> io::Result<PathBuf> {
        let day: String = at.to_string().chars().take(10).collect();
        let folder = self.of(kind).join(format!("date={day}"));
        fs::create_dir_all(&folder)?;
        Ok(folder.join(format!("{}-{number}.{EXTENSION}", at.as_millis())))
    }

    /// Deletes an entity from all files; how many rows named it.
    pub(crate) fn erase(&self, entity: &EntityId) -> Result<u64, HistoryError> {
        let mut rows = 0;
        for kind in [Kind::Usage, Kind::Requests] {
            for path in parquet_files(self.of(kind)) {
                rows += erase_entity(&path, entity)?;
            }
        }
        Ok(rows)
    }

    /// The latest segment of the journal whose rows are in a Parquet file; zero if there is none.
    pub(crate) fn sealed(&self, kind: Kind) -> u64 {
        let numbers = parquet_files(self.of(kind)).into_iter();
        numbers
            .filter_map(|path| number_of(&path))
            .max()
            .unwrap_or(0)
    }
}

/// The segment that a file's name ends with.
pub(crate) fn number_of(path: &Path) -> Option<u64> {
    let (_, number) = path.file_stem()?.to_str()?.rsplit_once('-')?;
    number.parse().ok()
}

/// The Parquet files of a folder and of the folders in it, in the order of their names.
pub(crate) fn parquet_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(folder) else {
            continue;
        };
        for path in entries.flatten().map(|entry| entry.path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == EXTENSION) {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

/// Whether there is any file of the history in a folder.
pub(crate) fn has_files(folder: &Path) -> bool {
    !parquet_files(folder).is_empty()
}
