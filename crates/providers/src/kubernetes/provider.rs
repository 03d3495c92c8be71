//! The provider of instances in clusters.

use std::{
    collections::BTreeSet,
    path::Path,
    sync::{Arc, Weak},
    time::Duration,
};

use foreshadow_types::{InstanceId, PoolName};
use tokio::{sync::mpsc, time::timeout};

use super::{instance::Origin, record::Record, shared::Shared, spec::KubernetesSpec};
use crate::{
    event::{GoneReason, ProviderEvent},
    provider::{Provider, ProviderError},
    supervision::Wishes,
};

/// How often instances are looked for that nobody knows.
const SWEEP_EVERY: Duration = Duration::from_secs(30);

/// How much longer than its `stop_grace` an instance may take to end at a shutdown: a kubelet tells
/// every ten seconds what has ended.
const CLOSE_MARGIN: Duration = Duration::from_secs(15);

/// Has instances in Kubernetes clusters.
///
/// The name of an object follows from its instance, so that a start that is repeated creates nothing
/// twice. The instances outlive the server: a record on disk tells its next run where each is. An API
/// server that does not answer changes nothing: instances that were ready stay in use, starts fail
/// when their time is over, removals are asked for until they are confirmed. To be made and used
/// within a tokio runtime.
#[derive(Debug)]
pub struct KubernetesProvider {
    shared: Arc<Shared>,
}

impl KubernetesProvider {
    /// A provider without pools that keeps its records in `folder`, one of its own, and reports to
    /// `events`.
    ///
    /// # Errors
    /// [`ProviderError::Io`] if the folder cannot be used.
    pub fn open(folder: &Path, events: mpsc::Sender<ProviderEvent>) -> Result<Self, ProviderError> {
        let shared = Arc::new(Shared::open(folder, events)?);
        let sweeps = sweep_regularly(Arc::downgrade(&shared));
        shared.supervised.spawn(sweeps);
        Ok(Self { shared })
    }

    /// Sets where the instances of a pool are. Those there are, stay where they are.
    ///
    /// # Errors
    /// [`ProviderError::Spec`] if the specification is not usable, [`ProviderError::Cluster`] if it is
    /// not known how to call the cluster, [`ProviderError::Io`] if nothing can be kept about it. The
    /// cluster is not called yet.
    pub fn define(&self, pool: PoolName, spec: KubernetesSpec) -> Result<(), ProviderError> {
        spec.validate()?;
        self.shared.owner()?;
        let placed = self.shared.place_of(&spec);
        placed.map_err(|reason| ProviderError::Cluster {
            pool: pool.clone(),
            reason,
        })?;
        self.shared.state().specs.insert(pool, Arc::new(spec));
        Ok(())
    }

    /// Whether the instances of a pool are in a cluster.
    pub(crate) fn defines(&self, pool: &PoolName) -> bool {
        self.shared.state().specs.contains_key(pool)
    }

    /// Whether an instance is in a cluster.
    pub(crate) fn knows(&self, id: InstanceId) -> bool {
        self.shared.knows(id)
    }

    /// After a restart: stops every instance of an earlier run that is not known any more, and says
    /// how many of them are on record. Those of which there is no record are found by a sweep.
    pub fn reconcile(&self, known: &BTreeSet<InstanceId>) -> usize {
        let strangers: Vec<_> = {
            let mut state = self.shared.state();
            state.expected = Some(known.clone());
            let left = state.left.keys().copied();
            left.filter(|id| !known.contains(id)).collect()
        };
        for &id in &strangers {
            self.stop(id);
        }
        let shared = self.shared.clone();
        self.shared.supervised.spawn(async move {
            shared.sweep().await;
        });
        strangers.len()
    }

    /// Removes what clusters have of ours that nobody knows: an instance whose record was lost. This
    /// happens by itself every half minute.
    pub async fn sweep(&self) {
        self.shared.sweep().await;
    }

    /// Stops these instances and waits until nothing is left of them, but no longer than their time to
    /// end; what is left then is found by the next run. All others keep running, and nothing is
    /// reported of them any more.
    pub async fn close(&self, stop: &[InstanceId]) {
        for &instance in stop {
            Provider::stop(self, instance);
        }
        let grace = {
            let state = self.shared.state();
            let graces = state.specs.values().map(|spec| spec.stop_grace);
            graces.max().unwrap_or_default()
        };
        let ended = self.shared.supervised.ended(stop);
        if timeout(grace + CLOSE_MARGIN, ended).await.is_err() {
            tracing::warn!(
                "instances in clusters that were to be stopped are left to the next run"
            );
        }
        self.shared.supervised.close();
    }
}

impl Provider for KubernetesProvider {
    fn start(&self, pool: &PoolName, instance: InstanceId) {
        self.shared.supervise(pool, instance, Origin::New);
    }

    fn verify(&self, pool: &PoolName, instance: InstanceId) {
        if !self.shared.wish(instance, |wished| wished.probes += 1) {
            self.shared.supervise(pool, instance, Origin::Earlier);
        }
    }

    fn reset(&self, pool: &PoolName, instance: InstanceId) {
        let as_new = |wished: &mut Wishes| {
            wished.resets += 1;
            (wished.rest, wished.claimed) = (false, false);
        };
        if !self.shared.wish(instance, as_new) {
            self.shared.supervise(pool, instance, Origin::Used);
        }
    }

    fn hold(&self, instance: InstanceId) {
        self.shared.wish(instance, |wished| {
            (wished.rest, wished.claimed) = (true, false);
        });
    }

    fn thaw(&self, instance: InstanceId) {
        self.shared.wish(instance, |wished| {
            (wished.rest, wished.claimed) = (false, true);
        });
    }

    fn stop(&self, instance: InstanceId) {
        if self.shared.wish(instance, |wished| wished.stop = true) {
            return;
        }
        let pool = self
            .shared
            .state()
            .left
            .get(&instance)
            .and_then(Record::pool);
        if let Some(pool) = pool {
            return self.shared.supervise(&pool, instance, Origin::Unwanted);
        }
        let reason = GoneReason::Stopped;
        self.shared
            .supervised
            .report(ProviderEvent::Gone { instance, reason });
    }

    fn probe(&self, instance: InstanceId) {
        self.shared.wish(instance, |wished| wished.probes += 1);
    }
}

async fn sweep_regularly(shared: Weak<Shared>) {
    loop {
        tokio::time::sleep(SWEEP_EVERY).await;
        let Some(shared) = shared.upgrade() else {
            return;
        };
        shared.sweep().await;
    }
}
