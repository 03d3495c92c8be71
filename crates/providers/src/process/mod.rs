//! Instances as processes of this machine.

mod instance;
mod leader;
mod port;
mod probe;
mod procfs;
mod record;
mod reset;
mod spawn;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use foreshadow_types::{InstanceId, PoolName};
use tokio::sync::{Semaphore, mpsc};

use self::{
    instance::{Instance, Origin, Running, Surroundings},
    leader::{Leader, kill_matching},
    port::Ports,
    record::{Record, Records},
};
use crate::{
    event::{GoneReason, ProviderEvent},
    provider::{Provider, ProviderError},
    spec::ProcessSpec,
    supervision::{Supervision, Wishes},
};

/// How many processes are forked at a time.
const FORKS_AT_A_TIME: usize = 4;

/// How often processes are looked for that belong to no instance.
const SWEEP_EVERY: Duration = Duration::from_secs(30);

/// Starts the commands of pools as processes of this machine.
///
/// The processes outlive the server: each leads a session of its own, its output goes to files, and
/// a record on disk tells the next run of the server where it is. To be made and used within a tokio
/// runtime. When it is dropped, the processes keep running.
#[derive(Debug)]
pub struct ProcessProvider {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    around: Surroundings,
    specs: Mutex<BTreeMap<PoolName, Arc<ProcessSpec>>>,
    supervised: Supervision,
}

/// What was found of earlier runs of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReconcileReport {
    /// Processes of instances that are known: they are adopted on the next command for them.
    pub kept: usize,
    /// Processes of instances that are not known: they were killed.
    pub killed: usize,
}

impl ProcessProvider {
    /// A provider without pools that keeps its records in `folder`, one of its own, and reports to
    /// `events`.
    ///
    /// # Errors
    /// [`ProviderError::Io`] if the folder cannot be used.
    pub fn open(folder: &Path, events: mpsc::Sender<ProviderEvent>) -> Result<Self, ProviderError> {
        let records = Records::open(folder).map_err(|source| ProviderError::Io {
            path: folder.display().to_string(),
            source,
        })?;
        let around = Surroundings {
            records,
            ports: Ports::default(),
            events: events.clone(),
            forks: Arc::new(Semaphore::new(FORKS_AT_A_TIME)),
        };
        let shared = Arc::new(Shared {
            around,
            specs: Mutex::default(),
            supervised: Supervision::new(events),
        });
        let sweeping = sweep_regularly(Arc::downgrade(&shared));
        shared.supervised.spawn(sweeping);
        Ok(Self { shared })
    }

    /// Sets what the instances of a pool are started from; those that run stay as they are.
    ///
    /// # Errors
    /// [`ProviderError::Spec`] if it cannot be started.
    pub fn define(&self, pool: PoolName, spec: ProcessSpec) -> Result<(), ProviderError> {
        spec.validate()?;
        self.shared.specs().insert(pool, Arc::new(spec));
        Ok(())
    }

    /// After a restart: kills every process of an earlier run whose instance is not known any more or
    /// that is not on record. The others are adopted by the next command for them.
    ///
    /// # Errors
    /// [`ProviderError::Io`] if the records cannot be read.
    pub fn reconcile(
        &self,
        known: &BTreeSet<InstanceId>,
    ) -> Result<ReconcileReport, ProviderError> {
        let records = &self.shared.around.records;
        let found = records.read_all().map_err(|source| ProviderError::Io {
            path: records.dir().display().to_string(),
            source,
        })?;
        // Only a process on record can be taken over. One that was just being started when its server
        // died is not: its instance is started anew.
        let mut adoptable = BTreeSet::new();
        for record in found {
            // A copy of a folder has records of processes that are the original's.
            let runs =
                procfs::is_alive(&record.process) && !self.shared.is_anothers(record.process.pid);
            if known.contains(&record.instance) && runs {
                adoptable.insert(record.instance);
            } else {
                records.remove(record.instance);
            }
        }
        let killed = self
            .shared
            .kill_strangers(|instance| adoptable.contains(&instance));
        let kept = adoptable.len();
        Ok(ReconcileReport { kept, killed })
    }

    /// Stops these instances and waits until nothing is left of them; all others keep running, and
    /// nothing is reported of them any more.
    pub async fn close(&self, stop: &[InstanceId]) {
        for &instance in stop {
            Provider::stop(self, instance);
        }
        self.shared.supervised.ended(stop).await;
        self.shared.supervised.close();
    }

    /// Whether it runs an instance, or an earlier run of the server did.
    pub(crate) fn knows(&self, id: InstanceId) -> bool {
        self.shared.supervised.holds(id) || self.shared.around.records.read(id).is_some()
    }

    /// Supervises an instance unless it is supervised already.
    fn supervise(&self, pool: &PoolName, id: InstanceId, origin: Origin) {
        let Some(spec) = self.shared.specs().get(pool).cloned() else {
            let reason = format!("pool `{pool}` has no command");
            return self.report(ProviderEvent::Failed {
                instance: id,
                reason,
            });
        };
        let Some(wishes) = self.shared.supervised.begin(id) else {
            return;
        };
        let instance = Instance {
            id,
            pool: pool.clone(),
            spec,
            wishes,
            around: self.shared.around.clone(),
        };
        let supervising = supervise_to_the_end(self.shared.clone(), instance, origin);
        self.shared.supervised.spawn(supervising);
    }

