//! Batches into one Parquet file, which appears under its name only when it is whole: a local one is
//! written beside it and renamed, a remote one is written to a temporary file and then put.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow::{array::ArrayRef, datatypes::SchemaRef, record_batch::RecordBatch};
use parquet::{
    arrow::ArrowWriter,
    basic::{Compression, ZstdLevel},
    file::properties::WriterProperties,
};

use crate::{HistoryError, storage};

/// Rows gathered before they are encoded.
pub(super) const BUFFERED_ROWS: usize = 16_384;

/// Rows of a row group: small enough that its encoded columns stay a few megabytes in memory.
const ROW_GROUP_ROWS: usize = 262_144;

/// A Parquet file being written.
#[derive(Debug)]
pub(crate) struct TableWriter {
    path: PathBuf,
    /// The file beside it; `None` if it is remote.
    partial: Option<PathBuf>,
    schema: SchemaRef,
    /// `None` after the file is finished.
    writer: Option<ArrowWriter<File>>,
}

impl TableWriter {
    pub(crate) fn create(path: &Path, schema: SchemaRef) -> Result<Self, HistoryError> {
        let (file, partial) = begin(path)?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
            .build();
        let writer = ArrowWriter::try_new(file, schema.clone(), Some(properties))
            .map_err(|error| HistoryError::parquet(path, &error))?;
        Ok(Self {
            path: path.to_owned(),
            partial,
            schema,
            writer: Some(writer),
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn write(&mut self, columns: Vec<ArrayRef>) -> Result<(), HistoryError> {
        let failed = |reason: String| HistoryError::parquet(&self.path, &reason);
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns)
            .map_err(|error| failed(error.to_string()))?;
        match &mut self.writer {
            Some(writer) => writer
                .write(&batch)
                .map_err(|error| failed(error.to_string())),
            None => Err(failed("the file is finished".to_owned())),
        }
    }

    /// Writes the footer, makes the file durable and gives it its name.
    pub(crate) fn finish(&mut self) -> Result<(), HistoryError> {
        let Some(writer) = self.writer.take() else {
            return Ok(());
        };
        let file = writer
            .into_inner()
            .map_err(|error| HistoryError::parquet(&self.path, &error))?;
        self.publish(file)
    }

    fn publish(&self, mut file: File) -> Result<(), HistoryError> {
        let Some(partial) = &self.partial else {
            return storage::put(&mut file, &self.path);
        };
        file.sync_all()
            .and_then(|()| fs::rename(partial, &self.path))
            .map_err(|error| HistoryError::io(&self.path, error))
    }
}

/// The file that is written to, and its name if it has one.
fn begin(path: &Path) -> Result<(File, Option<PathBuf>), HistoryError> {
    let failed = |error| HistoryError::io(path, error);
    if storage::is_remote(path) {
        storage::check_reachable(path)?;
        return Ok((tempfile::tempfile().map_err(failed)?, None));
    }
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    let file = File::create(&partial).map_err(failed)?;
    Ok((file, Some(partial)))
}

/// An unfinished file leaves nothing behind.
impl Drop for TableWriter {
    fn drop(&mut self) {
        if let (Some(_), Some(partial)) = (&self.writer, &self.partial) {
            let _ = fs::remove_file(partial);
        }
    }
}
