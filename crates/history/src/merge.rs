//! Many small files become one.

use std::{path::Path, sync::Arc};

use arrow::{
    array::{ArrayRef, new_null_array},
    compute::cast,
    datatypes::{Field, Schema, SchemaRef},
};

use crate::{
    HistoryError, HistoryKind, HistoryPaths, RequestReader, RequestWriter,
    file::{Batch, HistoryFile},
    write::TableWriter,
};

/// Writes all rows of some files of one kind into one; `out` appears when it is whole, and the
/// others are left as they are. Requests are put into the order of their time; usage stays in the
/// order of the files, with a column for each metric of any. Memory does not grow with
/// their length, but all files are open at once.
///
/// # Errors
/// [`HistoryError`] if a file cannot be read or written.
pub fn merge_files(files: &HistoryPaths, out: &Path) -> Result<(), HistoryError> {
    let Some(first) = files.files().first() else {
        return Ok(());
    };
    match HistoryKind::of_file(first)? {
        HistoryKind::Requests => {
            let mut writer = RequestWriter::create(out)?;
            for record in RequestReader::open(files)? {
                writer.write(&record?)?;
            }
            writer.finish()
        }
        HistoryKind::Usage { .. } => merge_usage(files, out),
    }
}

fn merge_usage(files: &HistoryPaths, out: &Path) -> Result<(), HistoryError> {
    let opened = files.files().iter().map(|path| HistoryFile::open(path));
    let opened: Vec<HistoryFile> = opened.collect::<Result<_, _>>()?;
    let mut fields: Vec<Arc<Field>> = Vec::new();
    for file in &opened {
        for field in file.schema().fields() {
            if !fields.iter().any(|known| known.name() == field.name()) {
                fields.push(field.clone());
            }
        }
    }
    let schema: SchemaRef = Arc::new(Schema::new(fields));
    let columns: Vec<&str> = schema
        .fields()
        .iter()
        .map(|field| field.name().as_str())
        .collect();
    let mut writer = TableWriter::create(out, schema.clone())?;
    for file in &opened {
        for batch in file.batches(&columns)? {
            writer.write(aligned(&batch?, &schema)?)?;
        }
    }
    writer.finish()
}

/// The columns of a batch in the order of a schema; those it has not are empty.
fn aligned(batch: &Batch, schema: &SchemaRef) -> Result<Vec<ArrayRef>, HistoryError> {
    let column = |field: &Arc<Field>| match batch.column(field.name()) {
        Ok(array) => cast(array, field.data_type())
            .map_err(|error| HistoryError::parquet(batch.path(), &error)),
        Err(_) => Ok(new_null_array(field.data_type(), batch.rows())),
    };
    schema.fields().iter().map(column).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use foreshadow_types::{EntityId, Timestamp};

    use super::*;
    use crate::{PanelLimits, PanelOptions, UsageWriter, load_panel};

    #[test]
    fn files_with_other_metrics_become_one_with_all() {
        let folder = tempfile::tempdir().unwrap();
        let entity = EntityId::new("ada").unwrap();
        for (number, metric) in ["cpu", "memory"].into_iter().enumerate() {
            let path = folder.path().join(format!("{number}.parquet"));
            let mut writer = UsageWriter::create(&path, &[metric]).unwrap();
            for second in 0..10 {
                let at = Timestamp::from_millis((number as i64 * 10 + second) * 1000);
                writer.write(at, &entity, &[Some(1.0)]).unwrap();
            }
            writer.finish().unwrap();
        }
        let files = HistoryPaths::expand(&[folder.path()]).unwrap();
        let out = folder.path().join("merged");
        merge_files(&files, &out).unwrap();
        let options = PanelOptions {
            metrics: None,
            interval: Duration::from_secs(1),
            until: None,
            limits: PanelLimits::Refuse { max_values: 1000 },
        };
        let panel = load_panel(&HistoryPaths::expand(&[&out]).unwrap(), &options).unwrap();
        let values = |series: usize| {
            let values = panel.series(series).iter();
            values.filter(|value| value.is_finite()).count()
        };
        assert_eq!((panel.ids().len(), panel.bins()), (2, 20));
        assert_eq!((values(0), values(1)), (10, 10));
    }
}
