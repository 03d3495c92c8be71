//! What a replica is to the others.

use std::{collections::BTreeMap, fs::File, path::Path};

use anyhow::Context;
use foreshadow_engine::EngineConfig;
use foreshadow_server::PeerTls;
use foreshadow_types::{PoolName, ShardId, Shards};

use crate::{config::ClusterConfig, failure::Failure};

/// How the others are reached over TLS, if it is configured.
pub(super) fn tls(cluster: &ClusterConfig) -> Result<Option<PeerTls>, Failure> {
    let Some(ca) = &cluster.ca else {
        return Ok(None);
    };
    let read = |path: &Path| {
        let text = std::fs::read_to_string(path);
        text.map_err(|error| Failure::bad_input(format!("[cluster]: {}: {error}", path.display())))
    };
    let mut tls = PeerTls::trusting(&read(ca)?);
    if let Some((certificate, key)) = &cluster.identity {
        tls = tls.showing(&read(certificate)?, &read(key)?);
    }
    Ok(Some(tls))
}

/// The name of this machine.
pub(super) fn machine() -> Result<String, Failure> {
    let read = std::fs::read_to_string("/proc/sys/kernel/hostname");
    let name = read.context("the machine's name; give `name` in [cluster]")?;
    Ok(name.trim().to_owned())
}

/// The data folder for this process alone, as long as what is given is kept.
pub(super) fn own_folder(folder: &Path) -> Result<File, Failure> {
    let unusable = |error: std::io::Error| {
        Failure::bad_input(format!("--data: {}: {error}", folder.display()))
    };
    std::fs::create_dir_all(folder).map_err(unusable)?;
    let lock = File::create(folder.join("replica.lock")).map_err(unusable)?;
    lock.try_lock().map_err(|_| {
        Failure::bad_input(format!(
            "--data: {} is in use by another replica; give each a folder of its own",
            folder.display()
        ))
    })?;
    Ok(lock)
}

/// The shard of each pool.
pub(super) fn placed(engine: &EngineConfig, shards: Shards) -> BTreeMap<PoolName, ShardId> {
    let pools = engine.pools.iter();
    pools
        .map(|pool| (pool.name().clone(), pool.shard(shards)))
        .collect()
}
