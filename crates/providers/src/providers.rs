//! All kinds of providers behind one: each instance is known to one of them.

use std::{collections::BTreeSet, path::Path};

use foreshadow_types::{InstanceId, PoolName};
use tokio::sync::mpsc;

use crate::{
    event::ProviderEvent,
    external::{ExternalProvider, ExternalSpec},
    process::{ProcessProvider, ReconcileReport},
    provider::{Provider, ProviderError},
    spec::ProcessSpec,
};

/// Processes of this machine and instances at external providers. A pool may go from one kind to the
/// other: its instances end where they were started.
#[derive(Debug)]
pub struct Providers {
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
        Ok(Self {
            processes: ProcessProvider::open(&data.join("instances"), events.clone())?,
            external: ExternalProvider::open(&data.join("external"), events)?,
        })
    }

    /// The instances of a pool are processes; those that run stay as they are.
    ///
    /// # Errors
    /// [`ProviderError::Spec`] if they cannot be started.
    pub fn define_process(&self, pool: PoolName, spec: ProcessSpec) -> Result<(), ProviderError> {
        self.processes.define(pool, spec)
    }

    /// The instances of a pool are at an external provider.
    ///
    /// # Errors
    /// As [`ExternalProvider::define`].
    pub fn define_external(&self, pool: PoolName, spec: ExternalSpec) -> Result<(), ProviderError> {
        self.external.define(pool, spec)
    }

    /// After a restart: ends what is left of instances that are not known any more.
    ///
    /// # Errors
    /// [`ProviderError::Io`] if the records cannot be read.
    pub fn reconcile(
        &self,
        known: &BTreeSet<InstanceId>,
    ) -> Result<ReconcileReport, ProviderError> {
        let stopped = self.external.reconcile(known);
        if stopped > 0 {
            tracing::info!(stopped, "external instances that are not known any more");
        }
        self.processes.reconcile(known)
    }

    /// Stops these instances and waits until nothing is left of them; all others keep running, and
    /// nothing is reported of them any more.
    pub async fn close(&self, stop: &[InstanceId]) {
        let external = |id: &InstanceId| self.external.knows(*id);
        let (elsewhere, here): (Vec<_>, Vec<_>) = stop.iter().copied().partition(external);
        tokio::join!(self.processes.close(&here), self.external.close(&elsewhere));
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
