//! A resource shadow as it was at a past time, made again from the history.

use std::{path::PathBuf, sync::Arc, time::Duration};

use foreshadow_history::{HistoryError, PastRequest, Span, past_requests, past_usage};
use foreshadow_shadow::{Access, Observation, ShadowSnapshot, ShadowStore, StoreLimits};
use foreshadow_types::{EntityId, Timestamp};

use super::{
    folder::{HistoryFolder, Kind, day_of},
    series::KEPT as SERIES_KEPT,
};

/// How much of the past a shadow is made of: what its means remember.
pub(super) const WINDOW: Duration = Duration::from_hours(168);
/// How long after a sample its file may be written, at the most, to be found.
const LATENESS: Duration = Duration::from_hours(24);
/// Rows that are gone through at the most; the latest days come first.
const MOST_ROWS: u64 = 64 << 20;
/// Samples and requests of the entity at the most.
const MOST_FOUND: usize = 1 << 20;
/// A file that is merged into another while it is to be opened is looked for again.
const ATTEMPTS: u32 = 3;

/// What was found of an entity.
#[derive(Default)]
struct Found {
    samples: Vec<Observation>,
    requests: Vec<PastRequest>,
    rows: u64,
}

impl HistoryFolder {
    /// The shadow of an entity at a time, of the week before it; `None` if nothing was known then.
    ///
    /// # Errors
    /// [`HistoryError`] if a file cannot be read.
    pub(crate) fn shadow_at(
        &self,
        entity: &EntityId,
        at: Timestamp,
    ) -> Result<Option<ShadowSnapshot>, HistoryError> {
        let span = Span {
            from: at - WINDOW,
            until: at + Duration::from_millis(1),
        };
        let mut attempts = 1;
        let found = loop {
            match self.find(entity, &span) {
                Err(HistoryError::Io { .. } | HistoryError::Remote { .. })
                    if attempts < ATTEMPTS =>
                {
                    attempts += 1;
                }
                found => break found?,
            }
        };
        Ok(shadow_of(entity, found, at))
    }

    /// The files that may hold what series go on from, however long the history is.
    ///
    /// # Errors
    /// [`HistoryError`] if the folders cannot be read.
    pub(crate) fn lately(&self, now: Timestamp) -> Result<Vec<PathBuf>, HistoryError> {
        let span = Span {
            from: now - SERIES_KEPT,
            until: now,
        };
        let mut files = self.latest_first(Kind::Usage, &span)?;
        files.extend(self.latest_first(Kind::Requests, &span)?);
        Ok(files)
    }

    fn find(&self, entity: &EntityId, span: &Span) -> Result<Found, HistoryError> {
        let mut found = Found::default();
        for path in self.latest_first(Kind::Usage, span)? {
            if found.is_enough() {
                break;
            }
            let (metrics, samples) = past_usage(&path, entity, span, &mut found.rows)?;
            let metrics: Vec<Arc<str>> = metrics.into_iter().map(Into::into).collect();
            found
                .samples
                .extend(samples.into_iter().map(|sample| Observation {
                    entity: entity.clone(),
                    metric: metrics[sample.metric].clone(),
                    at: sample.at,
                    value: sample.value,
                }));
        }
        // There are few of them: a budget of their own.
        found.rows = 0;
        for path in self.latest_first(Kind::Requests, span)? {
            if found.is_enough() {
                break;
            }
            let requests = past_requests(&path, entity, span, &mut found.rows)?;
            found.requests.extend(requests);
        }
        Ok(found)
    }

    /// The files that may hold rows of a span, those of the latest day first.
    pub(super) fn latest_first(
        &self,
        kind: Kind,
        span: &Span,
    ) -> Result<Vec<PathBuf>, HistoryError> {
        let (first, last) = (day_of(span.from), day_of(span.until + LATENESS));
        self.in_use(kind, |day| (&*first..=&*last).contains(&day))
    }
}

impl Found {
    fn is_enough(&self) -> bool {
        self.rows >= MOST_ROWS || self.samples.len() + self.requests.len() >= MOST_FOUND
    }
}

