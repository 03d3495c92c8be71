//! Events into state. Nothing here decides: the same events give the same state for ever.

use std::sync::Arc;

use foreshadow_types::{AllocationId, FencingToken, InstanceId, PoolName, TenantId, Timestamp};
use thiserror::Error;

use super::{Alloc, Instance, Pool, PoolIx, State, Timer, tenant_slot};
use crate::{
    AdoptedPlan, AllocationRecord, AllocationState, Binding, Event, EventKind, InstanceRecord,
    Phase, PoolRecord, PoolSpec, Served, StopCause, TenantQuota,
    startup::{Startups, remember},
};

/// Ended allocations forgotten with each event at the most, so that no event takes long.
const FORGOTTEN_AT_ONCE: usize = 4;

/// An event that does not fit the state: it is not of this ledger, or the ledger has a gap.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ApplyError {
    /// The event speaks of a pool that was never defined.
    #[error("an event speaks of pool {0}, which no earlier event defines")]
    Pool(PoolName),
    /// The event speaks of an instance that was never started or is gone.
    #[error("an event speaks of instance {0}, which no earlier event starts")]
    Instance(InstanceId),
    /// The event speaks of an allocation that was never created or is over.
    #[error("an event speaks of allocation {0}, which no earlier event creates")]
    Allocation(AllocationId),
    /// The event takes an instance from its holders.
    #[error("an event stops instance {0}, which is held")]
    Held(InstanceId),
    /// An id is used twice.
    #[error("an event creates {0} a second time")]
    Twice(String),
}

impl State {
    /// Applies one event.
    ///
    /// # Errors
    /// [`ApplyError`] if it does not fit; the state is then as it was.
    pub(crate) fn apply(&mut self, event: &Event) -> Result<(), ApplyError> {
        let at = event.at;
        match &event.kind {
            EventKind::PoolDefined(spec) => self.define_pool(spec),
            EventKind::PoolRetired(name) => self.pool_mut(name)?.record.retired = true,
            EventKind::PoolRemoved(name) => self.remove_pool(name)?,
            EventKind::TenantLimited { tenant, quota } => self.limit_tenant(tenant, quota),
            EventKind::PlanAdopted(plan) => self.adopt(plan),
            EventKind::ReservationTaken { pool, entity } => {
                self.pool_mut(pool)?.take_reservation(entity);
            }
            EventKind::StartsBlocked { pool, until } => self.block_starts(pool, *until)?,
            EventKind::InstanceStarted {
                instance,
                pool,
                deadline,
            } => {
                self.instance_started(*instance, pool, *deadline, at)?;
            }
            EventKind::InstanceReady { instance, address } => {
                self.start_measured(*instance, at)?;
                self.instance_ready(*instance, address.as_ref(), at)?;
            }
            EventKind::InstanceGiven { instance, address } => {
                self.instance_ready(*instance, Some(address), at)?;
            }
            EventKind::InstanceResetting { instance, deadline } => {
                self.known_instance(*instance)?;
                let phase = Phase::Resetting {
                    deadline: *deadline,
                };
                self.change_instance(*instance, |i| {
                    i.record.phase = phase;
                    i.record.used = false;
                });
            }
            EventKind::InstanceDraining { instance } => {
                self.known_instance(*instance)?;
                self.change_instance(*instance, |i| i.record.draining = true);
            }
            EventKind::InstanceStopping {
                instance,
                cause,
                retry_at,
            } => {
                self.instance_stopping(*instance, *cause, *retry_at)?;
            }
            EventKind::InstanceGone { instance } => {
                self.free_instance(*instance)?;
                self.remove_instance(*instance);
            }
            EventKind::AllocationCreated(record) | EventKind::AllocationRestored(record) => {
                self.allocation_created(record)?;
            }
            EventKind::AllocationBound { id, binding } => self.bound(*id, *binding)?,
            EventKind::LeaseRenewed { id, expires_at } => self.renewed(*id, *expires_at)?,
            EventKind::AllocationEnded { id, state } => self.ended(*id, *state, at)?,
            EventKind::CountersRestored(counters) => self.counters = *counters,
            EventKind::PoolRestored(record) => self.pool_restored(record)?,
            EventKind::InstanceRestored(record) => self.instance_restored(record)?,
        }
        self.forget_old(at);
        Ok(())
    }

    fn pool_mut(&mut self, name: &PoolName) -> Result<&mut Pool, ApplyError> {
        let ix = self.known_pool(name)?;
        Ok(&mut self.pools[ix.0 as usize])
    }

    pub(super) fn known_pool(&self, name: &PoolName) -> Result<PoolIx, ApplyError> {
        self.pool_named(name)
            .ok_or_else(|| ApplyError::Pool(name.clone()))
    }

    fn known_instance(&self, id: InstanceId) -> Result<&Instance, ApplyError> {
        self.instances.get(&id).ok_or(ApplyError::Instance(id))
    }

