//! Making an instance as new without ending its process.

use std::{process::Stdio, time::Duration};

use foreshadow_types::{InstanceId, PoolName};
use tokio::{process::Command, time::timeout};

use super::{probe::resets, spawn::prepared};
use crate::spec::{ProcessSpec, Reset};

/// Whether the instance says that it is as new. Its process runs.
pub(super) async fn cleaned(
    spec: &ProcessSpec,
    pool: &PoolName,
    instance: InstanceId,
    port: u16,
) -> bool {
    match &spec.reset {
        Reset::Restart => false,
        Reset::Http(path) => resets(path, port, spec.start_timeout).await,
        Reset::Command(words) => {
            let Ok(command) = prepared(words, spec, pool, instance, port) else {
                return false;
            };
            succeeds(command.into(), spec.start_timeout).await
        }
    }
}

/// Whether the command ends well in time; one that takes longer is killed.
async fn succeeds(mut command: Command, within: Duration) -> bool {
    command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let ended = timeout(within, command.status()).await;
    ended.is_ok_and(|status| status.is_ok_and(|status| status.success()))
}
