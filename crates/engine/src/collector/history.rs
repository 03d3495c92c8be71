//! Rows for the history, written in files of their own.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use foreshadow_history::{HistoryError, RequestRecord, RequestWriter, UsageWriter};
use foreshadow_shadow::Observation;
use foreshadow_types::{EntityId, Timestamp};

use crate::{clock::Stopwatch, demand::RequestSeen, numbers::Numbers};

/// How long rows wait at most.
const WRITE_EVERY: Duration = Duration::from_mins(1);

/// How many rows wait at most.
const MOST_ROWS: usize = 200_000;

/// The folders of the history: one for each schema.
#[derive(Debug, Clone)]
pub(crate) struct HistoryFolder {
    usage: PathBuf,
    requests: PathBuf,
}

impl HistoryFolder {
    /// Makes the folders.
    pub(crate) fn open(dir: &Path) -> std::io::Result<Self> {
        let folder = Self {
            usage: dir.join("usage"),
            requests: dir.join("requests"),
        };
        fs::create_dir_all(&folder.usage)?;
        fs::create_dir_all(&folder.requests)?;
        Ok(folder)
    }

    pub(crate) fn usage(&self) -> &Path {
        &self.usage
    }

    pub(crate) fn requests(&self) -> &Path {
        &self.requests
    }
}

/// Whether there is any file in a folder.
pub(crate) fn has_files(folder: &Path) -> bool {
    let is_history = |path: PathBuf| path.extension().is_some_and(|end| end == "parquet");
    fs::read_dir(folder)
        .is_ok_and(|entries| entries.flatten().any(|entry| is_history(entry.path())))
}

/// Rows that wait to be written.
#[derive(Debug)]
pub(super) struct HistoryBuffer {
    folder: HistoryFolder,
    rows: Rows,
    begun: Option<Stopwatch>,
    /// Tells files of the same millisecond apart.
    files: u64,
    numbers: Arc<Numbers>,
}

#[derive(Debug, Default)]
struct Rows {
    usage: Vec<Observation>,
    requests: Vec<RequestRecord>,
}

impl Rows {
    fn len(&self) -> usize {
        self.usage.len() + self.requests.len()
    }
}

impl HistoryBuffer {
    pub(super) fn new(folder: HistoryFolder, numbers: Arc<Numbers>) -> Self {
        Self {
            folder,
            rows: Rows::default(),
            begun: None,
            files: 0,
            numbers,
        }
    }

    pub(super) fn usage(&mut self, observation: Observation) {
        self.rows.usage.push(observation);
        self.begun.get_or_insert_with(Stopwatch::start);
    }

    pub(super) fn request(&mut self, seen: &RequestSeen) {
        let request = &seen.request;
        self.rows.requests.push(RequestRecord {
            at: seen.at,
            user: request.user().cloned(),
            application: request.application().cloned(),
            pool: seen.pool.clone(),
            hold: None,
            vcpus: None,
            memory: None,
        });
        self.begun.get_or_insert_with(Stopwatch::start);
    }

    pub(super) async fn write_when_due(&mut self) {
        let waited_long = self
            .begun
            .is_some_and(|begun| begun.elapsed() >= WRITE_EVERY);
        if waited_long || self.rows.len() >= MOST_ROWS {
            self.flush().await;
        }
    }

    /// Writes all rows that wait. Rows that cannot be written are lost and counted: the service
    /// goes on without its history rather than not at all.
    pub(super) async fn flush(&mut self) {
        let rows = std::mem::take(&mut self.rows);
        self.begun = None;
        let count = rows.len() as u64;
        if count == 0 {
            return;
        }
        self.files += 1;
        let name = format!(
            "{}-{}.parquet",
            self.numbers.clock.now().as_millis(),
            self.files
        );
        let folder = self.folder.clone();
        let written = tokio::task::spawn_blocking(move || write(rows, &folder, &name)).await;
        let telemetry = &self.numbers.telemetry;
        match written {
            Ok(Ok(())) => telemetry.history_rows.add(count),
            Ok(Err(error)) => {
                tracing::error!(%error, rows = count, "rows of the history are lost");
                telemetry.history_rows_lost.add(count);
            }
            Err(error) => {
                tracing::error!(%error, rows = count, "rows of the history are lost");
                telemetry.history_rows_lost.add(count);
            }
        }
    }
}

fn write(mut rows: Rows, folder: &HistoryFolder, name: &str) -> Result<(), HistoryError> {
    if !rows.requests.is_empty() {
        rows.requests.sort_by_key(|row| row.at);
        let mut writer = RequestWriter::create(&folder.requests.join(name))?;
        for row in &rows.requests {
            writer.write(row)?;
        }
        writer.finish()?;
    }
    if !rows.usage.is_empty() {
        write_usage(&rows.usage, &folder.usage.join(name))?;
    }
    Ok(())
}

/// Samples of one entity and time become one row with a column for each metric.
fn write_usage(samples: &[Observation], path: &Path) -> Result<(), HistoryError> {
    let names: BTreeSet<&Arc<str>> = samples.iter().map(|sample| &sample.metric).collect();
    let names: Vec<&Arc<str>> = names.into_iter().collect();
    let mut rows: BTreeMap<(Timestamp, &EntityId), Vec<Option<f64>>> = BTreeMap::new();
    for sample in samples {
        let row = rows.entry((sample.at, &sample.entity));
        let row = row.or_insert_with(|| vec![None; names.len()]);
        if let Ok(column) = names.binary_search(&&sample.metric) {
            row[column] = Some(sample.value);
        }
    }
    let mut writer = UsageWriter::create(path, &names)?;
    for ((at, entity), values) in rows {
        writer.write(at, entity, &values)?;
    }
    writer.finish()
}
