//! The small files of a past day become one, and days that are too old go.
//!
//! A merged file's name ends with the numbers of the first and the last segment that it holds. So
//! one that a crash has left beside what it was merged from tells which those are.

use std::{fs, path::PathBuf, time::Duration};

use foreshadow_history::{HistoryError, HistoryPaths, merge_files};
use foreshadow_types::Timestamp;

use super::{
    folder::{HistoryFolder, Kind, number_of, parquet_files},
    seal::SealError,
};

/// A day with fewer files is left as it is.
const LEAST_FILES: usize = 2;
/// Files merged at a time, all of which are open then.
const MOST_AT_ONCE: usize = 64;

impl HistoryFolder {
    /// Merges the files of all days before that of `now`, and removes days that ended longer than
    /// `keep` ago. How many files there are fewer.
    pub(super) fn compact(
        &self,
        now: Timestamp,
        keep: Option<Duration>,
    ) -> Result<usize, SealError> {
        let today = day_of(now);
        let oldest = keep.map(|keep| day_of(now - keep));
        let mut fewer = 0;
        for kind in [Kind::Usage, Kind::Requests] {
            for entry in fs::read_dir(self.of(kind))? {
                let folder = entry?.path();
                let name = folder.file_name().and_then(|name| name.to_str());
                let Some(day) = name.and_then(|name| name.strip_prefix("date=")) else {
                    continue;
                };
                let files = parquet_files(&folder);
                if oldest.as_deref().is_some_and(|oldest| day < oldest) {
                    fs::remove_dir_all(&folder)?;
                    fewer += files.len();
                } else if day < today.as_str() {
                    fewer += merge_day(files)?;
                }
            }
        }
        Ok(fewer)
    }
}

fn day_of(at: Timestamp) -> String {
    at.to_string().chars().take(10).collect()
}

fn merge_day(mut files: Vec<PathBuf>) -> Result<usize, SealError> {
    let before = files.len();
    files.sort_by_key(|path| number_of(path));
    remove_merged(&mut files)?;
    while files.len() >= LEAST_FILES {
        let mut fewer = Vec::new();
        for some in files.chunks(MOST_AT_ONCE) {
            fewer.push(merge(some)?);
            for path in some.iter().filter(|path| Some(*path) != fewer.last()) {
                fs::remove_file(path)?;
            }
        }
        files = fewer;
    }
    Ok(before - files.len())
}

/// Writes neighbouring files as one and gives its path; a single file stays as it is.
fn merge(files: &[PathBuf]) -> Result<PathBuf, HistoryError> {
    let (Some(first), Some(last)) = (files.first(), files.last()) else {
        return Ok(PathBuf::new());
    };
    if first == last {
        return Ok(last.clone());
    }
    let begin = range_of(first).map_or(0, |(begin, _)| begin);
    let end = number_of(last).unwrap_or(begin);
    let at = last.file_stem().and_then(|stem| stem.to_str());
    let at = at.and_then(|stem| stem.split('-').next()).unwrap_or("0");
    let out = last.with_file_name(format!("{at}-{begin}-{end}.parquet"));
    merge_files(&HistoryPaths::expand(files)?, &out)?;
    Ok(out)
}

/// The segments that a merged file holds; of another, its own number twice.
fn range_of(path: &std::path::Path) -> Option<(u64, u64)> {
    let end = number_of(path)?;
    let stem = path.file_stem()?.to_str()?;
    let mut parts = stem.split('-').skip(1);
    let begin = parts.next()?.parse().ok()?;
    Some((begin, end))
}

/// Removes what a merged file holds already.
fn remove_merged(files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    let merged: Vec<(u64, u64)> = files
        .iter()
        .filter_map(|path| range_of(path))
        .filter(|(begin, end)| begin < end)
        .collect();
    let covered = |path: &PathBuf| {
        range_of(path).is_some_and(|own| {
            let within = |all: &(u64, u64)| *all != own && all.0 <= own.0 && own.1 <= all.1;
            merged.iter().any(within)
        })
    };
    let (gone, kept): (Vec<PathBuf>, Vec<PathBuf>) = files.drain(..).partition(covered);
    *files = kept;
    gone.iter().try_for_each(fs::remove_file)
}

#[cfg(test)]
mod tests {
    use foreshadow_history::UsageWriter;
    use foreshadow_types::EntityId;

    use super::*;

    const DAY: Duration = Duration::from_hours(24);

    fn write(folder: &HistoryFolder, at: Timestamp, number: u64) -> PathBuf {
        let path = folder.file(Kind::Usage, at, number).unwrap();
        let mut writer = UsageWriter::create(&path, &["cpu"]).unwrap();
        let entity = EntityId::new("ada").unwrap();
        writer.write(at, &entity, &[Some(number as f64)]).unwrap();
        writer.finish().unwrap();
        path
    }

    #[test]
    fn past_days_become_one_file_each_and_old_ones_go() {
        let dir = tempfile::tempdir().unwrap();
        let folder = HistoryFolder::open(dir.path()).unwrap();
        let now = Timestamp::parse("2026-03-10T12:00:00Z").unwrap();
        let mut number = 0;
        for days in [9, 1, 0] {
            for minute in 0..5 {
                number += 1;
                let at = now - DAY * days + Duration::from_mins(minute);
                write(&folder, at, number);
            }
        }
        assert_eq!(folder.compact(now, Some(DAY * 7)).unwrap(), 5 + 4);
        let files = parquet_files(folder.usage());
        assert_eq!(files.len(), 1 + 5);
        assert_eq!(folder.sealed(Kind::Usage), 15);
        assert_eq!(folder.compact(now, Some(DAY * 7)).unwrap(), 0);
    }

    #[test]
    fn what_a_crash_left_beside_the_merged_file_is_not_counted_twice() {
        let dir = tempfile::tempdir().unwrap();
        let folder = HistoryFolder::open(dir.path()).unwrap();
        let now = Timestamp::parse("2026-03-10T12:00:00Z").unwrap();
        let files: Vec<PathBuf> = (1..=3).map(|n| write(&folder, now - DAY, n)).collect();
        merge(&files).unwrap();
        assert_eq!(parquet_files(folder.usage()).len(), 4);
        assert_eq!(folder.compact(now, None).unwrap(), 3);
        assert_eq!(parquet_files(folder.usage()).len(), 1);
        assert_eq!(folder.sealed(Kind::Usage), 3);
    }
}
