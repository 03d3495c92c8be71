//! Definitions and plans.

use std::sync::Arc;

use foreshadow_types::{InstanceCount, PoolName, TenantId, Timestamp};

use crate::{
    AdoptedPlan, AllocationState, Allocator, AllocatorError, EventKind, PoolPlan, PoolSpec,
    TenantQuota,
    state::{Pool, PoolIx},
};

/// Most points kept of a curve of predicted demand.
const MAX_CURVE: usize = 4_096;

impl Allocator {
    pub(crate) fn define_pool(
        &mut self,
        spec: PoolSpec,
        now: Timestamp,
    ) -> Result<(), AllocatorError> {
        spec.check()?;
        let known = self.state.pool_named(&spec.name);
        if let Some(ix) = known {
            let record = &self.state.pool(ix).record;
            if *record.spec == spec && !record.retired {
                return Ok(());
            }
        }
        let name = spec.name.clone();
        self.decide(now, EventKind::PoolDefined(Arc::new(spec)));
        self.matches.clear();
        self.touched.extend(self.state.pool_named(&name));
        Ok(())
    }

    pub(crate) fn limit_tenant(
        &mut self,
        tenant: TenantId,
        quota: TenantQuota,
        now: Timestamp,
    ) -> Result<(), AllocatorError> {
        quota.check()?;
        let before = self.state.quota(&tenant);
        if before == quota {
            return Ok(());
        }
        let mut named = quota.warm.keys();
        if let Some(unknown) = named.find(|pool| self.state.pool_named(pool).is_none()) {
            return Err(AllocatorError::UnknownPool(unknown.clone()));
        }
        // What was asked at the old rate says nothing at the new one.
        if before.rate != quota.rate {
            self.rates.forget(&tenant);
        }
        let pools = before.warm.keys().chain(quota.warm.keys());
        let pools: Vec<_> = pools
            .filter_map(|pool| self.state.pool_named(pool))
            .collect();
        self.decide(now, EventKind::TenantLimited { tenant, quota });
        self.touched.extend(pools);
        Ok(())
    }

    pub(crate) fn drain_pool(
        &mut self,
        name: &PoolName,
        now: Timestamp,
    ) -> Result<(), AllocatorError> {
        let known = self.state.pool_named(name);
        let ix = known.ok_or_else(|| AllocatorError::UnknownPool(name.clone()))?;
        let members = self.state.instances.values();
        let members: Vec<_> = members
            .filter(|instance| instance.pool == ix && !instance.record.draining)
            .map(|instance| instance.record.id)
            .collect();
        for instance in members {
            self.decide(now, EventKind::InstanceDraining { instance });
        }
        self.touched.insert(ix);
        Ok(())
    }

    pub(crate) fn retire_pool(
        &mut self,
        name: &PoolName,
        now: Timestamp,
    ) -> Result<(), AllocatorError> {
        let known = self.state.pool_named(name);
        let ix = known.ok_or_else(|| AllocatorError::UnknownPool(name.clone()))?;
        self.decide(now, EventKind::PoolRetired(name.clone()));
        self.matches.clear();
        self.reject_waiting(ix, now);
        self.touched.insert(ix);
        Ok(())
    }

    /// Everybody who waits for a retired pool is told at once.
    pub(crate) fn reject_waiting(&mut self, ix: PoolIx, now: Timestamp) {
        let pool = self.state.pool(ix);
        let queued = pool.queue.iter().map(|&(.., id)| id);
        let firm = pool.firm.iter().map(|&(_, id)| id);
        let ahead = pool.ahead.iter().map(|&(_, id)| id);
        let waiting: Vec<_> = queued.chain(firm).chain(ahead).collect();
        for id in waiting {
            self.end(id, AllocationState::Rejected, now);
        }
    }

    /// A retired pool is forgotten with its last instance and allocation.
    pub(crate) fn remove_if_empty(&mut self, ix: PoolIx, now: Timestamp) {
        let pool = self.state.pool(ix);
        if !pool.record.retired {
            return;
        }
        let name = pool.spec().name.clone();
        let current = self.state.pool_named(&name) == Some(ix);
        if current && pool.total() == 0 && pool.live == 0 {
            self.decide(now, EventKind::PoolRemoved(name));
        }
    }

    pub(crate) fn adopt_plan(
        &mut self,
        plan: AdoptedPlan,
        now: Timestamp,
    ) -> Result<(), AllocatorError> {
        let current = self.state.counters.plan_generation;
        let offered = plan.generation;
        if offered <= current {
            return Err(AllocatorError::StalePlan { current, offered });
        }
        let mut pools = Vec::with_capacity(plan.pools.len());
        for part in plan.pools {
            let known = self.state.pool_named(&part.pool);
            let ix = known.ok_or_else(|| AllocatorError::UnknownPool(part.pool.clone()))?;
            pools.push((ix, bounded(part, self.state.pool(ix))));
        }
        let touched: Vec<PoolIx> = pools.iter().map(|&(ix, _)| ix).collect();
        let pools = pools.into_iter().map(|(_, part)| part).collect();
        let plan = AdoptedPlan {
            generation: offered,
            pools,
        };
        self.decide(now, EventKind::PlanAdopted(Arc::new(plan)));
        self.touched.extend(touched);
        Ok(())
    }
}

/// The plan within the limits of the pool: no more than its maximum in all, reservations first
/// come first served, and a curve that rises.
fn bounded(plan: PoolPlan, pool: &Pool) -> PoolPlan {
    let max = pool.spec().max.0;
    let mut left = max;
    let mut reservations = plan.reservations;
    for reservation in &mut reservations {
        reservation.count.0 = reservation.count.0.min(left);
        left -= reservation.count.0;
    }
    reservations.retain(|reservation| reservation.count.0 > 0);
    let mut predicted_demand = plan.predicted_demand;
    predicted_demand.truncate(MAX_CURVE);
    predicted_demand.sort_by_key(|&(at, _)| at);
    let mut highest = 0;
    for (_, demand) in &mut predicted_demand {
        highest = highest.max(*demand);
        *demand = highest;
    }
    PoolPlan {
        pool: plan.pool,
        target: InstanceCount(plan.target.0.min(max)),
        reservations,
        predicted_demand,
    }
}
