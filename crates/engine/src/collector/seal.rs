//! Rows of the journal become Parquet files, each row once: a file's name ends with the last segment
//! that it holds, and segments up to the highest such number are not read again.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use foldhash::fast::RandomState;
use foreshadow_history::{
    HistoryError, RequestRecord, RequestWriter, UsageWriter, read_segment, remove_file,
    remove_segment, segments,
};
use foreshadow_shadow::Observation;
use foreshadow_types::{EntityId, Timestamp};

use super::{
    folder::{HistoryFolder, Kind},
    rows::{decode_requests, decode_usage},
};

/// Rows of ended segments that wait for their Parquet file.
#[derive(Debug)]
pub(super) struct Due<Row> {
    /// The last of the segments.
    last: u64,
    pub(super) rows: Vec<Row>,
    /// The files of earlier attempts: one may be there although the answer said otherwise.
    tried: Vec<PathBuf>,
}

impl<Row> Due<Row> {
    /// The rows of one segment.
    pub(super) fn of(segment: u64, rows: Vec<Row>) -> Self {
        Self {
            last: segment,
            rows,
            tried: Vec::new(),
        }
    }

    /// Adds a later segment.
    pub(super) fn merge(due: &mut Option<Self>, later: Self) {
        match due {
            Some(due) => {
                due.last = due.last.max(later.last);
                due.tried.extend(later.tried);
                due.rows.extend(later.rows);
            }
            None => *due = Some(later),
        }
    }

    /// Adds an earlier segment.
    pub(super) fn put_before(due: &mut Option<Self>, earlier: Option<Self>) {
        let Some(earlier) = earlier else {
            return;
        };
        let later = due.replace(earlier);
        if let Some(later) = later {
            Self::merge(due, later);
        }
    }
}