    fn free_instance(&self, id: InstanceId) -> Result<&Instance, ApplyError> {
        let instance = self.known_instance(id)?;
        if instance.holders.is_empty() {
            return Ok(instance);
        }
        Err(ApplyError::Held(id))
    }

    fn define_pool(&mut self, spec: &Arc<PoolSpec>) {
        let Some(ix) = self.pool_named(&spec.name) else {
            self.add_pool(PoolRecord::new(spec.clone()));
            return;
        };
        self.change_pool(ix, |pool| {
            if pool.record.spec.revision != spec.revision {
                // What failed was another definition.
                pool.record.failed_starts_in_a_row = 0;
            }
            pool.record.spec = spec.clone();
            pool.record.retired = false;
        });
    }

    fn add_pool(&mut self, record: PoolRecord) {
        let ix = PoolIx(self.pools.len() as u32);
        self.pool_names.insert(record.spec.name.clone(), ix);
        self.move_timer(Timer::Pool(ix), None, record.starts_blocked_until);
        let warm = self.warm_of(&record.spec.name);
        self.pools.push(Pool {
            warm,
            ..Pool::new(record)
        });
    }

    fn remove_pool(&mut self, name: &PoolName) -> Result<(), ApplyError> {
        self.block_starts(name, None)?;
        self.pool_names.remove(name);
        Ok(())
    }

    fn limit_tenant(&mut self, name: &TenantId, quota: &TenantQuota) {
        let slot = tenant_slot(name);
        let tenant = self.tenants.entry(slot.clone()).or_default();
        let before = std::mem::replace(&mut tenant.quota, quota.clone());
        if tenant.live == 0 && quota.is_empty() {
            self.tenants.remove(&slot);
        }
        self.change_warm(name, &before.warm, &quota.warm);
    }

    fn adopt(&mut self, plan: &AdoptedPlan) {
        self.counters.plan_generation = plan.generation;
        for part in &plan.pools {
            if let Some(ix) = self.pool_named(&part.pool) {
                self.pools[ix.0 as usize].adopt(part);
            }
        }
    }

    fn block_starts(
        &mut self,
        name: &PoolName,
        until: Option<Timestamp>,
    ) -> Result<(), ApplyError> {
        let ix = self.known_pool(name)?;
        let record = &mut self.pools[ix.0 as usize].record;
        let before = std::mem::replace(&mut record.starts_blocked_until, until);
        self.move_timer(Timer::Pool(ix), before, until);
        Ok(())
    }

    fn instance_started(
        &mut self,
        id: InstanceId,
        name: &PoolName,
        deadline: Timestamp,
        at: Timestamp,
    ) -> Result<(), ApplyError> {
        let ix = self.known_pool(name)?;
        let record = InstanceRecord {
            id,
            pool: name.clone(),
            revision: self.pool(ix).spec().revision,
            requested_at: at,
            phase: Phase::Starting { deadline },
            address: None,
            token: FencingToken(0),
            used: false,
            draining: false,
        };
        self.counters.next_instance = self.counters.next_instance.max(id.0 + 1);
        self.instance_restored(&record)
    }

    fn instance_restored(&mut self, record: &InstanceRecord) -> Result<(), ApplyError> {
        let ix = self.known_pool(&record.pool)?;
        if self.instances.contains_key(&record.id) {
            return Err(ApplyError::Twice(record.id.to_string()));
        }
        self.add_instance(Instance::new(record.clone(), ix));
        Ok(())
    }

    /// A start that has ended well is learned from.
    fn start_measured(&mut self, id: InstanceId, at: Timestamp) -> Result<(), ApplyError> {
        let instance = self.known_instance(id)?;
        let (ix, requested_at) = (instance.pool, instance.record.requested_at);
        if let Phase::Starting { .. } = instance.record.phase {
            let pool = &mut self.pools[ix.0 as usize];
            remember(&mut pool.record.startups_ms, requested_at, at);
            pool.startups = Startups::of(&pool.record.startups_ms);
            pool.record.failed_starts_in_a_row = 0;
        }
        Ok(())
    }

    fn instance_ready(
        &mut self,
        id: InstanceId,
        address: Option<&Arc<str>>,
        at: Timestamp,
    ) -> Result<(), ApplyError> {
        self.known_instance(id)?;
        self.change_instance(id, |instance| {
            instance.record.phase = Phase::Ready { since: at };
            instance.record.used = false;
            if let Some(address) = address {
                instance.record.address = Some(address.clone());
            }
        });
        Ok(())
    }

