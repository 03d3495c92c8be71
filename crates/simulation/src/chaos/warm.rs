//! What tenants are promised, and allowed, of the instances of each pool.

use std::collections::{BTreeMap, BTreeSet};

use foreshadow_allocator::{Allocation, Invariant, TenantQuota, WarmQuota};
use foreshadow_types::{AllocationId, InstanceId, PoolName, TenantId};

use super::model::Model;

/// Floors and caps that were acknowledged, and what was seen at the last check.
#[derive(Debug, Default)]
pub(super) struct WarmQuotas {
    known: BTreeMap<PoolName, BTreeMap<TenantId, WarmQuota>>,
    /// Tenants whose new quota may be in force or not: its answer has not come.
    unsure: BTreeSet<TenantId>,
    /// Tenants whose quota is another than at the last check.
    changed: BTreeSet<TenantId>,
    held: BTreeMap<(PoolName, TenantId), u32>,
    lacking: BTreeMap<PoolName, u32>,
}

impl WarmQuotas {
    pub(super) fn sent(&mut self, tenant: &TenantId) {
        self.unsure.insert(tenant.clone());
    }

    pub(super) fn answered(&mut self, tenant: &TenantId, quota: &TenantQuota, taken: bool) {
        self.unsure.remove(tenant);
        self.changed.insert(tenant.clone());
        if !taken {
            return;
        }
        for tenants in self.known.values_mut() {
            tenants.remove(tenant);
        }
        for (pool, &warm) in &quota.warm {
            let tenants = self.known.entry(pool.clone()).or_default();
            tenants.insert(tenant.clone(), warm);
        }
    }

    /// Whether this tenant's quota is known and was so at the last check.
    fn is_settled(&self, tenant: &TenantId) -> bool {
        !self.unsure.contains(tenant) && !self.changed.contains(tenant)
    }

    fn held(&self, pool: &PoolName, tenant: &TenantId) -> u32 {
        let key = (pool.clone(), tenant.clone());
        self.held.get(&key).copied().unwrap_or_default()
    }

    /// Caps that are broken. Who held more when the cap was set may keep it.
    fn over_caps(&self, before: &Self) -> Vec<String> {
        let mut broken = Vec::new();
        for (pool, tenants) in &self.known {
            for (tenant, quota) in tenants.iter().filter(|(tenant, _)| self.is_settled(tenant)) {
                let held = self.held(pool, tenant);
                let most = quota.cap.map(|cap| cap.max(before.held(pool, tenant)));
                if most.is_some_and(|most| held > most) {
                    broken.push(format!("{tenant} holds {held} of {pool}, with {quota:?}"));
                }
            }
        }
        broken
    }

    /// How many instances a pool lacks to fill what floors promise beside all that is held.
    fn lacks(&self, pool: &PoolName, max: u32) -> u32 {
        let held = self.held.iter().filter(|((of, _), _)| of == pool);
        let held: u32 = held.map(|(_, held)| held).sum();
        let tenants = self.known.get(pool).into_iter().flatten();
        let missing = tenants.map(|(tenant, quota)| {
            let floor = quota.floor;
            floor.saturating_sub(self.held(pool, tenant))
        });
        (held + missing.sum::<u32>()).saturating_sub(max)
    }
}

impl Model {
    /// Nobody holds more than their cap, and nobody holds what a floor keeps for another.
    pub(super) fn check_warm(&mut self, views: &BTreeMap<AllocationId, Allocation>) {
        let held = held(views);
        let mut now = std::mem::take(&mut self.warm);
        let before = WarmQuotas {
            held: std::mem::replace(&mut now.held, held),
            lacking: std::mem::take(&mut now.lacking),
            ..WarmQuotas::default()
        };
        for what in now.over_caps(&before) {
            self.breach(Invariant::WarmQuotasKept, what);
        }
        let settled = now.unsure.is_empty() && now.changed.is_empty();
        for (pool, spec) in &self.specs {
            now.lacking
                .insert(pool.clone(), now.lacks(pool, spec.max.0));
        }
        let taken = now.lacking.iter().filter(|&(pool, &lacks)| {
            lacks > before.lacking.get(pool).copied().unwrap_or_default()
        });
        let taken: Vec<_> = taken.map(|(pool, lacks)| (pool.clone(), *lacks)).collect();
        for (pool, lacks) in taken.into_iter().filter(|_| settled) {
            let what = format!("{pool} has {lacks} instances too few to fill its floors");
            self.breach(Invariant::WarmQuotasKept, what);
        }
        now.changed.clear();
        self.warm = now;
    }
}

/// How many instances of each pool each tenant holds.
fn held(views: &BTreeMap<AllocationId, Allocation>) -> BTreeMap<(PoolName, TenantId), u32> {
    let mut instances: BTreeMap<(PoolName, TenantId), BTreeSet<InstanceId>> = BTreeMap::new();
    for view in views.values().filter(|view| view.state.is_live()) {
        if let Some(instance) = &view.instance {
            let key = (view.pool.clone(), view.tenant.clone());
            instances.entry(key).or_default().insert(instance.id);
        }
    }
    let counted = instances.into_iter();
    counted.map(|(key, ids)| (key, ids.len() as u32)).collect()
}
