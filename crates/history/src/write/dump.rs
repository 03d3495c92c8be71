//! Tables of any columns, for the `--dump` files of commands.

use std::{path::Path, sync::Arc};

use arrow::{
    array::{ArrayRef, Float64Builder, Int64Builder, StringBuilder, TimestampMillisecondBuilder},
    datatypes::{DataType, Field, Schema},
};
use foreshadow_types::Timestamp;

use super::{
    table::{BUFFERED_ROWS, TableWriter},
    usage::{time_builder, time_type},
};
use crate::HistoryError;

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DumpKind {
    /// UTF-8 text.
    Text,
    /// 64-bit integers.
    Integer,
    /// 64-bit floats.
    Float,
    /// Times in milliseconds, UTC.
    Time,
}

/// A column's name and kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DumpColumn {
    /// The name.
    pub name: String,
    /// What it holds.
    pub kind: DumpKind,
}

impl DumpColumn {
    /// A column of this name and kind.
    pub fn new(name: impl Into<String>, kind: DumpKind) -> Self {
        Self {
            name: name.into(),
            kind,
        }
    }
}

/// One value of a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum DumpValue<'a> {
    /// For a [`DumpKind::Text`] column.
    Text(&'a str),
    /// For a [`DumpKind::Integer`] column.
    Integer(i64),
    /// For a [`DumpKind::Float`] column; NaN is kept as NaN.
    Float(f64),
    /// For a [`DumpKind::Time`] column.
    Time(Timestamp),
    /// Nothing, for any column.
    Null,
}

/// Writes rows of named columns to Parquet.
///
/// The file appears under its name when [`finish`](Self::finish) succeeds; one that is dropped
/// before is removed.
#[derive(Debug)]
pub struct DumpWriter {
    table: TableWriter,
    columns: Vec<Builder>,
    rows: usize,
}

impl DumpWriter {
    /// Begins a file with these columns.
    ///
    /// # Errors
    /// [`HistoryError::Io`] if the file cannot be created.
    pub fn create(path: &Path, columns: &[DumpColumn]) -> Result<Self, HistoryError> {
        let fields: Vec<_> = columns
            .iter()
            .map(|column| Field::new(&column.name, data_type(column.kind), true))
            .collect();
        Ok(Self {
            table: TableWriter::create(path, Arc::new(Schema::new(fields)))?,
            columns: columns.iter().map(|c| Builder::new(c.kind)).collect(),
            rows: 0,
        })
    }

    /// Adds one row. A value of another kind than its column is written as null.
    ///
    /// # Errors
    /// [`HistoryError`] if the number of values is not that of the columns, or the disk fails.
    pub fn row(&mut self, values: &[DumpValue<'_>]) -> Result<(), HistoryError> {
        if values.len() != self.columns.len() {
            return Err(HistoryError::RowShape {
                path: self.table.path().to_owned(),
                found: values.len(),
                expected: self.columns.len(),
            });
        }
        for (column, value) in self.columns.iter_mut().zip(values) {
            column.append(*value);
        }
        self.rows += 1;
        if self.rows >= BUFFERED_ROWS {
            self.flush()?;
        }
        Ok(())
    }

    /// Completes the file.
    ///
    /// # Errors
    /// [`HistoryError`] if the disk fails.
    pub fn finish(mut self) -> Result<(), HistoryError> {
        self.flush()?;
        self.table.finish()
    }

    fn flush(&mut self) -> Result<(), HistoryError> {
        self.rows = 0;
        let columns = self.columns.iter_mut().map(Builder::finish).collect();
        self.table.write(columns)
    }
}

fn data_type(kind: DumpKind) -> DataType {
    match kind {
        DumpKind::Text => DataType::Utf8,
        DumpKind::Integer => DataType::Int64,
        DumpKind::Float => DataType::Float64,
        DumpKind::Time => time_type(),
    }
}

#[derive(Debug)]
enum Builder {
    Text(StringBuilder),
    Integer(Int64Builder),
    Float(Float64Builder),
    Time(TimestampMillisecondBuilder),
}

impl Builder {
    fn new(kind: DumpKind) -> Self {
        match kind {
            DumpKind::Text => Self::Text(StringBuilder::new()),
            DumpKind::Integer => Self::Integer(Int64Builder::new()),
            DumpKind::Float => Self::Float(Float64Builder::new()),
            DumpKind::Time => Self::Time(time_builder()),
        }
    }

    fn append(&mut self, value: DumpValue<'_>) {
        match (self, value) {
            (Self::Text(column), DumpValue::Text(text)) => column.append_value(text),
            (Self::Integer(column), DumpValue::Integer(number)) => column.append_value(number),
            (Self::Float(column), DumpValue::Float(number)) => column.append_value(number),
            (Self::Time(column), DumpValue::Time(time)) => column.append_value(time.as_millis()),
            (Self::Text(column), _) => column.append_null(),
            (Self::Integer(column), _) => column.append_null(),
            (Self::Float(column), _) => column.append_null(),
            (Self::Time(column), _) => column.append_null(),
        }
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Text(column) => Arc::new(column.finish()),
            Self::Integer(column) => Arc::new(column.finish()),
            Self::Float(column) => Arc::new(column.finish()),
            Self::Time(column) => Arc::new(column.finish()),
        }
    }
}
