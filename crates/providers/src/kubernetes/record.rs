//! What is on disk of each instance, so that the next run of the server finds it in its cluster.

use std::{path::PathBuf, time::Duration};

use foreshadow_types::{InstanceId, PoolName};
use serde::{Deserialize, Serialize};

use super::{cluster::Access, place::Whereabouts, spec::KubernetesSpec, template::Template};
use crate::{records::Kept, roster::Remembered};

/// Where an instance is, and how it is ended. It is written before the instance is created.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    instance: u64,
    pool: String,
    pub(super) generation: u64,
    kubeconfig: Option<PathBuf>,
    context: Option<String>,
    namespace: String,
    api_version: String,
    kind: String,
    stop_grace_ms: u64,
}

impl Record {
    pub(super) fn new(
        (id, pool, generation): (InstanceId, &PoolName, u64),
        place: &Whereabouts,
        stop_grace: Duration,
    ) -> Self {
        Self {
            instance: id.0,
            pool: pool.to_string(),
            generation,
            kubeconfig: place.access.kubeconfig.clone(),
            context: place.access.context.clone(),
            namespace: place.namespace.clone(),
            api_version: place.api_version.clone(),
            kind: place.kind.clone(),
            stop_grace_ms: u64::try_from(stop_grace.as_millis()).unwrap_or(u64::MAX),
        }
    }

    pub(super) fn whereabouts(&self) -> Whereabouts {
        Whereabouts {
            access: Access {
                kubeconfig: self.kubeconfig.clone(),
                context: self.context.clone(),
            },
            namespace: self.namespace.clone(),
            api_version: self.api_version.clone(),
            kind: self.kind.clone(),
        }
    }

    /// How it is treated where its pool is not configured any more; nothing can be made from it.
    pub(super) fn spec(&self) -> KubernetesSpec {
        KubernetesSpec {
            stop_grace: Duration::from_millis(self.stop_grace_ms),
            ..KubernetesSpec::new(Template::bare(&self.api_version, &self.kind))
        }
    }
}

impl Kept for Record {
    fn name(&self) -> String {
        self.id().to_string()
    }
}

impl Remembered for Record {
    fn id(&self) -> InstanceId {
        InstanceId(self.instance)
    }

    fn pool(&self) -> Option<PoolName> {
        PoolName::new(&self.pool).ok()
    }
}
