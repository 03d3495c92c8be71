//! Shadows go on after a restart from what the history tells of the week before. It is read while the
//! service runs; what comes meanwhile is taken at once, and again on top of what was read.

use std::{
    collections::{BTreeSet, VecDeque},
    io,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use foreshadow_history::{HistoryError, HistoryPaths, RequestReader, Span, UsageFile};
use foreshadow_shadow::{Access, Observation, ShadowStore, StoreLimits};
use foreshadow_types::{EntityId, Timestamp};
use tokio::{sync::oneshot, task::spawn_blocking};

use super::{
    folder::{HistoryFolder, Kind},
    past::WINDOW,
};

/// Rows that are gone through at the most; of more, the latest files are read.
const MOST_ROWS: u64 = 64 << 20;
/// What comes in the meantime and is kept at the most; of more, the earliest is lost to the shadows.
const MOST_HEARD: usize = 1 << 20;
/// How much of it is told at once, between two commands.
const TOLD_AT_ONCE: usize = 1 << 14;
/// How often it is tried whose files were merged meanwhile, and how long apart.
const ATTEMPTS: u32 = 3;
const PAUSE: Duration = Duration::from_secs(1);

/// Something that a shadow is told.
#[derive(Debug)]
pub(super) enum Heard {
    Observation(Observation),
    Access(Access),
}

impl Heard {
    fn is_of(&self, entity: &EntityId) -> bool {
        match self {
            Self::Observation(observation) => observation.entity == *entity,
            Self::Access(access) => EntityId::from(&access.user) == *entity,
        }
    }
}

/// What has come since the reading began.
#[derive(Debug, Default)]
struct Since {
    forgotten: BTreeSet<EntityId>,
    heard: VecDeque<Heard>,
}

impl Since {
    fn tell(self, shadows: &mut ShadowStore) {
        for entity in &self.forgotten {
            shadows.remove(entity);
        }
        for heard in self.heard {
            match heard {
                Heard::Observation(observation) => {
                    shadows.observe(&observation);
                }
                Heard::Access(access) => shadows.access(&access),
            }
        }
    }
}

/// Shadows that are being read, on a thread of their own.
#[derive(Debug)]
pub(super) struct Recall {
    shadows: oneshot::Receiver<ShadowStore>,
    since: Since,
}

impl Recall {
    /// Begins to read what was before `until`.
    ///
    /// # Errors
    /// If there is no thread for it.
    pub(super) fn begin(
        history: HistoryFolder,
        limits: StoreLimits,
        until: Timestamp,
    ) -> io::Result<Self> {
        let (known, shadows) = oneshot::channel();
        let reading = move || {
            let span = Span {
                from: until - WINDOW,
                until,
            };
            let is_wanted = || !known.is_closed();
            if let Some(read) = shadows_of(&history, &span, limits, &is_wanted) {
                // The service may have ended.
                let _ = known.send(read);
            }
        };
        thread::Builder::new()
            .name("shadows".to_owned())
            .spawn(reading)?;
        Ok(Self {
            shadows,
            since: Since::default(),
        })
    }

    /// Notes what the present shadows were told.
    pub(super) fn hear(&mut self, heard: impl Iterator<Item = Heard>) {
        self.since.heard.extend(heard);
        let excess = self.since.heard.len().saturating_sub(MOST_HEARD);
        self.since.heard.drain(..excess);
    }

    /// Notes that nothing of an entity is to be known.
    pub(super) fn forget(&mut self, entity: &EntityId) {
        self.since.heard.retain(|heard| !heard.is_of(entity));
        self.since.forgotten.insert(entity.clone());
    }

    /// The shadows once they are read, told what has come since; `None` if they could not be. It can be
    /// given up and called again.
    pub(super) async fn ended(&mut self) -> Option<ShadowStore> {
        loop {
            let mut shadows = (&mut self.shadows).await.ok()?;
            let since = std::mem::take(&mut self.since);
            if since.heard.len() <= TOLD_AT_ONCE {
                since.tell(&mut shadows);
                return Some(shadows);
            }
            // More comes while much is told, but less.
            let (known, told) = oneshot::channel();
            self.shadows = told;
            spawn_blocking(move || {
                since.tell(&mut shadows);
                let _ = known.send(shadows);
            });
        }
    }
}

/// The shadows as the history tells; `None` if it cannot be read: the service goes on and learns anew.
fn shadows_of(
    history: &HistoryFolder,
    span: &Span,
    limits: StoreLimits,
    is_wanted: &dyn Fn() -> bool,
) -> Option<ShadowStore> {
    for attempt in 1..=ATTEMPTS {
        match read(history, span, limits, is_wanted) {
            Ok(shadows) => {
                tracing::info!(entities = shadows.len(), "shadows were recalled");
                return Some(shadows);
            }
            Err(error) => tracing::warn!(attempt, %error, "shadows could not be recalled"),
        }
        if !is_wanted() {
            break;
        }
        thread::sleep(PAUSE);
    }
    None
}

fn read(
    history: &HistoryFolder,
    span: &Span,
    limits: StoreLimits,
    is_wanted: &dyn Fn() -> bool,
) -> Result<ShadowStore, HistoryError> {
    let mut shadows = ShadowStore::new(limits);
    for file in latest_that_fit(history.latest_first(Kind::Usage, span)?)? {
        file.each_sample(span, |entity, metric, at, value| {
            shadows.observe(&Observation {
                entity: entity.clone(),
                metric: metric.clone(),
                at,
                value,
            });
        })?;
        if !is_wanted() {
            return Ok(shadows);
        }
    }
    let files = history.latest_first(Kind::Requests, span)?;
    if files.is_empty() {
        return Ok(shadows);
    }
    for record in RequestReader::open(&HistoryPaths::expand(&files)?)? {
        let record = record?;
        if let (Some(user), true) = (record.user, span.holds(record.at)) {
            shadows.access(&Access {
                user,
                application: record.application,
                at: record.at,
            });
        }
    }
    Ok(shadows)
}

/// The latest files that have no more rows together than are gone through, the earliest of them first.
fn latest_that_fit(mut paths: Vec<PathBuf>) -> Result<Vec<UsageFile>, HistoryError> {
    // By day and time, whichever run they are of.
    paths.sort_by_cached_key(|path| {
        let day = path.parent().and_then(Path::file_name);
        (
            day.map(ToOwned::to_owned),
            path.file_name().map(ToOwned::to_owned),
        )
    });
    let mut rows = 0;
    let mut files = Vec::new();
    for path in paths.iter().rev() {
        let file = UsageFile::open(path)?;
        rows += file.rows();
        if rows > MOST_ROWS && !files.is_empty() {
            break;
        }
        files.push(file);
    }
    files.reverse();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use foreshadow_history::{RequestRecord, RequestWriter, UsageWriter};
    use foreshadow_types::{PoolName, UserId};

    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    /// Two days of Ada's usage, a minute each, and her requests.
    fn history(folder: &Path, until: Timestamp) -> HistoryFolder {
        let history = HistoryFolder::open(&folder.join("history"), &folder.join("journal"));
        let history = history.unwrap();
        let ada = EntityId::new("ada").unwrap();
        for day in [2, 1] {
            let from = until - MINUTE * (1_440 * day);
            let path = history.file(Kind::Usage, from, 3 - u64::from(day)).unwrap();
            let mut writer = UsageWriter::create(&path, &["cpu"]).unwrap();
            for minute in 0..1_440 {
                let at = from + MINUTE * minute;
                writer.write(at, &ada, &[Some(f64::from(day))]).unwrap();
            }
            writer.finish().unwrap();
        }
        let path = history.file(Kind::Requests, until - MINUTE, 1).unwrap();
        let mut writer = RequestWriter::create(&path).unwrap();
        let request = RequestRecord {
            at: until - MINUTE,
            user: UserId::new("ada").ok(),
            application: None,
            pool: PoolName::new("web").unwrap(),
            hold: None,
            vcpus: None,
            memory: None,
            merge_key: None,
        };
        writer.write(&request).unwrap();
        writer.finish().unwrap();
        history
    }

    #[tokio::test]
    async fn shadows_are_as_if_the_service_had_never_stopped() {
        let folder = tempfile::tempdir().unwrap();
        let until = Timestamp::parse("2026-03-04T05:00:00Z").unwrap();
        let history = history(folder.path(), until);
        let limits = StoreLimits::default();
        let mut recall = Recall::begin(history, limits, until).unwrap();
        let ada = EntityId::new("ada").unwrap();
        let later = Observation {
            entity: ada.clone(),
            metric: "cpu".into(),
            at: until + MINUTE,
            value: 7.0,
        };
        let bob = EntityId::new("bob").unwrap();
        let forgotten = Observation {
            entity: bob.clone(),
            ..later.clone()
        };
        let heard = [later.clone(), forgotten].map(Heard::Observation);
        recall.hear(heard.into_iter());
        recall.forget(&bob);
        let recalled = recall.ended().await.unwrap();

        let mut never_stopped = ShadowStore::new(limits);
        for day in [2, 1] {
            for minute in 0..1_440 {
                never_stopped.observe(&Observation {
                    at: until - MINUTE * (1_440 * day) + MINUTE * minute,
                    value: f64::from(day),
                    ..later.clone()
                });
            }
        }
        never_stopped.access(&Access {
            user: UserId::new("ada").unwrap(),
            application: None,
            at: until - MINUTE,
        });
        never_stopped.observe(&later);
        let now = until + MINUTE * 2;
        assert!(recalled.snapshot(&ada, now).is_some());
        assert_eq!(
            recalled.snapshot(&ada, now),
            never_stopped.snapshot(&ada, now)
        );
        assert_eq!(recalled.snapshot(&bob, now), None);
    }
}
