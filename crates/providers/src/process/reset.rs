//! Making an instance as new without ending its process.

use std::{process::Stdio, time::Duration};

use foreshadow_types::{InstanceId, PoolName};
use rustix::process::Signal;
use tokio::time::timeout;

use super::{leader::Leader, probe::resets, record::Records, spawn::of_instance};
use crate::spec::{ProcessSpec, Reset};

/// Whether the instance says that it is as new. Its process runs.
pub(super) async fn cleaned(
    spec: &ProcessSpec,
    pool: &PoolName,
    instance: InstanceId,
    port: u16,
    records: &Records,
) -> bool {
    match &spec.reset {
        Reset::Restart => false,
        Reset::Http(path) => resets(path, port, spec.start_timeout).await,
        Reset::Command(words) => {
            let command = of_instance(words, spec, pool, instance, port, records);
            let started = command.and_then(|mut command| {
                command.stdout(Stdio::null()).stderr(Stdio::null());
                Leader::spawn(command, spec.limits)
            });
            match started {
                Ok(leader) => Cleaner(Some(leader)).succeeds(spec.start_timeout).await,
                Err(error) => {
                    tracing::warn!(%pool, %instance, %error, "the reset command cannot be started");
                    false
                }
            }
        }
    }
}

/// A reset command; whatever it has started ends with it.
struct Cleaner(Option<Leader>);

impl Cleaner {
    /// Whether it ends well in time; one that takes longer is killed.
    async fn succeeds(mut self, within: Duration) -> bool {
        let ended = match &self.0 {
            Some(leader) => timeout(within, leader.ended()).await.is_ok(),
            None => false,
        };
        ended && self.0.take().is_some_and(Leader::succeeded)
    }
}

impl Drop for Cleaner {
    fn drop(&mut self) {
        if let Some(leader) = self.0.take() {
            leader.signal(Signal::KILL);
            leader.collect();
        }
    }
}
