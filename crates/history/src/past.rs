//! What the history tells of one entity in a span of time.

use std::{path::Path, sync::Arc};

use arrow::array::{Array as _, StringArray};
use foreshadow_types::{ApplicationId, EntityId, Timestamp, UserId};

use crate::{
    HistoryError, HistoryKind,
    file::{Batch, HistoryFile},
    schema::{APPLICATION_ID, ENTITY_ID, POOL, TIMESTAMP, USER_ID},
};

/// A span of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Its first moment.
    pub from: Timestamp,
    /// The first moment after it.
    pub until: Timestamp,
}

impl Span {
    /// Whether a time lies in it.
    pub fn holds(&self, at: Timestamp) -> bool {
        self.from <= at && at < self.until
    }
}

/// A value of one metric.
#[derive(Debug, Clone, PartialEq)]
pub struct PastSample {
    /// When.
    pub at: Timestamp,
    /// Which metric: its place among those told beside the samples.
    pub metric: usize,
    /// Its value, or the mean where the history was made coarser.
    pub value: f64,
}

/// Who asked for what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastRequest {
    /// When.
    pub at: Timestamp,
    /// Who asked.
    pub user: UserId,
    /// What for.
    pub application: Option<ApplicationId>,
}

/// The metrics of a usage file and what it tells of an entity, in the order of the file. Only the parts
/// of the file are read that may have rows of the span; `rows` grows by those read.
///
/// # Errors
/// [`HistoryError`] if the file cannot be read or is none of usage.
pub fn past_usage(
    path: &Path,
    entity: &EntityId,
    span: &Span,
    rows: &mut u64,
) -> Result<(Vec<String>, Vec<PastSample>), HistoryError> {
    let UsageFile { file, metrics } = UsageFile::open(path)?;
    let mut samples = Vec::new();
    for batch in file.batches_within(&columns_of(&metrics), span)? {
        let batch = batch?;
        *rows += batch.rows() as u64;
        let named = rows_naming(&batch.texts(ENTITY_ID)?, entity.as_str());
        if named.is_empty() {
            continue;
        }
        let times = batch.times(TIMESTAMP)?;
        for (metric, name) in metrics.iter().enumerate() {
            let values = batch.numbers(name)?;
            let there = named.iter().copied().filter(|row| {
                span.holds(times[*row]) && values.is_valid(*row) && values.value(*row).is_finite()
            });
            samples.extend(there.map(|row| PastSample {
                at: times[row],
                metric,
                value: values.value(row),
            }));
        }
    }
    Ok((metrics, samples))
}

/// The earliest time in a file of ours, where its statistics tell.
///
/// # Errors
/// [`HistoryError`] if the file cannot be read.
pub fn begin_of(path: &Path) -> Result<Option<Timestamp>, HistoryError> {
    Ok(HistoryFile::open(path)?.begin())
}

/// A usage file that is open: it is fetched once, however often it is asked.
#[derive(Debug)]
pub struct UsageFile {
    file: HistoryFile,
    metrics: Vec<String>,
}

impl UsageFile {
    /// Opens a file.
    ///
    /// # Errors
    /// [`HistoryError`] if it cannot be read or is none of usage.
    pub fn open(path: &Path) -> Result<Self, HistoryError> {
        let file = HistoryFile::open(path)?;
        match HistoryKind::of_schema(path, file.schema())? {
            HistoryKind::Usage { metrics } => Ok(Self { file, metrics }),
            HistoryKind::Requests => Err(other_kind(path, ENTITY_ID)),
        }
    }

    /// How many rows it has, by what it says at its end.
    pub fn rows(&self) -> u64 {
        self.file.rows()
    }

    /// Hands over every sample of a span, in the order of the file: the entity, the metric, the time and
    /// the value.
    ///
    /// # Errors
    /// [`HistoryError`] if the file is damaged.
    pub fn each_sample(
        &self,
        span: &Span,
        mut take: impl FnMut(&EntityId, &Arc<str>, Timestamp, f64),
    ) -> Result<(), HistoryError> {
        let names: Vec<Arc<str>> = self
            .metrics
            .iter()
            .map(|name| name.as_str().into())
            .collect();
        for batch in self.file.batches_within(&columns_of(&self.metrics), span)? {
            let batch = batch?;
            let (times, entities) = (batch.times(TIMESTAMP)?, batch.texts(ENTITY_ID)?);
            let values = self.metrics.iter().map(|name| batch.numbers(name));
            let values = values.collect::<Result<Vec<_>, _>>()?;
            for row in (0..batch.rows()).filter(|row| span.holds(times[*row])) {
                let Ok(entity) = EntityId::new(entities.value(row)) else {
                    continue;
                };
                for (name, column) in names.iter().zip(&values) {
                    if column.is_valid(row) && column.value(row).is_finite() {
                        take(&entity, name, times[row], column.value(row));
                    }
                }
            }
        }
        Ok(())
    }
}

fn columns_of(metrics: &[String]) -> Vec<&str> {
    let metrics = metrics.iter().map(String::as_str);
    [TIMESTAMP, ENTITY_ID].into_iter().chain(metrics).collect()
}