    fn wish(&self, id: InstanceId, change: impl FnOnce(&mut Wishes)) -> bool {
        self.shared.supervised.wish(id, change)
    }

    fn report(&self, event: ProviderEvent) {
        self.shared.supervised.report(event);
    }

    /// The process of an earlier run, if it lives.
    fn adopt(&self, id: InstanceId) -> Option<Running> {
        self.shared.adopt(id)
    }
}

impl Provider for ProcessProvider {
    fn kind(&self, _: &PoolName) -> &'static str {
        "process"
    }

    fn start(&self, pool: &PoolName, instance: InstanceId) {
        let origin = self.adopt(instance).map_or(Origin::New, Origin::Starting);
        self.supervise(pool, instance, origin);
    }

    fn verify(&self, pool: &PoolName, instance: InstanceId) {
        if self.wish(instance, |wished| wished.probes += 1) {
            return;
        }
        let Some(running) = self.adopt(instance) else {
            self.shared.around.records.remove(instance);
            let reason = GoneReason::Missing;
            return self.report(ProviderEvent::Gone { instance, reason });
        };
        self.supervise(pool, instance, Origin::Ready(running));
    }

    fn reset(&self, pool: &PoolName, instance: InstanceId) {
        if self.wish(instance, |wished| wished.resets += 1) {
            return;
        }
        // Of an earlier run: an instance that is to be as new need not be kept.
        self.shared.kill_instance(instance);
        self.supervise(pool, instance, Origin::New);
    }

    fn hold(&self, instance: InstanceId) {
        self.wish(instance, |wished| wished.rest = true);
    }

    fn thaw(&self, instance: InstanceId, _: Option<crate::Lease>) {
        self.wish(instance, |wished| wished.rest = false);
    }

    fn stop(&self, instance: InstanceId) {
        if self.wish(instance, |wished| wished.stop = true) {
            return;
        }
        self.shared.kill_instance(instance);
        let reason = GoneReason::Stopped;
        self.report(ProviderEvent::Gone { instance, reason });
    }

    fn probe(&self, instance: InstanceId) {
        self.wish(instance, |wished| wished.probes += 1);
    }
}

impl Shared {
    /// Held for a few instructions at a time, never over an await.
    fn specs(&self) -> MutexGuard<'_, BTreeMap<PoolName, Arc<ProcessSpec>>> {
        self.specs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn adopt(&self, id: InstanceId) -> Option<Running> {
        if self.supervised.holds(id) {
            return None;
        }
        let Record { process, port, .. } = self.around.records.read(id)?;
        let _context = self.supervised.runtime().enter();
        let leader = Leader::adopt(&process)?;
        let port = self.around.ports.reserve(port)?;
        Some(Running { leader, port })
    }

    /// Kills whatever was started for an instance that is not supervised.
    fn kill_instance(&self, id: InstanceId) {
        let name = id.to_string();
        kill_matching(|pid| {
            self.is_ours(pid)
                && procfs::environment_variable(pid, spawn::INSTANCE_VARIABLE)
                    .is_some_and(|value| value == name.as_bytes())
        });
        self.around.records.remove(id);
    }

    /// Kills every process that this or an earlier run started for an instance that is not known.
    fn kill_strangers(&self, is_known: impl Fn(InstanceId) -> bool) -> usize {
        kill_matching(|pid| {
            self.is_ours(pid)
                && procfs::environment_variable(pid, spawn::INSTANCE_VARIABLE)
                    .and_then(|value| std::str::from_utf8(&value).ok()?.parse().ok())
                    .is_some_and(|instance| !is_known(instance))
        })
    }

    /// Whether a process says that it was started from another folder.
    fn is_anothers(&self, pid: i32) -> bool {
        let home = self.around.records.dir();
        procfs::environment_variable(pid, spawn::HOME_VARIABLE).is_some()
            && !procfs::has_path_variable(pid, spawn::HOME_VARIABLE, home)
    }

    fn is_ours(&self, pid: i32) -> bool {
        let ourselves = pid == std::process::id() as i32;
        let home = self.around.records.dir();
        !ourselves && procfs::has_path_variable(pid, spawn::HOME_VARIABLE, home)
    }
}

async fn supervise_to_the_end(shared: Arc<Shared>, mut instance: Instance, origin: Origin) {
    let event = instance.live(origin).await;
    shared.around.records.remove(instance.id);
    shared.supervised.end(instance.id, event).await;
}

/// Kills what escaped its instance: a descendant that made a session of its own and outlived it.
async fn sweep_regularly(shared: std::sync::Weak<Shared>) {
    loop {
        tokio::time::sleep(SWEEP_EVERY).await;
        let Some(shared) = shared.upgrade() else {
            return;
        };
        let swept = tokio::task::spawn_blocking(move || {
            let adoptable = shared.around.records.read_all().unwrap_or_default();
            shared.kill_strangers(|id| {
                shared.supervised.holds(id) || adoptable.iter().any(|record| record.instance == id)
            })
        });
        if let Ok(killed @ 1..) = swept.await {
            tracing::warn!(killed, "processes that outlived their instance were killed");
        }
    }
}
