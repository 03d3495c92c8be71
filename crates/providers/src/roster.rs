//! Instances that are not on this machine: those that are looked after, and those that earlier runs have
//! left on record.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use foreshadow_types::{InstanceId, PoolName};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, timeout},
};

use crate::{
    event::{GoneReason, ProviderEvent},
    owner::owner_of,
    provider::ProviderError,
    records::{Kept, Records},
    supervision::{Supervision, Wishes},
    sweep::Reach,
};

/// What is on record of an instance.
pub(crate) trait Remembered: Kept + Clone + Send + 'static {
    fn id(&self) -> InstanceId;

    /// Its pool, if the record is as it was written.
    fn pool(&self) -> Option<PoolName>;
}

/// All instances of one kind of provider.
#[derive(Debug)]
pub(crate) struct Roster<R> {
    records: Records<R>,
    pub(crate) supervised: Supervision,
    /// The name that providers know this Foreshadow by.
    owner: OnceLock<Arc<str>>,
    /// Instances of earlier runs that are not looked after yet.
    left: Mutex<BTreeMap<InstanceId, R>>,
    reach: Mutex<Reach>,
}

impl<R: Remembered> Roster<R> {
    /// Nothing is looked after yet; what earlier runs have left is on record in `folder`. Whoever has
    /// the instances knows this Foreshadow by the name of `owner`, else by one that the folder keeps.
    /// To be called within a tokio runtime.
    pub(crate) fn open(
        folder: &Path,
        owner: Option<&str>,
        events: mpsc::Sender<ProviderEvent>,
    ) -> Result<Self, ProviderError> {
        let records = Records::at(folder);
        let left = records
            .read_all()
            .map_err(|source| unusable(folder, source))?;
        let left: BTreeMap<_, _> = left.into_iter().map(|one: R| (one.id(), one)).collect();
        let roster = Self {
            records,
            supervised: Supervision::new(events),
            owner: owner.map_or_else(OnceLock::new, |name| OnceLock::from(Arc::from(name))),
            left: Mutex::new(left),
            reach: Mutex::default(),
        };
        if !roster.left().is_empty() {
            roster.owner()?;
        }
        Ok(roster)
    }

    /// Held for a few instructions at a time, never over an await.
    fn left(&self) -> MutexGuard<'_, BTreeMap<InstanceId, R>> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Held for as short a time.
    fn reach(&self) -> MutexGuard<'_, Reach> {
        self.reach.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The name that whoever has the instances knows this Foreshadow by.
    pub(crate) fn owner(&self) -> Result<Arc<str>, ProviderError> {
        if let Some(owner) = self.owner.get() {
            return Ok(owner.clone());
        }
        let folder = self.records.folder();
        let owner = owner_of(folder).map_err(|source| unusable(folder, source))?;
        Ok(self.owner.get_or_init(|| owner.into()).clone())
    }

    /// Whether an instance is looked after, or will be.
    pub(crate) fn knows(&self, id: InstanceId) -> bool {
        self.supervised.holds(id) || self.left().contains_key(&id)
    }

    /// What an earlier run has left on record of an instance.
    pub(crate) fn recorded(&self, id: InstanceId) -> Option<R> {
        self.left().get(&id).cloned()
    }

    /// Where the wishes for an instance arrive from now on; `None` if it is looked after already.
    pub(crate) fn begin(&self, id: InstanceId) -> Option<watch::Receiver<Wishes>> {
        let wishes = self.supervised.begin(id)?;
        self.left().remove(&id);
        self.reach().extend_to(id);
        Some(wishes)
    }

    /// Changes what is wished of an instance; false if it is not looked after.
    pub(crate) fn wish(&self, id: InstanceId, change: impl FnOnce(&mut Wishes)) -> bool {
        self.supervised.wish(id, change)
    }

    /// Wishes that an instance ends. If it is to be looked after for that first, its pool; if nothing
    /// is known of it, its end is reported.
    pub(crate) fn stop(&self, instance: InstanceId) -> Option<PoolName> {
        if self.wish(instance, |wished| wished.stop = true) {
            return None;
        }
        let pool = self.left().get(&instance).and_then(R::pool);
        if pool.is_none() {
            let reason = GoneReason::Stopped;
            self.supervised
                .report(ProviderEvent::Gone { instance, reason });
        }
        pool
    }

    /// Takes what is known as this run begins; which instances earlier runs have left that are not.
    /// Whoever knows the others has them looked after within moments.
    pub(crate) fn reconcile(&self, known: &BTreeSet<InstanceId>) -> Vec<InstanceId> {
        let left: Vec<_> = self.left().keys().copied().collect();
        let (mut reach, now) = (self.reach(), Instant::now());
        for &id in &left {
            reach.extend_to(id);
        }
        for &id in known {
            reach.spare(id, now);
        }
        drop(reach);
        let strangers = left.into_iter();
        strangers.filter(|id| !known.contains(id)).collect()
    }

    /// A sweep begins.
    pub(crate) fn begin_sweep(&self) {
        self.reach().expire(Instant::now());
    }

    /// Whether an instance that is there has no business to be.
    pub(crate) fn is_stranger(&self, id: InstanceId) -> bool {
        !self.knows(id) && self.reach().has(id, Instant::now())
    }

    /// Keeps on disk what the next run needs to find an instance.
    pub(crate) async fn keep(&self, record: R) -> io::Result<()> {
        let records = self.records.clone();
        let written = tokio::task::spawn_blocking(move || records.write(&record)).await;
        written.unwrap_or_else(|error| Err(io::Error::other(error)))
    }

    /// An instance is no more.
    pub(crate) async fn ended(&self, id: InstanceId, event: ProviderEvent) {
        self.records.remove(&id.to_string());
        self.reach().spare(id, Instant::now());
        self.supervised.end(id, event).await;
    }

    /// Waits for as long as these instances, which are to stop, may take to end; nothing is reported of
    /// any instance then.
    pub(crate) async fn close(&self, stop: &[InstanceId], patience: Duration) {
        if timeout(patience, self.supervised.ended(stop))
            .await
            .is_err()
        {
            tracing::warn!("instances elsewhere that were to be stopped are left to the next run");
        }
        self.supervised.close();
    }
}

fn unusable(folder: &Path, source: io::Error) -> ProviderError {
    ProviderError::Io {
        path: folder.display().to_string(),
        source,
    }
}