/// The requests of a file that name an entity as their user or application, in the order of the file.
/// `rows` grows by those read.
///
/// # Errors
/// [`HistoryError`] if the file cannot be read or is none of requests.
pub fn past_requests(
    path: &Path,
    entity: &EntityId,
    span: &Span,
    rows: &mut u64,
) -> Result<Vec<PastRequest>, HistoryError> {
    let file = HistoryFile::open(path)?;
    if HistoryKind::of_schema(path, file.schema())? != HistoryKind::Requests {
        return Err(other_kind(path, POOL));
    }
    let mut requests = Vec::new();
    if !file.has(USER_ID) {
        return Ok(requests);
    }
    for batch in file.batches_within(&[TIMESTAMP, USER_ID, APPLICATION_ID], span)? {
        let batch = batch?;
        *rows += batch.rows() as u64;
        requests.extend(requests_of(&batch, entity, span)?);
    }
    Ok(requests)
}

fn requests_of(
    batch: &Batch,
    entity: &EntityId,
    span: &Span,
) -> Result<Vec<PastRequest>, HistoryError> {
    let users = batch.texts(USER_ID)?;
    let applications = batch.column(APPLICATION_ID).is_ok();
    let applications = applications
        .then(|| batch.texts(APPLICATION_ID))
        .transpose()?;
    let mut named = rows_naming(&users, entity.as_str());
    if let Some(applications) = &applications {
        named.extend(rows_naming(applications, entity.as_str()));
        named.sort_unstable();
        named.dedup();
    }
    if named.is_empty() {
        return Ok(Vec::new());
    }
    let times = batch.times(TIMESTAMP)?;
    let text = |column: &StringArray, row: usize| {
        column.is_valid(row).then(|| column.value(row).to_owned())
    };
    let request = |row: usize| {
        let application = applications.as_ref().and_then(|column| text(column, row));
        Some(PastRequest {
            at: times[row],
            user: UserId::new(&text(&users, row)?).ok()?,
            application: application.and_then(|name| ApplicationId::new(&name).ok()),
        })
    };
    let within = named.into_iter().filter(|row| span.holds(times[*row]));
    Ok(within.filter_map(request).collect())
}

fn rows_naming(names: &StringArray, name: &str) -> Vec<usize> {
    let rows = names.iter().enumerate();
    rows.filter(|(_, one)| *one == Some(name))
        .map(|(row, _)| row)
        .collect()
}

fn other_kind(path: &Path, column: &str) -> HistoryError {
    HistoryError::MissingColumn {
        path: path.to_owned(),
        column: column.to_owned(),
        found: "those of the other kind of history".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use foreshadow_types::PoolName;

    use super::*;
    use crate::{RequestRecord, RequestWriter, UsageWriter};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_millis(second * 1_000)
    }

    fn ada() -> EntityId {
        EntityId::new("ada").unwrap()
    }

    #[test]
    fn the_samples_of_one_entity_are_found_without_reading_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("usage.parquet");
        let mut writer = UsageWriter::create(&path, &["cpu", "memory"]).unwrap();
        for second in 0..300_000 {
            let name = if second % 1_000 == 0 { "ada" } else { "bob" };
            let entity = EntityId::new(name).unwrap();
            let values = [Some(second as f64), (second % 2_000 == 0).then_some(1.0)];
            writer.write(at(second), &entity, &values).unwrap();
        }
        writer.finish().unwrap();
        let span = Span {
            from: at(290_000),
            until: at(293_000),
        };
        let mut rows = 0;
        let (metrics, samples) = past_usage(&path, &ada(), &span, &mut rows).unwrap();
        assert_eq!(metrics, ["cpu", "memory"]);
        let of = |metric| {
            let samples = samples.iter().filter(move |one| one.metric == metric);
            samples.map(|one| one.at).collect::<Vec<_>>()
        };
        assert_eq!(of(0), [at(290_000), at(291_000), at(292_000)]);
        assert_eq!(of(1), [at(290_000), at(292_000)]);
        assert!(rows < 50_000, "{rows} of 300000 were read");
        assert!(past_requests(&path, &ada(), &span, &mut rows).is_err());
    }

    #[test]
    fn requests_name_an_entity_as_user_or_application() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("requests.parquet");
        let mut writer = RequestWriter::create(&path).unwrap();
        for (second, user, application) in [
            (1, Some("ada"), Some("web")),
            (2, Some("bob"), Some("ada")),
            (3, Some("bob"), None),
            (4, None, Some("ada")),
            (5, Some("ada"), None),
        ] {
            let record = RequestRecord {
                at: at(second),
                user: user.map(|name| UserId::new(name).unwrap()),
                application: application.map(|name| ApplicationId::new(name).unwrap()),
                pool: PoolName::new("web").unwrap(),
                hold: None,
                vcpus: None,
                memory: None,
                merge_key: None,
            };
            writer.write(&record).unwrap();
        }
        writer.finish().unwrap();
        let span = Span {
            from: at(1),
            until: at(5),
        };
        let requests = past_requests(&path, &ada(), &span, &mut 0).unwrap();
        let seconds: Vec<_> = requests
            .iter()
            .map(|one| one.at.as_millis() / 1_000)
            .collect();
        assert_eq!(seconds, [1, 2], "without a user there is no access");
        assert_eq!(requests[0].application.as_ref().unwrap().as_str(), "web");
    }
}