fn shadow_of(entity: &EntityId, mut found: Found, at: Timestamp) -> Option<ShadowSnapshot> {
    found.samples.sort_by_key(|sample| sample.at);
    found.requests.sort_by_key(|request| request.at);
    let mut store = ShadowStore::new(StoreLimits::default());
    for sample in &found.samples {
        store.observe(sample);
    }
    for PastRequest {
        at,
        user,
        application,
    } in found.requests
    {
        store.access(&Access {
            user,
            application,
            at,
        });
    }
    store.snapshot(entity, at)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use foreshadow_history::{RequestRecord, RequestWriter, UsageWriter, parquet_files};
    use foreshadow_types::{ApplicationId, PoolName, UserId};

    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    fn ada() -> EntityId {
        EntityId::new("ada").unwrap()
    }

    /// A folder in which Ada used one core on the first of March, two on the second and three on the
    /// third, each from noon for an hour.
    fn folder(dir: &Path) -> HistoryFolder {
        let folder = HistoryFolder::open(dir, &dir.join("journal")).unwrap();
        for day in 1..=3_u8 {
            let noon = at(&format!("2026-03-0{day}T12:00:00Z"));
            let path = folder.file(Kind::Usage, noon, u64::from(day)).unwrap();
            let mut writer = UsageWriter::create(&path, &["cpu_usage_cores"]).unwrap();
            for minute in 0..60 {
                let now = noon + Duration::from_mins(minute);
                for (entity, value) in [(ada(), day), (EntityId::new("bob").unwrap(), 9)] {
                    writer
                        .write(now, &entity, &[Some(f64::from(value))])
                        .unwrap();
                }
            }
            writer.finish().unwrap();
        }
        folder
    }

    #[test]
    fn a_shadow_is_what_was_known_at_its_time() {
        let dir = tempfile::tempdir().unwrap();
        let folder = folder(dir.path());
        let metric = |time: &str| {
            let shadow = folder.shadow_at(&ada(), at(time)).unwrap();
            shadow.map(|shadow| (shadow.metrics[0].latest, shadow.metrics[0].samples))
        };
        assert_eq!(
            metric("2026-03-01T11:00:00Z"),
            None,
            "before the first sample"
        );
        assert_eq!(metric("2026-03-01T12:30:00Z"), Some((1.0, 31)));
        assert_eq!(metric("2026-03-02T09:00:00Z"), Some((1.0, 60)));
        assert_eq!(metric("2026-03-02T23:00:00Z"), Some((2.0, 120)));
        assert_eq!(
            metric("2026-03-09T12:30:00Z"),
            Some((3.0, 90)),
            "of the week before"
        );
        assert_eq!(metric("2026-04-01T00:00:00Z"), None);
    }

    #[test]
    fn series_go_on_from_the_latest_days_alone() {
        let dir = tempfile::tempdir().unwrap();
        let folder = folder(dir.path());
        let days = |now: &str| {
            let files = folder.lately(at(now)).unwrap();
            files
                .iter()
                .map(|file| file.parent().unwrap().file_name().unwrap().to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            days("2026-03-04T23:00:00Z"),
            ["date=2026-03-03", "date=2026-03-02"]
        );
        assert_eq!(days("2026-03-05T23:00:00Z"), ["date=2026-03-03"]);
        assert!(days("2026-04-01T00:00:00Z").is_empty());
    }

    #[test]
    fn what_others_wrote_before_is_read_and_people_are_deleted_from_it() {
        let dir = tempfile::tempdir().unwrap();
        let (other, own) = (dir.path().join("replica-a"), dir.path().join("replica-b"));
        folder(&other);
        let write = |path: &Path| {
            let mut writer = RequestWriter::create(path).unwrap();
            writer
                .write(&record("2026-03-01T12:00:00Z", "web"))
                .unwrap();
            writer.finish().unwrap();
        };
        let theirs = HistoryFolder::open(&other, &other.join("journal")).unwrap();
        let noon = at("2026-03-01T12:00:00Z");
        write(&theirs.file(Kind::Requests, noon, 1).unwrap());
        write(&theirs.open_requests());
        let never = dir.path().join("replica-c");
        let folder = HistoryFolder::open(&own, &own.join("journal")).unwrap();
        let folder = folder.beside(vec![other, never]);
        let shadow = || {
            folder
                .shadow_at(&ada(), at("2026-03-02T23:00:00Z"))
                .unwrap()
        };
        assert_eq!(shadow().unwrap().metrics[0].samples, 120);
        assert_eq!(folder.filled().unwrap().len(), 2);
        assert_eq!(
            folder.past_requests().unwrap().len(),
            1,
            "not what is open there"
        );
        assert_eq!(folder.erase(&ada()).unwrap(), 3 * 60 + 2);
        assert!(shadow().is_none());
    }

    fn record(time: &str, application: &str) -> RequestRecord {
        RequestRecord {
            at: at(time),
            user: UserId::new("ada").ok(),
            application: ApplicationId::new(application).ok(),
            pool: PoolName::new("web").unwrap(),
            hold: None,
            vcpus: None,
            memory: None,
            merge_key: None,
        }
    }

    #[test]
    fn a_file_that_a_crash_left_beside_its_successor_is_not_read_twice() {
        let dir = tempfile::tempdir().unwrap();
        let folder = folder(dir.path());
        let files = parquet_files(folder.usage()).unwrap();
        let name = files[0].file_name().unwrap().to_str().unwrap();
        let merged = name.replace("-1.parquet", "-1-1.parquet");
        let coarse = name.replace("-1.parquet", "_300000-1-1.parquet");
        std::fs::copy(&files[0], files[0].with_file_name(coarse)).unwrap();
        std::fs::rename(&files[0], files[0].with_file_name(merged)).unwrap();
        let shadow = folder
            .shadow_at(&ada(), at("2026-03-01T23:00:00Z"))
            .unwrap();
        assert_eq!(shadow.unwrap().metrics[0].samples, 60);
    }

    #[test]
    fn accesses_and_dependencies_come_from_the_requests() {
        let dir = tempfile::tempdir().unwrap();
        let folder = HistoryFolder::open(dir.path(), &dir.path().join("journal")).unwrap();
        let noon = at("2026-03-01T12:00:00Z");
        let record = |minute, application: &str| RequestRecord {
            at: noon + Duration::from_mins(minute),
            ..record("2026-03-01T12:00:00Z", application)
        };
        let write = |path: &Path, records: &[RequestRecord]| {
            let mut writer = RequestWriter::create(path).unwrap();
            for record in records {
                writer.write(record).unwrap();
            }
            writer.finish().unwrap();
        };
        let ended = folder.file(Kind::Requests, noon, 1).unwrap();
        write(
            &ended,
            &[record(0, "web"), record(1, "web"), record(2, "db")],
        );
        write(
            &folder.open_requests(),
            &[record(3, "web"), record(30, "db")],
        );
        let shadow = folder
            .shadow_at(&ada(), noon + Duration::from_mins(10))
            .unwrap();
        let shadow = shadow.unwrap();
        assert_eq!(shadow.access.unwrap().total, 4);
        let first = &shadow.dependencies[0];
        assert_eq!(
            (first.entity.as_str(), shadow.dependencies.len()),
            ("web", 2)
        );
        assert!((first.share - 0.75).abs() < 0.01, "{}", first.share);
    }
}
