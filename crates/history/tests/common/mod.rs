//! Small history files of any schema.
#![allow(dead_code, reason = "each test binary uses some of the helpers")]

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use arrow::{
    array::{ArrayRef, Float64Array, Int64Array, StringArray, TimestampMillisecondArray},
    record_batch::RecordBatch,
};
use foreshadow_forecast::Panel;
use foreshadow_history::{
    DEFAULT_MAX_VALUES, HistoryError, HistoryPaths, PanelLimits, PanelOptions, load_panel,
};
use parquet::arrow::ArrowWriter;

/// 2026-01-01T00:00:00Z in milliseconds, a multiple of five minutes.
pub(crate) const START_MS: i64 = 1_767_225_600_000;

/// A folder that is removed when the test ends.
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes a Parquet file with these columns.
    pub(crate) fn write(&self, name: &str, columns: Vec<(&str, ArrayRef)>) -> PathBuf {
        let path = self.path().join(name);
        let batch = RecordBatch::try_from_iter_with_nullable(
            columns.into_iter().map(|(name, array)| (name, array, true)),
        )
        .unwrap();
        let file = File::create(&path).unwrap();
        let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        path
    }
}

/// Times this many seconds after [`START_MS`].
pub(crate) fn times(seconds: &[i64]) -> ArrayRef {
    let millis = seconds.iter().map(|second| START_MS + second * 1_000);
    Arc::new(TimestampMillisecondArray::from_iter_values(millis).with_timezone("UTC"))
}

pub(crate) fn texts(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

pub(crate) fn floats(values: &[f64]) -> ArrayRef {
    Arc::new(Float64Array::from(values.to_vec()))
}

pub(crate) fn integers(values: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

pub(crate) fn options() -> PanelOptions {
    PanelOptions {
        metrics: None,
        interval: Duration::from_mins(5),
        until: None,
        limits: PanelLimits::Refuse {
            max_values: DEFAULT_MAX_VALUES,
        },
    }
}

pub(crate) fn load(path: &Path) -> Result<Panel, HistoryError> {
    load_panel(&HistoryPaths::expand(&[path])?, &options())
}
