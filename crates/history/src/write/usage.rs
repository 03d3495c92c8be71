//! Usage history.

use std::{path::Path, sync::Arc};

use arrow::{
    array::{ArrayRef, Float64Builder, Int64Builder, StringBuilder, TimestampMillisecondBuilder},
    datatypes::{DataType, Field, Schema, TimeUnit},
};
use foreshadow_types::{EntityId, Timestamp};

use super::table::{BUFFERED_ROWS, TableWriter};
use crate::{
    HistoryError,
    schema::{ENTITY_ID, SAMPLE_COUNT, TIMESTAMP},
};

/// The type of the time column in every file that is written.
pub(super) fn time_type() -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()))
}

pub(super) fn time_builder() -> TimestampMillisecondBuilder {
    TimestampMillisecondBuilder::new().with_data_type(time_type())
}

/// Writes `timestamp`, `entity_id` and one column for each metric.
///
/// The file appears under its name when [`finish`](Self::finish) succeeds; one that is dropped
/// before is removed.
#[derive(Debug)]
pub struct UsageWriter {
    table: TableWriter,
    times: TimestampMillisecondBuilder,
    entities: StringBuilder,
    metrics: Vec<Float64Builder>,
    /// Of a file of means, how many samples each row is the mean of.
    counts: Option<Int64Builder>,
    rows: usize,
}

impl UsageWriter {
    /// Begins a file with these metrics.
    ///
    /// # Errors
    /// [`HistoryError::Io`] if the file cannot be created.
    pub fn create<S: AsRef<str>>(path: &Path, metrics: &[S]) -> Result<Self, HistoryError> {
        Self::begin(path, metrics, None)
    }

    /// Begins a file whose values are means, with a column that tells of how many samples.
    pub(crate) fn of_means<S: AsRef<str>>(
        path: &Path,
        metrics: &[S],
    ) -> Result<Self, HistoryError> {
        Self::begin(path, metrics, Some(Int64Builder::new()))
    }

    fn begin<S: AsRef<str>>(
        path: &Path,
        metrics: &[S],
        counts: Option<Int64Builder>,
    ) -> Result<Self, HistoryError> {
        let mut fields = vec![
            Field::new(TIMESTAMP, time_type(), false),
            Field::new(ENTITY_ID, DataType::Utf8, false),
        ];
        fields.extend(
            metrics
                .iter()
                .map(|metric| Field::new(metric.as_ref(), DataType::Float64, true)),
        );
        if counts.is_some() {
            fields.push(Field::new(SAMPLE_COUNT, DataType::Int64, true));
        }
        Ok(Self {
            table: TableWriter::create(path, Arc::new(Schema::new(fields)))?,
            times: time_builder(),
            entities: StringBuilder::new(),
            metrics: metrics.iter().map(|_| Float64Builder::new()).collect(),
            counts,
            rows: 0,
        })
    }

    /// Adds one sample of every metric, in the order of [`create`](Self::create).
    ///
    /// # Errors
    /// [`HistoryError`] if the number of values is not that of the metrics, or the disk fails.
    pub fn write(
        &mut self,
        at: Timestamp,
        entity: &EntityId,
        values: &[Option<f64>],
    ) -> Result<(), HistoryError> {
        self.write_mean(at, entity.as_str(), values, 1)
    }

    /// Adds one mean of every metric, each of so many samples.
    pub(crate) fn write_mean(
        &mut self,
        at: Timestamp,
        entity: &str,
        values: &[Option<f64>],
        samples: u32,
    ) -> Result<(), HistoryError> {
        if values.len() != self.metrics.len() {
            return Err(HistoryError::RowShape {
                path: self.table.path().to_owned(),
                found: values.len(),
                expected: self.metrics.len(),
            });
        }
        self.times.append_value(at.as_millis());
        self.entities.append_value(entity);
        if let Some(counts) = &mut self.counts {
            counts.append_value(i64::from(samples));
        }
        for (column, value) in self.metrics.iter_mut().zip(values) {
            column.append_option(*value);
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
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(self.times.finish()),
            Arc::new(self.entities.finish()),
        ];
        for column in &mut self.metrics {
            columns.push(Arc::new(column.finish()));
        }
        if let Some(counts) = &mut self.counts {
            columns.push(Arc::new(counts.finish()));
        }
        self.rows = 0;
        self.table.write(columns)
    }
}
