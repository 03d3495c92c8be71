//! Upkeep of the days that are past: the small files of one become one, samples that are old enough
//! become means, and days that are too old go.
//!
//! A file is removed only when the one that holds its rows is whole. One that a crash has left is known
//! by its name.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use foreshadow_history::{
    HistoryError, HistoryPaths, downsample_usage, merge_files, parquet_files, remove_empty_folder,
    remove_file,
};
use foreshadow_types::Timestamp;

use super::{
    folder::{HistoryFolder, Kind, day_of},
    name::FileName,
};
use crate::config::Downsampling;

/// A day with fewer files is left as it is.
const LEAST_FILES: usize = 2;
/// Files merged at a time, all of which are open then.
const MOST_AT_ONCE: usize = 64;
const DAY: Duration = Duration::from_hours(24);

/// What is done about days that are past.
#[derive(Debug, Clone, Default)]
pub(super) struct Upkeep {
    /// How long days are kept after their end; `None` for ever.
    pub(super) keep: Option<Duration>,
    /// When samples become means.
    pub(super) downsampling: Vec<Downsampling>,
}

/// What was done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Upkept {
    /// How many files there are fewer.
    pub(super) fewer: usize,
    /// How many days became coarser.
    pub(super) coarser: usize,
}

impl HistoryFolder {
    /// Keeps up all days before that of `now`.
    ///
    /// # Errors
    /// [`HistoryError`] of the first day that cannot be kept up; the others are all the same.
    pub(super) fn keep_up(&self, now: Timestamp, upkeep: &Upkeep) -> Result<Upkept, HistoryError> {
        let mut done = Upkept::default();
        let mut failed = Ok(());
        for kind in [Kind::Usage, Kind::Requests] {
            for (day, files) in by_day(parquet_files(self.of(kind))?) {
                match keep_up_day(kind, &day, files, (now, upkeep)) {
                    Ok(one) => done.add(one),
                    Err(error) => failed = failed.and(Err(error)),
                }
            }
        }
        failed.map(|()| done)
    }
}

impl Upkept {
    fn add(&mut self, other: Self) {
        self.fewer += other.fewer;
        self.coarser += other.coarser;
    }
}

fn keep_up_day(
    kind: Kind,
    day: &str,
    files: Vec<PathBuf>,
    (now, upkeep): (Timestamp, &Upkeep),
) -> Result<Upkept, HistoryError> {
    let before = files.len();
    let oldest = upkeep.keep.map(|keep| day_of(now - keep));
    let mut done = Upkept::default();
    if oldest.is_some_and(|oldest| *day < *oldest) {
        remove_day(&files)?;
        done.fewer = before;
    } else if *day < *day_of(now) {
        let files = merge_day(files)?;
        done.fewer = before - files.len();
        let width = width_at(day, now, &upkeep.downsampling);
        if let (Kind::Usage, Some(width)) = (kind, width) {
            done.coarser = usize::from(coarsen(&files, width)?);
        }
    }
    Ok(done)
}

/// The files of each day, by its name.
pub(super) fn by_day(files: Vec<PathBuf>) -> BTreeMap<String, Vec<PathBuf>> {
    let mut days: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for path in files {
        let folder = path.parent().and_then(Path::file_name);
        let day = folder
            .and_then(|name| name.to_str())
            .and_then(|name| name.strip_prefix("date="))
            .map(str::to_owned);
        if let Some(day) = day {
            days.entry(day).or_default().push(path);
        }
    }
    days
}

fn remove_day(files: &[PathBuf]) -> Result<(), HistoryError> {
    files.iter().try_for_each(|path| remove_file(path))?;
    if let Some(folder) = files.first().and_then(|path| path.parent()) {
        remove_empty_folder(folder);
    }
    Ok(())
}

/// Makes one file of all; gives the files that are left.
fn merge_day(mut files: Vec<PathBuf>) -> Result<Vec<PathBuf>, HistoryError> {
    files.sort_by_key(|path| FileName::of(path).map(|name| name.segments));
    remove_replaced(&mut files)?;
    while files.len() >= LEAST_FILES {
        let mut fewer = Vec::new();
        for some in files.chunks(MOST_AT_ONCE) {
            let merged = merge(some)?;
            for path in some.iter().filter(|path| **path != merged) {
                remove_file(path)?;
            }
            fewer.push(merged);
        }
        files = fewer;
    }
    Ok(files)
}

