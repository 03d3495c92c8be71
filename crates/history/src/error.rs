//! What can be wrong with history, named so that it can be mended.

use std::{
    fmt::Display,
    io,
    path::{Path, PathBuf},
};

use thiserror::Error;

/// Why history could not be read or written.
#[derive(Debug, Error)]
pub enum HistoryError {
    /// A path, folder or glob holds no history.
    #[error("`{0}`: no Parquet file there; give a file, a folder with *.parquet files or a glob")]
    NoFiles(String),
    /// A glob is malformed.
    #[error("`{pattern}` is not a glob: {reason}")]
    Glob {
        /// The text given.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The operating system refused a file.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// An object store refused a request.
    #[error("{}: the object store: {reason}", path.display())]
    Remote {
        /// The object or prefix.
        path: PathBuf,
        /// What it said.
        reason: String,
    },
    /// A path leads to a store that speaks S3, which this build does not.
    #[error(
        "{}: this build cannot reach S3; use one with the feature `s3`: \
         `cargo build --release -p foreshadow --features s3`",
        .0.display()
    )]
    NoS3(PathBuf),
    /// A path begins with the name of a protocol that is not spoken.
    #[error("{}: no such place; give a local path or s3://bucket/prefix", .0.display())]
    Protocol(PathBuf),
    /// The file is not Parquet, or is damaged.
    #[error("{}: not a readable Parquet file ({reason}); restore it or leave it out", path.display())]
    Parquet {
        /// The file.
        path: PathBuf,
        /// What the decoder said.
        reason: String,
    },
    /// A text file that is imported is malformed.
    #[error("{}: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong and where.
        reason: String,
    },
    /// The columns are those of neither schema, or one that is needed is absent.
    #[error(
        "{}: column `{column}` is missing (found: {found}); usage history needs `timestamp`, \
         `entity_id` and metrics, request history needs `timestamp` and `pool`",
        path.display()
    )]
    MissingColumn {
        /// The file.
        path: PathBuf,
        /// The column that was looked for.
        column: String,
        /// The columns that are there.
        found: String,
    },
    /// A column has a type that cannot be read as what it is for.
    #[error("{}: column `{column}` has type {found}; {expected} is needed", path.display())]
    ColumnType {
        /// The file.
        path: PathBuf,
        /// The column.
        column: String,
        /// Its type.
        found: String,
        /// What is accepted.
        expected: &'static str,
    },
    /// A value is not acceptable.
    #[error("{}: column `{column}`, row {row}: {reason}", path.display())]
    Row {
        /// The file.
        path: PathBuf,
        /// The column.
        column: String,
        /// The row, counted from 1.
        row: u64,
        /// What is wrong and what is accepted.
        reason: String,
    },
    /// A metric is in none of the files.
    #[error("metric `{metric}` is in none of the files; they have: {known}")]
    UnknownMetric {
        /// The metric asked for.
        metric: String,
        /// The metrics that are there.
        known: String,
    },
    /// There is nothing to read.
    #[error("{0}: no rows{1}; give history that covers the time asked for")]
    Empty(String, String),
    /// The panel would not fit into memory.
    #[error(
        "{series} series of {bins} bins are more than the {limit} values allowed at once; give \
         fewer files, fewer metrics or a longer interval"
    )]
    TooLarge {
        /// Series found.
        series: u64,
        /// Bins from the first to the last sample.
        bins: u64,
        /// The most values allowed.
        limit: u64,
    },
    /// An interval that no grid can have.
    #[error("an interval of {0} ms is not possible; it is at least 1 ms, for example `5m`")]
    Interval(u128),
    /// A row handed to a writer does not have the columns of the file.
    #[error("{}: a row has {found} values for {expected} columns", path.display())]
    RowShape {
        /// The file being written.
        path: PathBuf,
        /// Values in the row.
        found: usize,
        /// Columns in the file.
        expected: usize,
    },
}

impl HistoryError {
    pub(crate) fn io(path: &Path, source: io::Error) -> Self {
        Self::Io {
            path: path.to_owned(),
            source,
        }
    }

    pub(crate) fn parquet(path: &Path, reason: &(impl Display + ?Sized)) -> Self {
        Self::Parquet {
            path: path.to_owned(),
            reason: reason.to_string(),
        }
    }
}