    fn instance_stopping(
        &mut self,
        id: InstanceId,
        cause: StopCause,
        retry_at: Timestamp,
    ) -> Result<(), ApplyError> {
        let instance = self.free_instance(id)?;
        let ix = instance.pool;
        let starting = matches!(instance.record.phase, Phase::Starting { .. });
        if starting && cause == StopCause::Failed {
            let record = &mut self.pools[ix.0 as usize].record;
            record.failed_starts += 1;
            record.failed_starts_in_a_row = record.failed_starts_in_a_row.saturating_add(1);
        }
        self.change_instance(id, |i| i.record.phase = Phase::Stopping { retry_at });
        Ok(())
    }

    fn allocation_created(&mut self, record: &AllocationRecord) -> Result<(), ApplyError> {
        let pool = self.pool_of(record)?;
        self.check_hold(&record.binding)?;
        self.counters.next_allocation = self.counters.next_allocation.max(record.id.0 + 1);
        self.add_allocation(Alloc {
            record: record.clone(),
            pool,
        });
        Ok(())
    }

    /// The pool of a new allocation; one that has ended may have outlived its pool.
    pub(super) fn pool_of(&self, record: &AllocationRecord) -> Result<PoolIx, ApplyError> {
        if self.allocations.contains_key(&record.id) {
            return Err(ApplyError::Twice(record.id.to_string()));
        }
        match self.known_pool(&record.pool) {
            Err(_) if matches!(record.binding, Binding::Ended { .. }) => Ok(PoolIx(u32::MAX)),
            known => known,
        }
    }

    /// Checks that the instance of a binding is there, and counts its token as given.
    pub(super) fn check_hold(&mut self, binding: &Binding) -> Result<(), ApplyError> {
        let Some(hold) = binding.hold() else {
            return Ok(());
        };
        self.known_instance(hold.instance)?;
        self.counters.next_token = self.counters.next_token.max(hold.token.0 + 1);
        Ok(())
    }

    fn live_allocation(&self, id: AllocationId) -> Result<&Alloc, ApplyError> {
        match self.allocations.get(&id) {
            Some(alloc) if alloc.record.binding.state().is_live() => Ok(alloc),
            Some(_) | None => Err(ApplyError::Allocation(id)),
        }
    }

    fn bound(&mut self, id: AllocationId, binding: Binding) -> Result<(), ApplyError> {
        self.live_allocation(id)?;
        self.check_hold(&binding)?;
        let instance = binding
            .hold()
            .and_then(|hold| self.instances.get(&hold.instance));
        let merged = instance.is_some_and(|known| known.holders.iter().any(|other| other != id));
        let serves = instance.map(|known| (known.pool, known.record.pool.clone()));
        self.rebind(id, |alloc| {
            // Who was queued in one pool may have been served by another.
            if let Some((pool, name)) = serves {
                alloc.pool = pool;
                alloc.record.pool = name;
            }
            let record = &mut alloc.record;
            let booked = matches!(record.binding, Binding::Booked { .. });
            if booked && record.served == Served::Nothing {
                record.served = served_when_due(&binding);
            }
            record.merged |= merged;
            record.binding = binding;
        });
        Ok(())
    }

    fn renewed(&mut self, id: AllocationId, until: Timestamp) -> Result<(), ApplyError> {
        self.live_allocation(id)?;
        self.rebind(id, |alloc| {
            if let Binding::Granted { expires_at, .. } = &mut alloc.record.binding {
                *expires_at = until;
            }
        });
        Ok(())
    }

    fn ended(
        &mut self,
        id: AllocationId,
        state: AllocationState,
        at: Timestamp,
    ) -> Result<(), ApplyError> {
        let alloc = self.live_allocation(id)?;
        let (ix, binding) = (alloc.pool, alloc.record.binding);
        let hold = binding.hold();
        self.rebind(id, |alloc| {
            alloc.record.binding = Binding::Ended { state, at, hold };
        });
        if let (Binding::Granted { .. }, Some(hold)) = (binding, hold)
            && self.free_instance(hold.instance).is_ok()
        {
            self.pools[ix.0 as usize].record.turn_over(at);
        }
        Ok(())
    }

    fn pool_restored(&mut self, record: &PoolRecord) -> Result<(), ApplyError> {
        if self.pool_names.contains_key(&record.spec.name) {
            return Err(ApplyError::Twice(format!("pool {}", record.spec.name)));
        }
        self.add_pool(record.clone());
        Ok(())
    }

    /// Forgets ended allocations whose time has come, or that are too many.
    fn forget_old(&mut self, now: Timestamp) {
        for _ in 0..FORGOTTEN_AT_ONCE {
            let Some(&(due, id)) = self.ended.first() else {
                return;
            };
            if due > now && self.ended.len() <= self.config.max_ended {
                return;
            }
            self.forget_allocation(id);
        }
    }
}

/// How a booking turned out to be served when its time came.
fn served_when_due(binding: &Binding) -> Served {
    match binding {
        Binding::Granted { .. } => Served::Ready,
        Binding::Joined { .. } => Served::Starting,
        Binding::Queued { .. } | Binding::Booked { .. } | Binding::Ended { .. } => Served::Nothing,
    }
}