/// Writes neighbouring files as one and gives its path; a single file stays as it is.
fn merge(files: &[PathBuf]) -> Result<PathBuf, HistoryError> {
    let (Some(first), Some(last)) = (files.first(), files.last()) else {
        return Ok(PathBuf::new());
    };
    if first == last {
        return Ok(last.clone());
    }
    let begin = FileName::of(first).map_or(0, |name| name.segments.0);
    let out = match FileName::of(last) {
        Some(name) => last.with_file_name(name.from(begin).to_string()),
        // One of another name was put there by somebody; what is merged takes its place.
        None => last.clone(),
    };
    merge_files(&HistoryPaths::expand(files)?, &out)?;
    Ok(out)
}

/// Those files of a day whose rows no other holds.
pub(super) fn still_in_use(files: &[PathBuf]) -> impl Iterator<Item = &Path> {
    let names: Vec<FileName> = files.iter().filter_map(|path| FileName::of(path)).collect();
    files.iter().map(PathBuf::as_path).filter(move |path| {
        let name = FileName::of(path);
        !name.is_some_and(|name| names.iter().any(|other| other.replaces(&name)))
    })
}

/// Removes files whose rows another holds.
fn remove_replaced(files: &mut Vec<PathBuf>) -> Result<(), HistoryError> {
    let kept: Vec<PathBuf> = still_in_use(files).map(Path::to_owned).collect();
    let gone = files.iter().filter(|path| !kept.contains(path));
    for path in gone {
        remove_file(path)?;
    }
    *files = kept;
    Ok(())
}

/// How wide means of a day are to be by now, if it is old enough for any.
fn width_at(day: &str, now: Timestamp, downsampling: &[Downsampling]) -> Option<Duration> {
    let ended = Timestamp::parse(&format!("{day}T00:00:00Z")).ok()? + DAY;
    let due = |one: &&Downsampling| ended <= now - one.after;
    let widths = downsampling.iter().filter(due).map(|one| one.interval);
    widths.max()
}

