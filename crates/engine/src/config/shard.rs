//! One shard's part of what several replicas serve.

use std::{fmt, path::PathBuf};

use foreshadow_allocator::TenantQuota;
use foreshadow_types::{PoolName, ShardId, Shards};
use thiserror::Error;

use super::{EngineConfig, PoolConfig};

/// Where decisions are kept.
#[derive(Clone, PartialEq, Eq, Default)]
pub enum LedgerPlace {
    /// In the data folder.
    #[default]
    DataDir,
    /// In a `PostgreSQL` that replicas share.
    #[cfg(feature = "cluster")]
    Shared {
        /// How it is reached, `postgresql://…`.
        url: String,
        /// Under which epoch this engine owns its shard.
        epoch: u64,
        /// How long a write is tried again while the server cannot be reached.
        patience: std::time::Duration,
    },
}

/// Without the URL, which may have a password.
impl fmt::Debug for LedgerPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DataDir => f.write_str("DataDir"),
            #[cfg(feature = "cluster")]
            Self::Shared { epoch, .. } => f.debug_struct("Shared").field("epoch", epoch).finish(),
        }
    }
}

/// Pools that must be in one shard are not.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("pool `{pool}` follows `{after}`, which is in another shard; give both the same `group`")]
pub struct ShardGap {
    /// The pool that follows.
    pub pool: PoolName,
    /// The pool that it follows.
    pub after: PoolName,
}

impl PoolConfig {
    /// The shard that it is in.
    pub fn shard(&self, shards: Shards) -> ShardId {
        let group = self.group.as_deref();
        shards.of_name(group.unwrap_or(self.name().as_str()))
    }
}

impl EngineConfig {
    /// What a quota says of the pools that are here.
    pub(crate) fn own_part(&self, quota: &TenantQuota) -> TenantQuota {
        let elsewhere = |name: &PoolName| self.elsewhere.iter().any(|pool| pool.name() == name);
        let mut own = quota.clone();
        own.warm.retain(|pool, _| !elsewhere(pool));
        own
    }

    /// The pools of all shards.
    pub(crate) fn all_pools(&self) -> Vec<PoolConfig> {
        self.pools.iter().chain(&self.elsewhere).cloned().collect()
    }

    /// Whether what must be in one shard is.
    ///
    /// # Errors
    /// [`ShardGap`] names the first two pools that are apart.
    pub fn check_shards(&self, shards: Shards) -> Result<(), ShardGap> {
        let shard_of = |name: &PoolName| {
            let pool = self.pools.iter().find(|pool| pool.name() == name);
            pool.map(|pool| pool.shard(shards))
        };
        let follows = &self.shadow.follows;
        let apart = follows
            .iter()
            .find(|follow| shard_of(&follow.pool) != shard_of(&follow.after));
        apart.map_or(Ok(()), |follow| {
            Err(ShardGap {
                pool: follow.pool.clone(),
                after: follow.after.clone(),
            })
        })
    }

    /// The part of one shard: its pools, in folders of its own below those of the whole.
    #[must_use]
    pub fn part(&self, shard: ShardId, shards: Shards) -> Self {
        let below = |folder: PathBuf| folder.join(format!("shard-{shard}"));
        let mut part = self.clone();
        let own = |pool: &PoolConfig| pool.shard(shards) == shard;
        (part.pools, part.elsewhere) = self.pools.iter().cloned().partition(own);
        part.shard = shard;
        part.data_dir = below(self.data_dir.clone());
        part.history_dir = self.history_dir.clone().map(below);
        part.instances_dir = self.instances_dir.clone().map(below);
        part
    }
}

#[cfg(test)]
mod tests {
    use std::{num::NonZeroU16, time::Duration};

    use foreshadow_planner::Follow;
    use foreshadow_providers::ProcessSpec;

    use super::*;

    fn whole() -> EngineConfig {
        let mut config = EngineConfig::new("/data");
        config.pools = (0..20)
            .map(|n| {
                let name = PoolName::new(&format!("pool-{n}")).unwrap();
                PoolConfig::new(name, ProcessSpec::new(vec!["true".to_owned()]), 3)
            })
            .collect();
        config
    }

    #[test]
    fn every_pool_is_in_one_part_and_known_to_all() {
        let shards = Shards(NonZeroU16::new(4).unwrap());
        let parts: Vec<_> = shards.all().map(|id| whole().part(id, shards)).collect();
        let own: usize = parts.iter().map(|part| part.pools.len()).sum();
        assert_eq!(own, 20);
        for part in &parts {
            assert_eq!(part.all_pools().len(), 20);
            part.validate().unwrap();
        }
        assert_eq!(parts[2].data_dir, PathBuf::from("/data/shard-2"));
    }

    #[test]
    fn what_follows_is_in_the_same_shard() {
        let shards = Shards(NonZeroU16::new(16).unwrap());
        let mut config = whole();
        let names: Vec<_> = config
            .pools
            .iter()
            .map(|pool| pool.name().clone())
            .collect();
        let apart = names
            .iter()
            .find(|name| shards.of_name(name.as_str()) != shards.of_name(names[0].as_str()));
        let apart = apart.unwrap().clone();
        config.shadow.follows.push(Follow {
            pool: names[0].clone(),
            after: apart.clone(),
            delay: Duration::from_mins(4),
            share: 1.0,
        });
        let gap = config.check_shards(shards).unwrap_err();
        assert_eq!(gap.after, apart);
        for pool in &mut config.pools {
            pool.group = Some("builds".to_owned());
        }
        config.check_shards(shards).unwrap();
    }

    #[cfg(feature = "cluster")]
    #[test]
    fn the_url_of_the_ledger_is_not_shown() {
        let place = LedgerPlace::Shared {
            url: "postgresql://u:secret@db/f".to_owned(),
            epoch: 3,
            patience: Duration::from_secs(1),
        };
        assert!(!format!("{place:?}").contains("secret"));
    }
}
