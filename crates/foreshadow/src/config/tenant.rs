//! Tenants and priorities as written in the configuration.

use std::collections::BTreeMap;

use foreshadow_engine::{
    EngineConfig,
    allocator::{RequestRate, TenantQuota, WarmQuota},
};
use foreshadow_types::{PoolName, TenantId};
use serde::Deserialize;

/// A `[[tenant]]` table: what a tenant may take.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTenant {
    name: String,
    live: Option<u32>,
    rate: Option<RawRate>,
    /// By pool.
    #[serde(default)]
    warm: BTreeMap<String, RawWarm>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawWarm {
    #[serde(default)]
    floor: u32,
    cap: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRate {
    per_second: u32,
    burst: Option<u32>,
}

/// The `[priority]` table: how the queue ranks requests.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPriority {
    stated: Option<i32>,
    #[serde(default)]
    usage: i32,
    usage_metric: Option<String>,
    #[serde(default)]
    pools: BTreeMap<String, i32>,
    /// For each label the weights of its values.
    #[serde(default)]
    labels: BTreeMap<String, BTreeMap<String, i32>>,
}

impl RawTenant {
    /// The tenant and its quota, or what is wrong with it.
    pub(super) fn check(self) -> Result<(TenantId, TenantQuota), String> {
        let tenant = TenantId::new(&self.name).map_err(|error| error.to_string())?;
        let rate = self.rate.map(|rate| RequestRate {
            per_second: rate.per_second,
            burst: rate.burst.unwrap_or(rate.per_second),
        });
        let warm = self.warm.into_iter().map(|(pool, raw)| {
            let pool = PoolName::new(&pool).map_err(|error| format!("warm: {error}"))?;
            let (floor, cap) = (raw.floor, raw.cap);
            Ok((pool, WarmQuota { floor, cap }))
        });
        let quota = TenantQuota {
            live: self.live,
            rate,
            warm: warm.collect::<Result<_, String>>()?,
        };
        let checked = quota.check();
        checked.map_err(|error| format!("tenant `{tenant}`: {error}"))?;
        Ok((tenant, quota))
    }
}

impl RawPriority {
    /// Puts the weights where the engine finds them.
    pub(super) fn apply(self, config: &mut EngineConfig) -> Result<(), String> {
        let weights = &mut config.priorities;
        weights.stated = self.stated.unwrap_or(weights.stated);
        weights.usage = self.usage;
        for (pool, weight) in self.pools {
            let pool = PoolName::new(&pool).map_err(|error| format!("priority: {error}"))?;
            weights.pools.insert(pool, weight);
        }
        for (key, values) in self.labels {
            let values = values.into_iter();
            let values = values.map(|(value, weight)| ((key.clone(), value), weight));
            weights.labels.extend(values);
        }
        config.usage_metric = self.usage_metric;
        Ok(())
    }
}