/// Makes means of a day's file unless it holds such means, or wider ones, already.
fn coarsen(files: &[PathBuf], width: Duration) -> Result<bool, HistoryError> {
    let [path] = files else {
        return Ok(false);
    };
    let width_ms = width.as_millis() as u64;
    let Some(name) = FileName::of(path).filter(|name| name.width_ms < width_ms) else {
        return Ok(false);
    };
    let out = path.with_file_name(name.coarser(width_ms).to_string());
    downsample_usage(path, &out, width)?;
    remove_file(path)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use foreshadow_history::{PanelLimits, PanelOptions, UsageWriter, load_panel};
    use foreshadow_types::EntityId;

    use super::*;

    fn folder(dir: &tempfile::TempDir) -> HistoryFolder {
        HistoryFolder::open(dir.path(), &dir.path().join("journal")).unwrap()
    }

    fn write(folder: &HistoryFolder, at: Timestamp, number: u64) -> PathBuf {
        let path = folder.file(Kind::Usage, at, number).unwrap();
        let mut writer = UsageWriter::create(&path, &["cpu"]).unwrap();
        let entity = EntityId::new("ada").unwrap();
        writer.write(at, &entity, &[Some(number as f64)]).unwrap();
        writer.finish().unwrap();
        path
    }

    fn now() -> Timestamp {
        Timestamp::parse("2026-03-10T12:00:00Z").unwrap()
    }

    fn keeping(days: u32) -> Upkeep {
        Upkeep {
            keep: Some(DAY * days),
            downsampling: Vec::new(),
        }
    }

    fn becoming_means() -> Upkeep {
        let downsampling = [(1, 5), (5, 60)].map(|(days, minutes)| Downsampling {
            after: DAY * days,
            interval: Duration::from_mins(minutes),
        });
        Upkeep {
            keep: None,
            downsampling: downsampling.to_vec(),
        }
    }

    fn files(folder: &HistoryFolder) -> Vec<PathBuf> {
        parquet_files(folder.usage()).unwrap()
    }

    /// The finite values of the one series, in hours.
    fn hourly(folder: &HistoryFolder) -> Vec<f32> {
        let options = PanelOptions {
            metrics: None,
            interval: Duration::from_hours(1),
            until: None,
            limits: PanelLimits::Refuse { max_values: 10_000 },
        };
        let paths = HistoryPaths::expand(&files(folder)).unwrap();
        let panel = load_panel(&paths, &options).unwrap();
        let values = panel.series(0).iter().copied();
        values.filter(|value| value.is_finite()).collect()
    }

    #[test]
    fn past_days_become_one_file_each_and_old_ones_go() {
        let dir = tempfile::tempdir().unwrap();
        let folder = folder(&dir);
        let mut number = 0;
        for days in [9, 1, 0] {
            for minute in 0..5 {
                number += 1;
                let at = now() - DAY * days + Duration::from_mins(minute);
                write(&folder, at, number);
            }
        }
        let done = folder.keep_up(now(), &keeping(7)).unwrap();
        assert_eq!(done.fewer, 5 + 4);
        assert_eq!(files(&folder).len(), 1 + 5);
        assert_eq!(std::fs::read_dir(folder.usage()).unwrap().count(), 2);
        assert_eq!(folder.sealed(Kind::Usage).unwrap(), 15);
        let again = folder.keep_up(now(), &keeping(7)).unwrap();
        assert_eq!(again, Upkept::default());
    }

    #[test]
    fn what_a_crash_left_beside_the_merged_file_is_not_counted_twice() {
        let dir = tempfile::tempdir().unwrap();
        let folder = folder(&dir);
        let parts: Vec<PathBuf> = (1..=3).map(|n| write(&folder, now() - DAY, n)).collect();
        merge(&parts).unwrap();
        assert_eq!(files(&folder).len(), 4);
        let done = folder.keep_up(now(), &Upkeep::default()).unwrap();
        assert_eq!(done.fewer, 3);
        assert_eq!(files(&folder).len(), 1);
        assert_eq!(folder.sealed(Kind::Usage).unwrap(), 3);
    }

    #[test]
    fn a_day_becomes_coarser_as_it_grows_older_and_its_means_stay() {
        let dir = tempfile::tempdir().unwrap();
        let folder = folder(&dir);
        let noon = now() - DAY * 2;
        for number in 1..=40 {
            // Irregular, so that means of means would be others.
            let minute = number * number / 20;
            write(&folder, noon + Duration::from_mins(minute), number);
        }
        let before = hourly(&folder);
        assert_eq!(before.len(), 2);
        for (later, coarser, width) in [(0, 1, "_300000-"), (1, 0, "_300000-"), (4, 1, "_3600000-")]
        {
            let done = folder
                .keep_up(now() + DAY * later, &becoming_means())
                .unwrap();
            assert_eq!(done.coarser, coarser, "{later} days later");
            let [file] = &files(&folder)[..] else {
                panic!("{:?}", files(&folder));
            };
            assert!(file.to_str().unwrap().contains(width), "{file:?}");
            for (before, after) in before.iter().zip(hourly(&folder)) {
                assert!((before - after).abs() < 1e-4, "{before} became {after}");
            }
        }
        assert_eq!(folder.sealed(Kind::Usage).unwrap(), 40);
    }

    #[test]
    fn a_crash_at_any_step_of_making_means_loses_and_doubles_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let folder = folder(&dir);
        for number in 1..=20 {
            write(
                &folder,
                now() - DAY * 3 + Duration::from_secs(number * 40),
                number,
            );
        }
        folder.keep_up(now() - DAY * 2, &Upkeep::default()).unwrap();
        let (before, whole) = (hourly(&folder), files(&folder)[0].clone());
        // Before the means are whole there is a file that has no name yet.
        std::fs::write(whole.with_extension("parquet.partial"), b"PAR1").unwrap();
        assert_eq!(hourly(&folder), before);
        // Then there are both.
        let means = FileName::of(&whole).unwrap().coarser(300_000);
        let means = whole.with_file_name(means.to_string());
        downsample_usage(&whole, &means, Duration::from_mins(5)).unwrap();
        assert_eq!(files(&folder).len(), 2);
        let done = folder.keep_up(now(), &becoming_means()).unwrap();
        assert_eq!((done.fewer, done.coarser), (1, 0));
        assert_eq!(files(&folder), [means]);
        assert_eq!(hourly(&folder), before);
    }
}
