//! One Parquet file, read in bounded batches.

use std::{
    fmt::Display,
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow::{
    array::ArrayRef,
    datatypes::{DataType, Schema, TimeUnit},
    record_batch::RecordBatch,
};
use foreshadow_types::Timestamp;
use parquet::{
    arrow::{
        ProjectionMask,
        arrow_reader::{
            ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader,
            ParquetRecordBatchReaderBuilder,
        },
    },
    file::{metadata::RowGroupMetaData, statistics::Statistics},
};

use crate::{HistoryError, guard::decode, past::Span, schema::TIMESTAMP, storage};

/// Rows decoded at once, whatever the size of the file and of its row groups.
const BATCH_ROWS: usize = 8_192;

/// What is said of bytes that the decoder does not even recognise as wrong.
const DAMAGED: &str = "its bytes are damaged";

/// An open history file.
#[derive(Debug)]
pub(crate) struct HistoryFile {
    path: Arc<Path>,
    file: File,
    metadata: ArrowReaderMetadata,
}

impl HistoryFile {
    pub(crate) fn open(path: &Path) -> Result<Self, HistoryError> {
        let file = storage::open(path)?;
        let metadata = decode(|| ArrowReaderMetadata::load(&file, ArrowReaderOptions::new()))
            .ok_or_else(|| HistoryError::parquet(path, DAMAGED))?
            .map_err(|error| HistoryError::parquet(path, &error))?;
        Ok(Self {
            path: path.into(),
            file,
            metadata,
        })
    }

    pub(crate) fn schema(&self) -> &Schema {
        self.metadata.schema()
    }

    /// How many rows it has.
    pub(crate) fn rows(&self) -> u64 {
        u64::try_from(self.metadata.metadata().file_metadata().num_rows()).unwrap_or(0)
    }

    /// The earliest time of its rows, where its statistics tell.
    pub(crate) fn begin(&self) -> Option<Timestamp> {
        let groups = self.metadata.metadata().row_groups().iter();
        let earliest = groups.filter_map(|group| self.times_of(group).0);
        earliest.min().map(Timestamp::from_millis)
    }

    /// Whether the file has this column.
    pub(crate) fn has(&self, column: &str) -> bool {
        self.schema().index_of(column).is_ok()
    }

    /// Reads the columns that are there of those named, in batches.
    pub(crate) fn batches(&self, columns: &[&str]) -> Result<Batches, HistoryError> {
        let all = (0..self.metadata.metadata().num_row_groups()).collect();
        self.batches_of(columns, all)
    }

    /// The same of the row groups that may have rows of a span of time, by their statistics: all rows of
    /// the span are among them, and others.
    pub(crate) fn batches_within(
        &self,
        columns: &[&str],
        span: &Span,
    ) -> Result<Batches, HistoryError> {
        let groups = self.metadata.metadata().row_groups().iter().enumerate();
        let fitting = groups.filter(|(_, group)| self.may_hold(group, span));
        self.batches_of(columns, fitting.map(|(number, _)| number).collect())
    }

    fn may_hold(&self, group: &RowGroupMetaData, span: &Span) -> bool {
        let (first, last) = self.times_of(group);
        let begins = first.is_none_or(|ms| ms < span.until.as_millis());
        let ends = last.is_none_or(|ms| ms >= span.from.as_millis());
        begins && ends
    }

    /// The first and the last time of a row group in milliseconds, as far as its statistics tell.
    fn times_of(&self, group: &RowGroupMetaData) -> (Option<i64>, Option<i64>) {
        let field = self.schema().field_with_name(TIMESTAMP);
        let unit = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
        if !field.is_ok_and(|field| *field.data_type() == unit) {
            return (None, None);
        }
        let mut columns = group.columns().iter();
        let times = columns.find(|column| column.column_path().string() == TIMESTAMP);
        match times.and_then(|times| times.statistics()) {
            Some(Statistics::Int64(known)) => (known.min_opt().copied(), known.max_opt().copied()),
            _ => (None, None),
        }
    }

    fn batches_of(&self, columns: &[&str], groups: Vec<usize>) -> Result<Batches, HistoryError> {
        let indices = columns
            .iter()
            .filter_map(|column| self.schema().index_of(column).ok());
        let mask = ProjectionMask::roots(self.metadata.parquet_schema(), indices);
        let file = self
            .file
            .try_clone()
            .map_err(|error| HistoryError::io(&self.path, error))?;
        let builder =
            ParquetRecordBatchReaderBuilder::new_with_metadata(file, self.metadata.clone())
                .with_projection(mask)
                .with_row_groups(groups)
                .with_batch_size(BATCH_ROWS);
        let reader = decode(|| builder.build())
            .ok_or_else(|| HistoryError::parquet(&self.path, DAMAGED))?
            .map_err(|error| HistoryError::parquet(&self.path, &error))?;
        Ok(Batches {
            path: self.path.clone(),
            reader: Some(reader),
            next_row: 0,
        })
    }
}

/// The batches of a file, in its order.
#[derive(Debug)]
pub(crate) struct Batches {
    path: Arc<Path>,
    /// `None` after a failure.
    reader: Option<ParquetRecordBatchReader>,
    next_row: u64,
}

impl Iterator for Batches {
    type Item = Result<Batch, HistoryError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut reader = self.reader.take()?;
        let Some(rows) = decode(|| reader.next()) else {
            return Some(Err(HistoryError::parquet(&self.path, DAMAGED)));
        };
        let rows = match rows? {
            Ok(rows) => rows,
            Err(error) => return Some(Err(HistoryError::parquet(&self.path, &error))),
        };
        self.reader = Some(reader);
        let first_row = self.next_row;
        self.next_row += rows.num_rows() as u64;
        Some(Ok(Batch {
            path: self.path.clone(),
            first_row,
            rows,
        }))
    }
}

/// Some rows of a file, which know where they stand in it.
#[derive(Debug)]
pub(crate) struct Batch {
    path: Arc<Path>,
    first_row: u64,
    rows: RecordBatch,
}

impl Batch {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows.num_rows()
    }

    pub(crate) fn column(&self, name: &str) -> Result<&ArrayRef, HistoryError> {
        self.rows.column_by_name(name).ok_or_else(|| {
            let schema = self.rows.schema();
            let found: Vec<_> = schema.fields().iter().map(|f| f.name().as_str()).collect();
            HistoryError::MissingColumn {
                path: PathBuf::from(&*self.path),
                column: name.to_owned(),
                found: found.join(", "),
            }
        })
    }

    /// An error in one row of this batch.
    pub(crate) fn row_error(
        &self,
        column: &str,
        row: usize,
        reason: &(impl Display + ?Sized),
    ) -> HistoryError {
        HistoryError::Row {
            path: PathBuf::from(&*self.path),
            column: column.to_owned(),
            row: self.first_row + row as u64 + 1,
            reason: reason.to_string(),
        }
    }
}
