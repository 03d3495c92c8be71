//! Request history.

use std::{path::Path, sync::Arc};

use arrow::{
    array::{Float64Builder, Int64Builder, StringBuilder, TimestampMillisecondBuilder},
    datatypes::{DataType, Field, Schema},
};
use foreshadow_types::{ApplicationId, MergeKey, UserId, Vcpus};

use super::{
    table::{BUFFERED_ROWS, TableWriter},
    usage::{time_builder, time_type},
};
use crate::{
    HistoryError, RequestRecord,
    schema::{APPLICATION_ID, HOLD_MS, MEMORY_BYTES, MERGE_KEY, POOL, TIMESTAMP, USER_ID, VCPUS},
};

/// Writes requests. They should come in the order of their time, since readers ask for it.
///
/// The file appears under its name when [`finish`](Self::finish) succeeds; one that is dropped
/// before is removed.
#[derive(Debug)]
pub struct RequestWriter {
    table: TableWriter,
    times: TimestampMillisecondBuilder,
    users: StringBuilder,
    applications: StringBuilder,
    pools: StringBuilder,
    hold_ms: Int64Builder,
    vcpus: Float64Builder,
    memory_bytes: Int64Builder,
    merge_keys: StringBuilder,
    rows: usize,
}

impl RequestWriter {
    /// Begins a file.
    ///
    /// # Errors
    /// [`HistoryError::Io`] if the file cannot be created.
    pub fn create(path: &Path) -> Result<Self, HistoryError> {
        let schema = Schema::new(vec![
            Field::new(TIMESTAMP, time_type(), false),
            Field::new(USER_ID, DataType::Utf8, true),
            Field::new(APPLICATION_ID, DataType::Utf8, true),
            Field::new(POOL, DataType::Utf8, false),
            Field::new(HOLD_MS, DataType::Int64, true),
            Field::new(VCPUS, DataType::Float64, true),
            Field::new(MEMORY_BYTES, DataType::Int64, true),
            Field::new(MERGE_KEY, DataType::Utf8, true),
        ]);
        Ok(Self {
            table: TableWriter::create(path, Arc::new(schema))?,
            times: time_builder(),
            users: StringBuilder::new(),
            applications: StringBuilder::new(),
            pools: StringBuilder::new(),
            hold_ms: Int64Builder::new(),
            vcpus: Float64Builder::new(),
            memory_bytes: Int64Builder::new(),
            merge_keys: StringBuilder::new(),
            rows: 0,
        })
    }

    /// Adds one request.
    ///
    /// # Errors
    /// [`HistoryError`] if the disk fails.
    pub fn write(&mut self, request: &RequestRecord) -> Result<(), HistoryError> {
        self.times.append_value(request.at.as_millis());
        self.users
            .append_option(request.user.as_ref().map(UserId::as_str));
        self.applications
            .append_option(request.application.as_ref().map(ApplicationId::as_str));
        self.pools.append_value(request.pool.as_str());
        let hold_ms = request.hold.map(|hold| hold.as_millis());
        self.hold_ms
            .append_option(hold_ms.map(|ms| i64::try_from(ms).unwrap_or(i64::MAX)));
        self.vcpus.append_option(request.vcpus.map(Vcpus::as_f64));
        let bytes = request.memory.map(|memory| memory.0);
        self.memory_bytes
            .append_option(bytes.map(|bytes| i64::try_from(bytes).unwrap_or(i64::MAX)));
        self.merge_keys
            .append_option(request.merge_key.as_ref().map(MergeKey::as_str));
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
        self.table.write(vec![
            Arc::new(self.times.finish()),
            Arc::new(self.users.finish()),
            Arc::new(self.applications.finish()),
            Arc::new(self.pools.finish()),
            Arc::new(self.hold_ms.finish()),
            Arc::new(self.vcpus.finish()),
            Arc::new(self.memory_bytes.finish()),
            Arc::new(self.merge_keys.finish()),
        ])
    }
}
