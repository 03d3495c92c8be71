//! All kinds of providers behind one: each instance is known to one of them.

use std::{collections::BTreeSet, path::Path, sync::Arc};

use foreshadow_types::{InstanceId, PoolName};
use tokio::sync::mpsc;

use crate::{
    event::ProviderEvent,
    external::{ExternalProvider, ExternalSpec},
    fallback::{FallbackSpec, Fallbacks},
    process::{ProcessProvider, ReconcileReport},
    provider::{Claim, Provider, ProviderError},
    spec::ProcessSpec,
};

/// Processes of this machine and instances at external providers, and before them the allocators that
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
}

impl Providers {
    /// Providers without pools that keep what they must in folders below `data`, and report to
    /// `events`.
    ///
    /// # Errors
    /// [`ProviderError::Io`] if a folder cannot be used.
    pub fn open(data: &Path, events: mpsc::Sender<ProviderEvent>) -> Result<Self, ProviderError> {
        let own = Arc::new(Own {
            processes: ProcessProvider::open(&data.join("instances"), events.clone())?,
            external: ExternalProvider::open(&data.join("external"), events.clone())?,
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
        let external = |id: &InstanceId| self.external.knows(*id);
        let (elsewhere, here): (Vec<_>, Vec<_>) = stop.iter().copied().partition(external);
        tokio::join!(self.processes.close(&here), self.external.close(&elsewhere));
    }

    fn knows(&self, instance: InstanceId) -> bool {
        self.external.knows(instance) || self.processes.knows(instance)
    }

    /// Who has an instance that is known.
    fn of(&self, instance: InstanceId) -> &dyn Provider {
        if self.external.knows(instance) {
            return &self.external;
        }
        &self.processes
    }

    /// Who has an instance of this pool, or will have it.
    fn of_pool(&self, pool: &PoolName, instance: InstanceId) -> &dyn Provider {
        let external = self.external.knows(instance)
            || self.external.defines(pool) && !self.processes.knows(instance);
        if external {
            return &self.external;
        }
        &self.processes
    }
}

impl Provider for Providers {
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

    fn thaw(&self, instance: InstanceId) {
        if !self.fallbacks.knows(instance) {
            self.own.thaw(instance);
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

    fn thaw(&self, instance: InstanceId) {
        self.of(instance).thaw(instance);
    }

    fn stop(&self, instance: InstanceId) {
        self.of(instance).stop(instance);
    }

    fn probe(&self, instance: InstanceId) {
        self.of(instance).probe(instance);
    }
}
