//! Where the history lies: one folder for each schema, in it one for each day; and on this machine the
//! journal of what is in no Parquet file yet.

use std::path::{Path, PathBuf};

use foreshadow_history::{HistoryError, erase_entity, make_folder, parquet_files};
use foreshadow_types::{EntityId, Timestamp};

use super::{
    compact::{by_day, still_in_use},
    name::FileName,
};

const EXTENSION: &str = "parquet";
/// Requests that have not ended.
const OPEN: &str = "open.parquet";

/// The folders of the history.
#[derive(Debug, Clone)]
pub(crate) struct HistoryFolder {
    usage: PathBuf,
    requests: PathBuf,
    journal: PathBuf,
    /// The folders of others who had this shard before: they are read, and people deleted from them.
    others: Vec<PathBuf>,
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
            others: Vec::new(),
        };
        for folder in [&folder.usage, &folder.requests, &folder.journal] {
            make_folder(folder)?;
        }
        Ok(folder)
    }

    /// The same, with the folders of others who had this shard before.
    pub(crate) fn beside(mut self, others: Vec<PathBuf>) -> Self {
        self.others = others;
        self
    }

    #[cfg(test)]
    pub(crate) fn usage(&self) -> &Path {
        &self.usage
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

    /// The folders of a kind: this one's own, then those of others.
    pub(super) fn all(&self, kind: Kind) -> impl Iterator<Item = PathBuf> {
        let others = self.others.iter().map(move |dir| dir.join(kind.name()));
        std::iter::once(self.of(kind).to_owned()).chain(others)
    }

    /// The folders that hold any file.
    ///
    /// # Errors
    /// [`HistoryError`] if they cannot be read.
    pub(crate) fn filled(&self) -> Result<Vec<PathBuf>, HistoryError> {
        let mut filled = Vec::new();
        for folder in self.all(Kind::Usage).chain(self.all(Kind::Requests)) {
            if !parquet_files(&folder)?.is_empty() {
                filled.push(folder);
            }
        }
        Ok(filled)
    }

    /// The files that hold requests. Those that had not ended when others had the shard are left out:
    /// they are in the ledger, or in a file of this one by now.
    ///
    /// # Errors
    /// [`HistoryError`] if they cannot be found.
    pub(crate) fn past_requests(&self) -> Result<Vec<PathBuf>, HistoryError> {
        self.in_use(Kind::Requests, |_| true)
    }

    /// The files of a kind with the rows of these days, the latest day first; before them what has not
    /// ended, of this one alone. A file that was merged may be there for a moment beside what it was merged
    /// into: it is left out.
    ///
    /// # Errors
    /// [`HistoryError`] if the folders cannot be read.
    pub(super) fn in_use(
        &self,
        kind: Kind,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<Vec<PathBuf>, HistoryError> {
        let open = self.open_requests();
        let (mut files, mut days) = (Vec::new(), Vec::new());
        for folder in self.all(kind) {
            let all = parquet_files(&folder)?;
            files.extend(all.iter().filter(|path| **path == open).cloned());
            days.extend(by_day(all).into_iter().filter(|(day, _)| wanted(day)));
        }
        days.sort_by(|(a, _), (b, _)| b.cmp(a));
        for (_, day) in &days {
            files.extend(still_in_use(day).map(Path::to_owned));
        }
        Ok(files)
    }

    /// Requests that have not ended yet; the file is replaced as they come and go.
    pub(crate) fn open_requests(&self) -> PathBuf {
        self.requests.join(OPEN)
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
        for folder in self.all(Kind::Usage).chain(self.all(Kind::Requests)) {
            for path in parquet_files(&folder)? {
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