/// Why rows could not be sealed; they stay in the journal.
#[derive(Debug, thiserror::Error)]
pub(super) enum SealError {
    #[error(transparent)]
    History(#[from] HistoryError),
    #[error("the journal: {0}")]
    Io(#[from] io::Error),
    #[error("the sealing broke off")]
    Panicked,
}

pub(super) fn seal_usage(
    folder: &HistoryFolder,
    due: &mut Due<Observation>,
    now: Timestamp,
) -> Result<(), SealError> {
    seal(folder, Kind::Usage, due, now, write_usage)
}

pub(super) fn seal_requests(
    folder: &HistoryFolder,
    due: &mut Due<RequestRecord>,
    now: Timestamp,
) -> Result<(), SealError> {
    seal(folder, Kind::Requests, due, now, write_requests)
}

fn seal<Row>(
    folder: &HistoryFolder,
    kind: Kind,
    due: &mut Due<Row>,
    now: Timestamp,
    write: impl FnOnce(&[Row], &Path) -> Result<(), HistoryError>,
) -> Result<(), SealError> {
    discard_tried(due)?;
    if !due.rows.is_empty() {
        let path = folder.file(kind, now, due.last)?;
        due.tried.push(path.clone());
        write(&due.rows, &path)?;
    }
    forget_sealed(folder, kind, due.last);
    Ok(())
}

/// Removes what an attempt that was told to have failed has written all the same, such as an object whose
/// store did not answer in time. The rows are about to be written again.
fn discard_tried<Row>(due: &mut Due<Row>) -> Result<(), HistoryError> {
    for path in &due.tried {
        remove_file(path)?;
    }
    due.tried.clear();
    Ok(())
}

/// Seals what an earlier run has left in the journal; gives the number of the next segment.
pub(super) fn seal_left(
    folder: &HistoryFolder,
    kind: Kind,
    now: Timestamp,
) -> Result<u64, SealError> {
    let sealed = folder.sealed(kind)?;
    let mut last = sealed;
    for segment in segments(folder.journal(), kind.name())? {
        last = last.max(segment.number);
        if segment.number > sealed {
            seal_segment(folder, kind, &segment, now)?;
        }
    }
    forget(folder, kind, last)?;
    Ok(last + 1)
}

fn seal_segment(
    folder: &HistoryFolder,
    kind: Kind,
    segment: &foreshadow_history::Segment,
    now: Timestamp,
) -> Result<(), SealError> {
    let number = segment.number;
    match kind {
        Kind::Usage => {
            let mut rows = Vec::new();
            read_segment(&segment.path, |bytes| decode_usage(bytes, &mut rows))?;
            seal_usage(folder, &mut Due::of(number, rows), now)
        }
        Kind::Requests => {
            let mut rows = Vec::new();
            read_segment(&segment.path, |bytes| decode_requests(bytes, &mut rows))?;
            seal_requests(folder, &mut Due::of(number, rows), now)
        }
    }
}

/// The rows are in their file, so a segment that cannot be removed is left to the next start.
fn forget_sealed(folder: &HistoryFolder, kind: Kind, through: u64) {
    if let Err(error) = forget(folder, kind, through) {
        tracing::warn!(%error, "segments of the journal stay");
    }
}

fn forget(folder: &HistoryFolder, kind: Kind, through: u64) -> io::Result<()> {
    for segment in segments(folder.journal(), kind.name())? {
        if segment.number <= through {
            remove_segment(folder.journal(), kind.name(), segment.number)?;
        }
    }
    Ok(())
}

/// Writes requests in the order of their time.
pub(super) fn write_requests(rows: &[RequestRecord], path: &Path) -> Result<(), HistoryError> {
    let mut ordered: Vec<&RequestRecord> = rows.iter().collect();
    ordered.sort_by_key(|row| row.at);
    let mut writer = RequestWriter::create(path)?;
    for row in ordered {
        writer.write(row)?;
    }
    writer.finish()
}

/// Samples of one entity and time become one row with a column for each metric; of several of one
/// metric the last counts.
fn write_usage(samples: &[Observation], path: &Path) -> Result<(), HistoryError> {
    let mut columns: BTreeMap<&Arc<str>, usize> = BTreeMap::new();
    for sample in samples {
        columns.entry(&sample.metric).or_default();
    }
    for (column, place) in columns.values_mut().enumerate() {
        *place = column;
    }
    let names: Vec<&Arc<str>> = columns.keys().copied().collect();
    let mut writer = UsageWriter::create(path, &names)?;
    let mut values = vec![None; names.len()];
    let mut row: Option<(Timestamp, &EntityId)> = None;
    for index in in_order(samples) {
        let sample = &samples[index as usize];
        let here = (sample.at, &sample.entity);
        if let Some((at, entity)) = row
            && (at, entity) != here
        {
            writer.write(at, entity, &values)?;
            values.fill(None);
        }
        row = Some(here);
        if let Some(column) = columns.get(&sample.metric) {
            values[*column] = Some(sample.value);
        }
    }
    if let Some((at, entity)) = row {
        writer.write(at, entity, &values)?;
    }
    writer.finish()
}

/// The places of samples in the order of their time and of their entity's name; those of one time and
/// entity in the order they came in. Names are put into order once each, and not once for each sample.
fn in_order(samples: &[Observation]) -> impl Iterator<Item = u32> {
    let mut numbers: HashMap<&str, u32, RandomState> = HashMap::default();
    let mut names: Vec<&str> = Vec::new();
    let numbered: Vec<u32> = samples
        .iter()
        .map(|sample| {
            *numbers.entry(sample.entity.as_str()).or_insert_with(|| {
                names.push(sample.entity.as_str());
                (names.len() - 1) as u32
            })
        })
        .collect();
    let mut by_name: Vec<u32> = (0..names.len() as u32).collect();
    by_name.sort_unstable_by_key(|number| names[*number as usize]);
    let mut ranks = vec![0_u32; names.len()];
    for (rank, number) in (0..).zip(by_name) {
        ranks[number as usize] = rank;
    }
    let keyed = samples.iter().zip(numbered).zip(0_u32..);
    let mut order: Vec<(Timestamp, u32, u32)> = keyed
        .map(|((sample, number), place)| (sample.at, ranks[number as usize], place))
        .collect();
    order.sort_unstable();
    order.into_iter().map(|(.., place)| place)
}

#[cfg(test)]
mod tests {
    use foreshadow_history::parquet_files;

    use super::*;

    fn sample(at: i64, entity: &str) -> Observation {
        Observation {
            entity: EntityId::new(entity).unwrap(),
            metric: "cpu".into(),
            at: Timestamp::from_millis(at),
            value: 1.0,
        }
    }

    #[test]
    fn what_a_failed_attempt_has_written_all_the_same_is_not_there_twice() {
        let dir = tempfile::tempdir().unwrap();
        let folder = HistoryFolder::open(dir.path(), &dir.path().join("journal")).unwrap();
        let seal = |due: &mut Due<Observation>, at| {
            seal_usage(&folder, due, Timestamp::from_millis(at)).unwrap();
        };
        let files = || parquet_files(folder.usage()).unwrap().len();
        seal(&mut Due::of(1, vec![sample(1, "ada")]), 1);
        // One that somebody put there is none of ours, whatever its name ends with.
        let others = folder.usage().join("import-9.parquet");
        std::fs::write(&others, "PAR1").unwrap();
        let mut second = Due::of(2, vec![sample(2, "ada")]);
        // Its file is there, but the answer was lost.
        seal(&mut second, 2);
        assert_eq!(files(), 3);
        let mut due = Some(Due::of(3, vec![sample(3, "ada")]));
        Due::put_before(&mut due, Some(second));
        let mut due = due.unwrap();
        assert_eq!((due.last, due.rows.len()), (3, 2));
        seal(&mut due, 3);
        assert_eq!(files(), 3);
        assert!(others.exists());
        assert_eq!(folder.sealed(Kind::Usage).unwrap(), 3, "nor is its number");
    }

    #[test]
    fn samples_are_ordered_by_time_then_name_and_equals_stay_as_they_came() {
        let samples = [(2, "b"), (1, "z"), (2, "a"), (1, "z"), (2, "b"), (1, "m")]
            .map(|(at, entity)| sample(at, entity));
        let order: Vec<u32> = in_order(&samples).collect();
        assert_eq!(order, [5, 1, 3, 2, 0, 4]);
    }
}
