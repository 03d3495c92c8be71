//! The provider of instances in clusters.

use std::{collections::BTreeSet, path::Path, sync::Arc, time::Duration};

use foreshadow_types::{InstanceId, PoolName};
use tokio::sync::mpsc;

use super::{instance::Origin, shared::Shared, spec::KubernetesSpec};
use crate::{
    event::ProviderEvent,
    provider::{Lease, Provider, ProviderError},
    supervision::Wishes,
    sweep::{Sweep, sweep_regularly},
};

/// How much longer than its `stop_grace` an instance may take to end at a shutdown: a kubelet tells
/// every ten seconds what has ended.
const CLOSE_MARGIN: Duration = Duration::from_secs(15);

/// Has instances in Kubernetes clusters.
///
/// The name of an object follows from its instance, so that a start that is repeated creates nothing
/// twice. The instances outlive the server: a record on disk tells its next run where each is, and
/// labels tell it to another replica, which has no record. An API server that does not answer changes nothing: instances that were ready stay in use, starts fail
/// when their time is over, removals are asked for until they are confirmed. To be made and used
/// within a tokio runtime.
#[derive(Debug)]
pub struct KubernetesProvider {
    shared: Arc<Shared>,
}

impl KubernetesProvider {
    /// A provider without pools that keeps its records in `folder`, one of its own, and reports to
    /// `events`. It is known by the name of `owner`, else by one that the folder keeps.
    ///
    /// # Errors
    /// [`ProviderError::Io`] if the folder cannot be used.
    pub fn open(
        folder: &Path,
        owner: Option<&str>,
        events: mpsc::Sender<ProviderEvent>,
    ) -> Result<Self, ProviderError> {
        let shared = Arc::new(Shared::open(folder, owner, events)?);
        let sweeps = sweep_regularly(Arc::downgrade(&shared));
        shared.roster.supervised.spawn(sweeps);
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
        self.shared.roster.owner()?;
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
        self.shared.roster.knows(id)
    }

    /// After a restart: stops every instance of an earlier run that is not known any more, and says
    /// how many of them are on record. Those of which there is no record are found by a sweep.
    pub fn reconcile(&self, known: &BTreeSet<InstanceId>) -> usize {
        let strangers = self.shared.roster.reconcile(known);
        for &id in &strangers {
            self.stop(id);
        }
        let sweep = self.shared.clone().sweep();
        self.shared.roster.supervised.spawn(sweep);
        strangers.len()
    }

    /// Removes what clusters have of ours that nobody knows: an instance whose record was lost. This
    /// happens by itself every half minute.
    pub async fn sweep(&self) {
        self.shared.clone().sweep().await;
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
        self.shared.roster.close(stop, grace + CLOSE_MARGIN).await;
    }
}

impl Provider for KubernetesProvider {
    fn kind(&self, _: &PoolName) -> &'static str {
        "kubernetes"
    }

    fn start(&self, pool: &PoolName, instance: InstanceId) {
        self.shared.supervise(pool, instance, Origin::New);
    }

    fn verify(&self, pool: &PoolName, instance: InstanceId) {
        if !self
            .shared
            .roster
            .wish(instance, |wished| wished.probes += 1)
        {
            self.shared.supervise(pool, instance, Origin::Earlier);
        }
    }

    fn reset(&self, pool: &PoolName, instance: InstanceId) {
        let as_new = |wished: &mut Wishes| {
            wished.resets += 1;
            (wished.rest, wished.claimed, wished.lease) = (false, false, None);
        };
        if !self.shared.roster.wish(instance, as_new) {
            self.shared.supervise(pool, instance, Origin::Used);
        }
    }

    fn hold(&self, instance: InstanceId) {
        self.shared.roster.wish(instance, |wished| {
            (wished.rest, wished.claimed, wished.lease) = (true, false, None);
        });
    }

    fn thaw(&self, instance: InstanceId, lease: Option<Lease>) {
        self.shared.roster.wish(instance, |wished| {
            (wished.rest, wished.claimed, wished.lease) = (false, true, lease);
        });
    }

    fn stop(&self, instance: InstanceId) {
        if let Some(pool) = self.shared.roster.stop(instance) {
            self.shared.supervise(&pool, instance, Origin::Unwanted);
        }
    }

    fn probe(&self, instance: InstanceId) {
        self.shared
            .roster
            .wish(instance, |wished| wished.probes += 1);
    }
}
