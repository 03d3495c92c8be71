//! All kinds of providers behind one: each instance is known to one of them.

use std::{collections::BTreeSet, path::Path, sync::Arc};

use foreshadow_types::{InstanceId, PoolName};
use tokio::sync::mpsc;

#[cfg(feature = "kubernetes")]
use crate::kubernetes::KubernetesProvider;
use crate::{
    event::ProviderEvent,
    external::{ExternalProvider, ExternalSpec},
    fallback::{FallbackSpec, Fallbacks},
    kubernetes::KubernetesSpec,
    process::{ProcessProvider, ReconcileReport},
    provider::{Claim, Lease, Provider, ProviderError},
    spec::ProcessSpec,
};

/// Processes of this machine, instances at external providers and in clusters, and before them the allocators that
/// pools fall back on. A pool may go from one kind to the other: its instances end where they were
/// started.
#[derive(Debug)]
pub struct Providers {
    own: Arc<Own>,
    fallbacks: Fallbacks<Own>,
}

/// What starts instances of a pool's own.
#[derive(Debug)]
struct Own {
    processes: ProcessProvider,
    external: ExternalProvider,
    #[cfg(feature = "kubernetes")]
    kubernetes: KubernetesProvider,
}

/// A provider whose instances are not on this machine.
trait Elsewhere: Provider {
    /// Whether it has the instances of a pool.
    fn has(&self, pool: &PoolName) -> bool;

    /// Whether it has an instance.
    fn holds(&self, instance: InstanceId) -> bool;
}

impl Elsewhere for ExternalProvider {
    fn has(&self, pool: &PoolName) -> bool {
        self.defines(pool)
    }

    fn holds(&self, instance: InstanceId) -> bool {
        self.knows(instance)
    }
}

#[cfg(feature = "kubernetes")]
impl Elsewhere for KubernetesProvider {
    fn has(&self, pool: &PoolName) -> bool {
        self.defines(pool)
    }

    fn holds(&self, instance: InstanceId) -> bool {
        self.knows(instance)
    }
}

impl Providers {
    /// Providers without pools that keep what they must in folders below `data`, and report to
    /// `events`. Whoever has instances elsewhere knows them by the name of `owner`
    /// ([`new_owner`](crate::new_owner)), else by names that the folders keep.
    ///
    /// # Errors
    /// [`ProviderError::Io`] if a folder cannot be used.
    pub fn open(
        data: &Path,
        owner: Option<&str>,
        events: mpsc::Sender<ProviderEvent>,
    ) -> Result<Self, ProviderError> {
        let own = Arc::new(Own {
            processes: ProcessProvider::open(&data.join("instances"), events.clone())?,
            external: ExternalProvider::open(&data.join("external"), owner, events.clone())?,
            #[cfg(feature = "kubernetes")]
            kubernetes: KubernetesProvider::open(&data.join("kubernetes"), owner, events.clone())?,
        });
        let fallbacks = Fallbacks::open(&data.join("fallback"), own.clone(), events)?;
        Ok(Self { own, fallbacks })
    }

    /// The instances of a pool are processes; those that run stay as they are.
    ///
    /// # Errors
    /// [`ProviderError::Spec`] if they cannot be started.
    pub fn define_process(&self, pool: PoolName, spec: ProcessSpec) -> Result<(), ProviderError> {
        self.own.processes.define(pool, spec)
    }

    /// The instances of a pool are at an external provider.
    ///
    /// # Errors
    /// As [`ExternalProvider::define`].
    pub fn define_external(&self, pool: PoolName, spec: ExternalSpec) -> Result<(), ProviderError> {
        self.own.external.define(pool, spec)
    }

    /// The instances of a pool are in a cluster.
    ///
    /// # Errors
    /// As [`KubernetesSpec::validate`], above all in a build without Kubernetes; then if it is not
    /// known how to call the cluster.
    pub fn define_kubernetes(
        &self,
        pool: &PoolName,
        spec: &KubernetesSpec,
    ) -> Result<(), ProviderError> {
        spec.validate()?;
        #[cfg(feature = "kubernetes")]
        self.own.kubernetes.define(pool.clone(), spec.clone())?;
        #[cfg(not(feature = "kubernetes"))]
        let _ = pool;
        Ok(())
    }

    /// A start that a request waits for is asked of this allocator first.
    ///
    /// # Errors
    /// [`ProviderError::Spec`] if it cannot be called as given.
    pub fn define_fallback(&self, pool: PoolName, spec: FallbackSpec) -> Result<(), ProviderError> {
        self.fallbacks.define(pool, spec)
    }

    /// After a restart: ends what is left of instances that are not known any more.
    ///
    /// # Errors
    /// [`ProviderError::Io`] if the records cannot be read.
    pub fn reconcile(
        &self,
        known: &BTreeSet<InstanceId>,
    ) -> Result<ReconcileReport, ProviderError> {
        self.fallbacks.reconcile(known);
        let stopped = self.own.external.reconcile(known);
        if stopped > 0 {
            tracing::info!(stopped, "external instances that are not known any more");
        }
        #[cfg(feature = "kubernetes")]
        self.own.kubernetes.reconcile(known);
        self.own.processes.reconcile(known)
    }

