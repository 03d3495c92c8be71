//! What tenants are promised, and allowed, of the warm instances of one pool.

use std::collections::BTreeMap;

use foreshadow_types::{PoolName, TenantId};

use super::{Place, PoolIx, State};
use crate::WarmQuota;

/// The tenants with a floor or a cap in a pool, and what they have of it.
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Warm {
    parts: BTreeMap<TenantId, Part>,
    kept: u32,
}

/// One tenant's.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Part {
    pub(crate) quota: WarmQuota,
    /// Instances that its allocations hold.
    pub(crate) held: u32,
    /// Its allocations that wait or are booked without an instance.
    pub(crate) waiting: u32,
}

impl Part {
    /// What is missing to its floor.
    fn kept(&self) -> u32 {
        self.quota.floor.saturating_sub(self.held)
    }
}

impl Warm {
    pub(crate) fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    pub(crate) fn part(&self, tenant: &TenantId) -> Option<Part> {
        self.parts.get(tenant).copied()
    }

    /// Free instances that only those may take who have less than their floor.
    pub(crate) fn kept(&self) -> u32 {
        self.kept
    }

    /// Those of them that are for this tenant.
    pub(crate) fn kept_for(&self, tenant: &TenantId) -> u32 {
        self.parts.get(tenant).map_or(0, Part::kept)
    }

    /// Whether a request of the tenant that waits here may be given another instance.
    pub(crate) fn may_hold(&self, tenant: &TenantId) -> bool {
        let part = self.parts.get(tenant);
        part.is_none_or(|part| part.quota.cap.is_none_or(|cap| part.held < cap))
    }

    /// Whether the tenant may ask for another instance: what waits will hold one in its time.
    pub(crate) fn may_ask(&self, tenant: &TenantId) -> bool {
        let part = self.parts.get(tenant);
        part.is_none_or(|part| {
            let spoken_for = part.held.saturating_add(part.waiting);
            part.quota.cap.is_none_or(|cap| spoken_for < cap)
        })
    }

    pub(super) fn set(&mut self, tenant: &TenantId, part: Part) {
        self.remove(tenant);
        self.kept = self.kept.saturating_add(part.kept());
        self.parts.insert(tenant.clone(), part);
    }

    pub(super) fn remove(&mut self, tenant: &TenantId) {
        if let Some(part) = self.parts.remove(tenant) {
            self.kept -= part.kept();
        }
    }

    pub(super) fn change(&mut self, tenant: &TenantId, change: impl FnOnce(&mut Part)) {
        let Some(part) = self.parts.get_mut(tenant) else {
            return;
        };
        self.kept -= part.kept();
        change(part);
        self.kept = self.kept.saturating_add(part.kept());
    }
}

impl State {
    /// The floors and caps in a pool that has nothing yet.
    pub(super) fn warm_of(&self, pool: &PoolName) -> Warm {
        let mut warm = Warm::default();
        for (tenant, &quota) in self.warm.get(pool).into_iter().flatten() {
            let part = Part {
                quota,
                ..Part::default()
            };
            warm.set(tenant, part);
        }
        warm
    }

    /// A tenant's floors and caps are others now.
    pub(super) fn change_warm(
        &mut self,
        tenant: &TenantId,
        before: &BTreeMap<PoolName, WarmQuota>,
        after: &BTreeMap<PoolName, WarmQuota>,
    ) {
        for pool in before.keys().filter(|pool| !after.contains_key(*pool)) {
            if let Some(tenants) = self.warm.get_mut(pool) {
                tenants.remove(tenant);
                if tenants.is_empty() {
                    self.warm.remove(pool);
                }
            }
            if let Some(ix) = self.pool_named(pool) {
                self.pools[ix.0 as usize].warm.remove(tenant);
            }
        }
        for (pool, &quota) in after {
            let tenants = self.warm.entry(pool.clone()).or_default();
            tenants.insert(tenant.clone(), quota);
            if let Some(ix) = self.pool_named(pool) {
                let part = Part {
                    quota,
                    ..self.part_of(ix, tenant)
                };
                self.pools[ix.0 as usize].warm.set(tenant, part);
            }
        }
    }

    /// What a tenant has of a pool; counted, if it had neither floor nor cap there so far.
    fn part_of(&self, ix: PoolIx, tenant: &TenantId) -> Part {
        let pool = self.pool(ix);
        if let Some(part) = pool.warm.part(tenant) {
            return part;
        }
        let is_held = |instance: &&super::Instance| {
            instance.pool == ix
                && instance.tenant.as_ref() == Some(tenant)
                && instance.place() == Place::Held
        };
        let queued = pool.queue.iter().map(|&(.., id)| id);
        let firm = pool.firm.iter().map(|&(_, id)| id);
        let ahead = pool.ahead.iter().map(|&(_, id)| id);
        let waits = |id: &foreshadow_types::AllocationId| {
            self.allocations.get(id).is_some_and(|alloc| {
                let record = &alloc.record;
                record.request.tenant() == tenant && record.binding.hold().is_none()
            })
        };
        Part {
            quota: WarmQuota::default(),
            held: self.instances.values().filter(is_held).count() as u32,
            waiting: queued.chain(firm).chain(ahead).filter(waits).count() as u32,
        }
    }
}
