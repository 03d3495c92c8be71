//! Other formats become history files.

mod csv;
mod sorted;
mod swf;

use std::path::Path;

use foreshadow_types::Timestamp;

use crate::HistoryError;

pub use self::csv::import_csv;
pub use swf::{SwfOptions, import_swf};

/// What an import wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImportSummary {
    /// Rows written.
    pub rows: u64,
    /// The earliest time.
    pub first: Timestamp,
    /// The latest time.
    pub last: Timestamp,
}

/// Counts rows and finds their span.
#[derive(Debug, Default)]
struct Tally {
    rows: u64,
    span: Option<(Timestamp, Timestamp)>,
}

impl Tally {
    fn add(&mut self, at: Timestamp) {
        let (first, last) = self.span.unwrap_or((at, at));
        self.span = Some((first.min(at), last.max(at)));
        self.rows += 1;
    }

    fn summary(&self, from: &Path) -> Result<ImportSummary, HistoryError> {
        let (first, last) = self
            .span
            .ok_or_else(|| HistoryError::Empty(from.display().to_string(), String::new()))?;
        Ok(ImportSummary {
            rows: self.rows,
            first,
            last,
        })
    }
}