    /// Stops these instances and waits until nothing is left of them; all others keep running, and
    /// nothing is reported of them any more.
    pub async fn close(&self, stop: &[InstanceId]) {
        let given = |id: &InstanceId| self.fallbacks.knows(*id);
        let (given, own): (Vec<_>, Vec<_>) = stop.iter().copied().partition(given);
        tokio::join!(self.fallbacks.close(&given), self.own.close(&own));
    }
}

impl Own {
    async fn close(&self, stop: &[InstanceId]) {
        let of = |provider: &dyn Elsewhere| -> Vec<InstanceId> {
            let stop = stop.iter().copied();
            stop.filter(|id| provider.holds(*id)).collect()
        };
        let external = of(&self.external);
        #[cfg(feature = "kubernetes")]
        let clusters = {
            let of_clusters = of(&self.kubernetes);
            async move { self.kubernetes.close(&of_clusters).await }
        };
        #[cfg(not(feature = "kubernetes"))]
        let clusters = std::future::ready(());
        let here = stop.iter().copied();
        let here: Vec<_> = here.filter(|id| self.holder(*id).is_none()).collect();
        tokio::join!(
            self.processes.close(&here),
            self.external.close(&external),
            clusters
        );
    }

    /// All providers whose instances are not on this machine.
    fn elsewhere(&self) -> impl Iterator<Item = &dyn Elsewhere> {
        let all: [&dyn Elsewhere; _] = [
            &self.external,
            #[cfg(feature = "kubernetes")]
            &self.kubernetes,
        ];
        all.into_iter()
    }

    /// Who has an instance that is not on this machine.
    fn holder(&self, instance: InstanceId) -> Option<&dyn Elsewhere> {
        self.elsewhere().find(|provider| provider.holds(instance))
    }

    fn knows(&self, instance: InstanceId) -> bool {
        self.holder(instance).is_some() || self.processes.knows(instance)
    }

    /// Who has an instance that is known.
    fn of(&self, instance: InstanceId) -> &dyn Provider {
        match self.holder(instance) {
            Some(provider) => provider,
            None => &self.processes,
        }
    }

    /// Who has an instance of this pool, or will have it.
    fn of_pool(&self, pool: &PoolName, instance: InstanceId) -> &dyn Provider {
        if self.knows(instance) {
            return self.of(instance);
        }
        self.starter(pool)
    }

    /// Who starts instances of this pool.
    fn starter(&self, pool: &PoolName) -> &dyn Provider {
        match self.elsewhere().find(|provider| provider.has(pool)) {
            Some(provider) => provider,
            None => &self.processes,
        }
    }
}

impl Provider for Providers {
    fn kind(&self, pool: &PoolName) -> &'static str {
        self.own.kind(pool)
    }

    fn start(&self, pool: &PoolName, instance: InstanceId) {
        if !self.fallbacks.take_up(instance, |_| {}) {
            self.own.start(pool, instance);
        }
    }

    fn start_for(&self, pool: &PoolName, instance: InstanceId, claim: &Claim) {
        // What an earlier run began goes on where it was begun.
        if self.own.knows(instance) || !self.fallbacks.start(pool, instance, claim) {
            self.own.start(pool, instance);
        }
    }

    fn verify(&self, pool: &PoolName, instance: InstanceId) {
        if self.fallbacks.knows(instance) {
            self.fallbacks.take_up(instance, |_| {});
        } else {
            self.own.verify(pool, instance);
        }
    }

    fn reset(&self, pool: &PoolName, instance: InstanceId) {
        if self.fallbacks.knows(instance) {
            self.fallbacks.reset(instance);
        } else {
            self.own.reset(pool, instance);
        }
    }

    /// What a fallback gave is neither held nor thawed nor probed.
    fn hold(&self, instance: InstanceId) {
        if !self.fallbacks.knows(instance) {
            self.own.hold(instance);
        }
    }

    fn thaw(&self, instance: InstanceId, lease: Option<Lease>) {
        if !self.fallbacks.knows(instance) {
            self.own.thaw(instance, lease);
        }
    }

    fn stop(&self, instance: InstanceId) {
        if self.fallbacks.knows(instance) {
            self.fallbacks.stop(instance);
        } else {
            self.own.stop(instance);
        }
    }

    fn probe(&self, instance: InstanceId) {
        if !self.fallbacks.knows(instance) {
            self.own.probe(instance);
        }
    }
}

impl Provider for Own {
    fn kind(&self, pool: &PoolName) -> &'static str {
        self.starter(pool).kind(pool)
    }

    fn start(&self, pool: &PoolName, instance: InstanceId) {
        self.of_pool(pool, instance).start(pool, instance);
    }

    fn verify(&self, pool: &PoolName, instance: InstanceId) {
        self.of_pool(pool, instance).verify(pool, instance);
    }

    fn reset(&self, pool: &PoolName, instance: InstanceId) {
        self.of_pool(pool, instance).reset(pool, instance);
    }

    fn hold(&self, instance: InstanceId) {
        self.of(instance).hold(instance);
    }

    fn thaw(&self, instance: InstanceId, lease: Option<Lease>) {
        self.of(instance).thaw(instance, lease);
    }

    fn stop(&self, instance: InstanceId) {
        self.of(instance).stop(instance);
    }

    fn probe(&self, instance: InstanceId) {
        self.of(instance).probe(instance);
    }
}
