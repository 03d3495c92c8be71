//! Deleting what a file says of one entity.

use std::{path::Path, sync::Arc};

use arrow::{
    array::{ArrayRef, AsArray, BooleanArray, StringArray},
    compute::{cast, filter},
    datatypes::{DataType, Field, Schema, SchemaRef},
    error::ArrowError,
};
use foreshadow_types::EntityId;

use crate::{
    HistoryError,
    file::{Batch, HistoryFile},
    schema::{APPLICATION_ID, ENTITY_ID, USER_ID},
    write::TableWriter,
};

/// The columns that name entities.
const NAMING: [&str; 3] = [ENTITY_ID, USER_ID, APPLICATION_ID];

/// Deletes an entity from a file: the rows of its usage go; its requests stay, as demand of nobody.
/// The file is replaced in one step, and left as it is where it says nothing of the entity. Gives
/// the number of rows that did.
///
/// # Errors
/// [`HistoryError`] if the file cannot be read or written.
pub fn erase_entity(path: &Path, entity: &EntityId) -> Result<u64, HistoryError> {
    let file = HistoryFile::open(path)?;
    let schema = with_plain_names(file.schema());
    let columns: Vec<&str> = schema
        .fields()
        .iter()
        .map(|field| field.name().as_str())
        .collect();
    let mut found = 0;
    for batch in file.batches(&NAMING)? {
        found += rows_of(&batch?, entity)?;
    }
    if found == 0 {
        return Ok(0);
    }
    let mut writer = TableWriter::create(path, schema.clone())?;
    for batch in file.batches(&columns)? {
        writer.write(without(&batch?, entity, &schema)?)?;
    }
    writer.finish()?;
    Ok(found)
}

/// Names become plain text, in which single ones can be left out.
fn with_plain_names(schema: &Schema) -> SchemaRef {
    let fields = schema.fields().iter().map(|field| {
        if NAMING.contains(&field.name().as_str()) {
            Field::new(field.name(), DataType::Utf8, true)
        } else {
            field.as_ref().clone()
        }
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// The names of a column; `None` if the file has none such.
fn names(batch: &Batch, column: &str) -> Result<Option<StringArray>, HistoryError> {
    let Ok(array) = batch.column(column) else {
        return Ok(None);
    };
    let text = cast(array, &DataType::Utf8).map_err(|error| failed(batch, &error))?;
    Ok(Some(text.as_string::<i32>().clone()))
}

/// How many rows name an entity.
fn rows_of(batch: &Batch, entity: &EntityId) -> Result<u64, HistoryError> {
    let mut rows = vec![false; batch.rows()];
    for column in NAMING {
        for (row, name) in rows.iter_mut().zip(names(batch, column)?.iter().flatten()) {
            *row |= name == Some(entity.as_str());
        }
    }
    Ok(rows.iter().filter(|row| **row).count() as u64)
}

/// The columns of a batch without an entity.
fn without(
    batch: &Batch,
    entity: &EntityId,
    schema: &SchemaRef,
) -> Result<Vec<ArrayRef>, HistoryError> {
    let others = names(batch, ENTITY_ID)?.map(|names| {
        let others = names.iter().map(|name| Some(name != Some(entity.as_str())));
        others.collect::<BooleanArray>()
    });
    let mut columns = Vec::new();
    for field in schema.fields() {
        let column = field.name().as_str();
        let array = if NAMING.contains(&column) {
            let kept = names(batch, column)?;
            let kept = kept.iter().flatten();
            let kept = kept.map(|name| name.filter(|name| *name != entity.as_str()));
            Arc::new(kept.collect::<StringArray>())
        } else {
            batch.column(column)?.clone()
        };
        columns.push(match &others {
            Some(others) => filter(&array, others).map_err(|error| failed(batch, &error))?,
            None => array,
        });
    }
    Ok(columns)
}

fn failed(batch: &Batch, error: &ArrowError) -> HistoryError {
    HistoryError::parquet(batch.path(), error)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use foreshadow_types::{PoolName, Timestamp, UserId};

    use super::*;
    use crate::{HistoryPaths, RequestReader, RequestRecord, RequestWriter, UsageWriter};

    fn ada() -> EntityId {
        EntityId::new("ada").unwrap()
    }

    #[test]
    fn usage_of_the_entity_goes_and_that_of_others_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("usage.parquet");
        let mut writer = UsageWriter::create(&path, &["cpu"]).unwrap();
        for second in 0..100 {
            for (name, value) in [("ada", 1.0), ("bob", 2.0)] {
                let entity = EntityId::new(name).unwrap();
                let at = Timestamp::from_millis(second * 1000);
                writer.write(at, &entity, &[Some(value)]).unwrap();
            }
        }
        writer.finish().unwrap();
        assert_eq!(erase_entity(&path, &ada()).unwrap(), 100);
        assert_eq!(erase_entity(&path, &ada()).unwrap(), 0);
        let options = crate::PanelOptions {
            metrics: None,
            interval: Duration::from_secs(1),
            until: None,
            limits: crate::PanelLimits::Refuse { max_values: 1000 },
        };
        let panel = crate::load_panel(&HistoryPaths::expand(&[&path]).unwrap(), &options).unwrap();
        assert_eq!(panel.ids().len(), 1);
        assert_eq!(panel.series(0), [2.0; 100]);
    }

    #[test]
    fn requests_of_the_entity_stay_as_demand_of_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("requests.parquet");
        let mut writer = RequestWriter::create(&path).unwrap();
        for user in ["ada", "bob"] {
            let record = RequestRecord {
                at: Timestamp::from_millis(5),
                user: UserId::new(user).ok(),
                application: None,
                pool: PoolName::new("web").unwrap(),
                hold: Some(Duration::from_secs(3)),
                vcpus: None,
                memory: None,
                merge_key: None,
            };
            writer.write(&record).unwrap();
        }
        writer.finish().unwrap();
        assert_eq!(erase_entity(&path, &ada()).unwrap(), 1);
        let paths = HistoryPaths::expand(&[&path]).unwrap();
        let users: Vec<_> = RequestReader::open(&paths)
            .unwrap()
            .map(|record| record.unwrap().user)
            .collect();
        assert_eq!(users, [None, UserId::new("bob").ok()]);
    }
}
