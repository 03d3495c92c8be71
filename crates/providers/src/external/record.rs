//! What is on disk of each instance, so that the next run of the server knows whom to ask about it.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use foreshadow_types::{InstanceId, PoolName};
use serde::{Deserialize, Serialize};

use crate::{records::Kept, roster::Remembered};

/// Where an instance is, and how it is ended. It is written before the provider is asked to start it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    instance: u64,
    pool: String,
    pub(super) endpoint: String,
    pub(super) token_file: Option<PathBuf>,
    stop_grace_ms: u64,
    call_timeout_ms: u64,
}

impl Record {
    pub(super) fn new(
        id: InstanceId,
        pool: &PoolName,
        endpoint: &str,
        token_file: Option<&Path>,
        (stop_grace, call_timeout): (Duration, Duration),
    ) -> Self {
        let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        Self {
            instance: id.0,
            pool: pool.to_string(),
            endpoint: endpoint.to_owned(),
            token_file: token_file.map(Path::to_owned),
            stop_grace_ms: millis(stop_grace),
            call_timeout_ms: millis(call_timeout),
        }
    }

    pub(super) fn stop_grace(&self) -> Duration {
        Duration::from_millis(self.stop_grace_ms)
    }

    /// Never zero, whatever the file says.
    pub(super) fn call_timeout(&self) -> Duration {
        Duration::from_millis(self.call_timeout_ms.max(1))
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
