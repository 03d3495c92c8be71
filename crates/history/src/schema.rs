//! Which of the two schemas a file has, told by its columns.

use std::path::Path;

use arrow::datatypes::{DataType, Schema};

use crate::{HistoryError, column, file::HistoryFile};

/// When a sample was taken or a request arrived.
pub(crate) const TIMESTAMP: &str = "timestamp";
/// Whose usage it is.
pub(crate) const ENTITY_ID: &str = "entity_id";
/// How many samples the values of a row are the mean of; one where it is absent.
pub(crate) const SAMPLE_COUNT: &str = "sample_count";
/// The pool a request was for.
pub(crate) const POOL: &str = "pool";
/// Who asked.
pub(crate) const USER_ID: &str = "user_id";
/// What for.
pub(crate) const APPLICATION_ID: &str = "application_id";
/// How long the granted resource was held.
pub(crate) const HOLD_MS: &str = "hold_ms";
/// What requests have in common that share one instance.
pub(crate) const MERGE_KEY: &str = "merge_key";
/// Virtual CPUs asked for.
pub(crate) const VCPUS: &str = "vcpus";
/// Memory asked for.
pub(crate) const MEMORY_BYTES: &str = "memory_bytes";

/// What a history file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HistoryKind {
    /// `timestamp`, `entity_id`, and one numeric column for each metric.
    Usage {
        /// The numeric columns, in the order of the file.
        metrics: Vec<String>,
    },
    /// `timestamp`, `pool`, and what else is known of each request.
    Requests,
}

impl HistoryKind {
    /// Tells the schema of a Parquet file by its columns.
    ///
    /// # Errors
    /// [`HistoryError`] if the file cannot be read or has the columns of neither schema.
    pub fn of_file(path: &Path) -> Result<Self, HistoryError> {
        Self::of_schema(path, HistoryFile::open(path)?.schema())
    }

    pub(crate) fn of_schema(path: &Path, schema: &Schema) -> Result<Self, HistoryError> {
        let has = |column: &str| schema.index_of(column).is_ok();
        let missing = |column: &str| HistoryError::MissingColumn {
            path: path.to_owned(),
            column: column.to_owned(),
            found: found(schema),
        };
        if !has(TIMESTAMP) {
            return Err(missing(TIMESTAMP));
        }
        if has(ENTITY_ID) {
            let metrics = metric_columns(schema);
            return Ok(Self::Usage { metrics });
        }
        if has(POOL) {
            return Ok(Self::Requests);
        }
        let requests = [USER_ID, APPLICATION_ID, HOLD_MS].into_iter().any(has);
        Err(missing(if requests { POOL } else { ENTITY_ID }))
    }
}

/// The columns of a usage file that are no metrics.
const NO_METRICS: [&str; 3] = [TIMESTAMP, ENTITY_ID, SAMPLE_COUNT];

/// The columns of a usage file that can be metrics. A column whose type is null is one only when it
/// is asked for, since nothing tells whether numbers or text are absent from it.
fn metric_columns(schema: &Schema) -> Vec<String> {
    schema
        .fields()
        .iter()
        .filter(|field| !NO_METRICS.contains(&field.name().as_str()))
        .filter(|field| {
            column::is_number(field.data_type()) && field.data_type() != &DataType::Null
        })
        .map(|field| field.name().clone())
        .collect()
}

fn found(schema: &Schema) -> String {
    let names: Vec<_> = schema.fields().iter().map(|f| f.name().as_str()).collect();
    names.join(", ")
}
