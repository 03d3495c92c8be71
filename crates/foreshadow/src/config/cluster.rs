//! Several replicas, as written in the configuration.

use std::{num::NonZeroU16, path::PathBuf, time::Duration};

use foreshadow_engine::{
    EngineConfig,
    config::{Durability, ProviderConfig},
};
use foreshadow_types::Shards;
use serde::Deserialize;

use super::text::Span;

/// Into how many shards pools are divided unless given.
const USUAL_SHARDS: NonZeroU16 = NonZeroU16::MIN.saturating_add(15);
/// The most shards.
const MOST_SHARDS: u16 = 1_024;
/// How long a shard is owned without renewal unless given.
const USUAL_TIME: Duration = Duration::from_secs(3);
/// The least of it: replicas renew twelve times in it.
const LEAST_TIME: Duration = Duration::from_secs(1);

/// What a replica is among the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClusterConfig {
    /// Where the shared ledger is; it may have a password.
    pub(crate) database: Secret,
    /// This replica's name; that of the machine if `None`.
    pub(crate) name: Option<String>,
    pub(crate) shards: Shards,
    /// Where the others reach this replica; where it listens if `None`.
    pub(crate) advertise: Option<String>,
    pub(crate) time: Duration,
    /// Who signs the replicas' certificates.
    pub(crate) ca: Option<PathBuf>,
    /// What this replica shows to the others.
    pub(crate) identity: Option<(PathBuf, PathBuf)>,
}

/// A text that is not shown.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(pub(crate) String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

/// The `[cluster]` table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCluster {
    database: Option<String>,
    name: Option<String>,
    shards: Option<NonZeroU16>,
    advertise: Option<String>,
    takeover: Option<Span>,
    instances: Option<PathBuf>,
    ca: Option<PathBuf>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
}

impl RawCluster {
    /// The cluster, or what is wrong with it.
    pub(super) fn apply(self, config: &mut EngineConfig) -> Result<ClusterConfig, String> {
        let database = given(self.database, "FORESHADOW_DATABASE").ok_or(
            "missing field `database`; give `postgresql://USER:PASSWORD@HOST/NAME`, here or in \
             FORESHADOW_DATABASE",
        )?;
        let shards = Shards(self.shards.unwrap_or(USUAL_SHARDS));
        if shards.count() > MOST_SHARDS {
            return Err(format!(
                "`shards` is {}; give at most {MOST_SHARDS}",
                shards.count()
            ));
        }
        let time = self.takeover.map_or(USUAL_TIME, |span| span.0);
        if time < LEAST_TIME {
            return Err("`takeover` is too short; give at least `1s`".to_owned());
        }
        if config.durability == Durability::Memory {
            return Err(
                "`durability = \"memory\"` is for one server alone; leave it out".to_owned(),
            );
        }
        config.check_shards(shards).map_err(|gap| gap.to_string())?;
        config.instances_dir = self.instances;
        check_processes(config)?;
        let advertise = given(self.advertise, "FORESHADOW_ADVERTISE");
        if let Some(address) = &advertise
            && !(address.starts_with("http://") || address.starts_with("https://"))
        {
            return Err(format!(
                "`advertise` is {address:?}; give `http://HOST:PORT` or `https://…`"
            ));
        }
        let identity = match (self.certificate, self.key) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => {
                return Err("give both `certificate` and `key`, or neither".to_owned());
            }
        };
        Ok(ClusterConfig {
            database: Secret(database),
            name: given(self.name, "FORESHADOW_REPLICA"),
            shards,
            advertise,
            time,
            ca: self.ca,
            identity,
        })
    }
}

/// What the file says, or else the environment, which may differ between replicas with one file.
fn given(said: Option<String>, variable: &str) -> Option<String> {
    said.or_else(|| std::env::var(variable).ok())
}

/// A process stays on its machine when its shard goes to another replica.
fn check_processes(config: &EngineConfig) -> Result<(), String> {
    let process = |kind: &ProviderConfig| matches!(kind, ProviderConfig::Process(_));
    let found = config.pools.iter().find(|pool| process(&pool.provider));
    match found {
        Some(pool) if config.instances_dir.is_none() => Err(format!(
            "pool `{}` starts processes, which only replicas on one machine can take over; give \
             `instances`, a folder that they share, or another provider",
            pool.name()
        )),
        Some(_) | None => Ok(()),
    }
}
