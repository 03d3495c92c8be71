//! The indices: each entry follows from a record alone, is taken out before the record changes and
//! put back after it.

use std::{cmp::Reverse, time::Duration};

use foreshadow_types::{AllocationId, InstanceId, Shape, Timestamp};

use super::{
    AheadKey, Alloc, Instance, MergeKey, Place, Pool, PoolIx, QueueKey, State, Timer, tenant_slot,
    wait_key,
};
use crate::{AllocationRecord, Binding, Phase, PoolSpec, Target, keys::tenant_key};

impl State {
    /// Changes an instance and keeps its pool's indices true.
    pub(super) fn change_instance(&mut self, id: InstanceId, change: impl FnOnce(&mut Instance)) {
        let Some(instance) = self.instances.get_mut(&id) else {
            return;
        };
        let ix = instance.pool;
        let pool = &mut self.pools[ix.0 as usize];
        pool.unindex_instance(instance);
        let before = instance_deadline(instance, pool.spec());
        change(instance);
        let after = instance_deadline(instance, pool.spec());
        pool.index_instance(instance);
        self.move_timer(Timer::Instance(id), before, after);
    }

    pub(super) fn add_instance(&mut self, instance: Instance) {
        let id = instance.record.id;
        let pool = &mut self.pools[instance.pool.0 as usize];
        pool.index_instance(&instance);
        let deadline = instance_deadline(&instance, pool.spec());
        self.move_timer(Timer::Instance(id), None, deadline);
        self.instances.insert(id, instance);
    }

    pub(super) fn remove_instance(&mut self, id: InstanceId) {
        let Some(instance) = self.instances.remove(&id) else {
            return;
        };
        let pool = &mut self.pools[instance.pool.0 as usize];
        pool.unindex_instance(&instance);
        let deadline = instance_deadline(&instance, pool.spec());
        self.move_timer(Timer::Instance(id), deadline, None);
    }

    /// Takes every instance of a pool out of the indices, changes the pool, and puts them back.
    pub(super) fn change_pool(&mut self, ix: PoolIx, change: impl FnOnce(&mut Pool)) {
        let mut members = Vec::new();
        for instance in self.instances.values() {
            if instance.pool == ix {
                self.pools[ix.0 as usize].unindex_instance(instance);
                let spec = self.pools[ix.0 as usize].spec();
                members.push((instance.record.id, instance_deadline(instance, spec)));
            }
        }
        change(&mut self.pools[ix.0 as usize]);
        for (id, before) in members {
            let instance = &self.instances[&id];
            let pool = &mut self.pools[ix.0 as usize];
            pool.index_instance(instance);
            let after = instance_deadline(instance, pool.spec());
            self.move_timer(Timer::Instance(id), before, after);
        }
    }

    /// Puts an allocation that is in no index into all that it belongs to.
    pub(super) fn add_allocation(&mut self, alloc: Alloc) {
        let id = alloc.record.id;
        if let Some(key) = alloc.record.request.idempotency_key() {
            let key = tenant_key(alloc.record.request.tenant(), key);
            self.idempotency.insert(key, id);
        }
        self.index_allocation(&alloc.record, alloc.pool);
        self.allocations.insert(id, alloc);
    }

    /// Changes an allocation and keeps all indices true.
    pub(super) fn rebind(&mut self, id: AllocationId, change: impl FnOnce(&mut Alloc)) {
        let Some(mut alloc) = self.allocations.take(&id) else {
            return;
        };
        self.unindex_allocation(&alloc.record, alloc.pool);
        change(&mut alloc);
        self.index_allocation(&alloc.record, alloc.pool);
        self.allocations.insert(id, alloc);
    }

    pub(super) fn forget_allocation(&mut self, id: AllocationId) {
        let Some(alloc) = self.allocations.remove(&id) else {
            return;
        };
        self.unindex_allocation(&alloc.record, alloc.pool);
        if let Some(key) = alloc.record.request.idempotency_key() {
            let key = tenant_key(alloc.record.request.tenant(), key);
            if self.idempotency.get(&key) == Some(id) {
                self.idempotency.remove(&key);
            }
        }
    }

    fn index_allocation(&mut self, record: &AllocationRecord, ix: PoolIx) {
        if let Some(hold) = record.binding.hold() {
            self.change_instance(hold.instance, |instance| instance.attach(record));
        }
        if let Some(at) = self.forgotten_at(record) {
            self.ended.insert((at, record.id));
            return;
        }
        self.live.add(record.id);
        self.waiting.add(record);
        self.pools[ix.0 as usize].index_allocation(record);
        let tenant = record.request.tenant();
        self.tenants.entry(tenant_slot(tenant)).or_default().live += 1;
        if let Some(entry) = merge_entry(record, ix) {
            self.merge.insert(entry);
        }
        let deadline = allocation_deadline(&record.binding, available_at(record));
        self.move_timer(Timer::Allocation(record.id), None, deadline);
    }

    fn unindex_allocation(&mut self, record: &AllocationRecord, ix: PoolIx) {
        if let Some(hold) = record.binding.hold() {
            self.change_instance(hold.instance, |instance| instance.detach(record));
        }
        if let Some(at) = self.forgotten_at(record) {
            self.ended.remove(&(at, record.id));
            return;
        }
        self.live.remove(record.id);
        self.waiting.remove(record);
        self.pools[ix.0 as usize].unindex_allocation(record);
        self.leave_tenant(record);
        if let Some(entry) = merge_entry(record, ix) {
            self.merge.remove(&entry);
        }
        let deadline = allocation_deadline(&record.binding, available_at(record));
        self.move_timer(Timer::Allocation(record.id), deadline, None);
    }

    /// The allocations from this id on that are live, and a few that are their neighbours.
    pub(crate) fn live_from(&self, first: AllocationId) -> impl Iterator<Item = &Alloc> {
        let ids = self.live.blocks_from(first).flatten();
        ids.filter_map(|id| self.allocations.get(&AllocationId(id)))
    }

    fn leave_tenant(&mut self, record: &AllocationRecord) {
        let slot = tenant_slot(record.request.tenant());
        let Some(tenant) = self.tenants.get_mut(&slot) else {
            return;
        };
        tenant.live = tenant.live.saturating_sub(1);
        if tenant.live == 0 && tenant.quota.is_empty() {
            self.tenants.remove(&slot);
        }
    }

    fn forgotten_at(&self, record: &AllocationRecord) -> Option<Timestamp> {
        let Binding::Ended { at, .. } = record.binding else {
            return None;
        };
        Some(self.config.forgets_at(record, at))
    }

    pub(super) fn move_timer(
        &mut self,
        timer: Timer,
        from: Option<Timestamp>,
        to: Option<Timestamp>,
    ) {
        if from == to {
            return;
        }
        if let Some(at) = from {
            self.timers.remove(at, timer);
        }
        if let Some(at) = to {
            self.timers.insert(at, timer);
        }
    }
}

impl Instance {
    pub(super) fn attach(&mut self, record: &AllocationRecord) {
        self.holders.insert(record.id);
        self.tenant = Some(record.request.tenant().clone());
        if let Some(hold) = record.binding.hold() {
            self.record.token = self.record.token.max(hold.token);
        }
        if matches!(record.binding, Binding::Granted { .. }) {
            self.record.used = true;
        }
        match shape_of(record) {
            Some(shape) => self.asked = self.asked.plus(&shape),
            None => self.shapeless += 1,
        }
    }

    fn detach(&mut self, record: &AllocationRecord) {
        self.holders.remove(record.id);
        if self.holders.is_empty() {
            self.tenant = None;
        }
        match shape_of(record) {
            Some(shape) => self.asked = self.asked.less(&shape).unwrap_or_default(),
            None => self.shapeless = self.shapeless.saturating_sub(1),
        }
    }
}

impl Pool {
    pub(super) fn index_instance(&mut self, instance: &Instance) {
        let id = instance.record.id;
        match instance.place() {
            Place::Ready(since) => {
                self.ready.insert((since, id));
                if instance.is_of_old(self.spec()) {
                    self.outdated.insert((since, id));
                }
            }
            Place::Starting => {
                self.starting.insert(id);
            }
            Place::Loose => {
                self.loose.insert(id);
            }
            Place::Held => {
                self.held += 1;
                if let Some(tenant) = &instance.tenant {
                    self.warm.change(tenant, |part| part.held += 1);
                }
                if let Some(key) = shared_key(instance, self.spec()) {
                    self.shared.insert(key);
                }
            }
            Place::Stopping => self.stopping += 1,
        }
    }

    fn unindex_instance(&mut self, instance: &Instance) {
        let id = instance.record.id;
        match instance.place() {
            Place::Ready(since) => {
                self.ready.remove(&(since, id));
                self.outdated.remove(&(since, id));
            }
            Place::Starting => {
                self.starting.remove(&id);
            }
            Place::Loose => {
                self.loose.remove(&id);
            }
            Place::Held => {
                self.held = self.held.saturating_sub(1);
                if let Some(tenant) = &instance.tenant {
                    self.warm
                        .change(tenant, |part| part.held = part.held.saturating_sub(1));
                }
                if let Some(key) = shared_key(instance, self.spec()) {
                    self.shared.remove(&key);
                }
            }
            Place::Stopping => self.stopping = self.stopping.saturating_sub(1),
        }
    }

    pub(super) fn index_allocation(&mut self, record: &AllocationRecord) {
        self.live += 1;
        if record.binding.hold().is_none() {
            let tenant = record.request.tenant();
            self.warm.change(tenant, |part| part.waiting += 1);
        }
        if is_unprepared(record) {
            self.unprepared.insert(wait_key(record));
        }
        match record.binding {
            Binding::Queued { round, .. } => {
                self.queue.insert(queue_key(record, round));
                self.turns.insert(turn(record, round));
            }
            Binding::Booked {
                firm: true,
                promised: None,
                ..
            } => {
                self.firm.insert((available_at(record), record.id));
            }
            Binding::Booked { .. } => {
                self.ahead.insert(ahead_key(record));
            }
            Binding::Joined { .. } | Binding::Granted { .. } | Binding::Ended { .. } => {}
        }
    }

    fn unindex_allocation(&mut self, record: &AllocationRecord) {
        self.live = self.live.saturating_sub(1);
        if record.binding.hold().is_none() {
            let tenant = record.request.tenant();
            self.warm
                .change(tenant, |part| part.waiting = part.waiting.saturating_sub(1));
        }
        if is_unprepared(record) {
            self.unprepared.remove(&wait_key(record));
        }
        match record.binding {
            Binding::Queued { round, .. } => {
                self.queue.remove(&queue_key(record, round));
                self.turns.remove(&turn(record, round));
            }
            Binding::Booked {
                firm: true,
                promised: None,
                ..
            } => {
                self.firm.remove(&(available_at(record), record.id));
            }
            Binding::Booked { .. } => {
                self.ahead.remove(&ahead_key(record));
            }
            Binding::Joined { .. } | Binding::Granted { .. } | Binding::Ended { .. } => {}
        }
    }
}

/// The place of a request for a time ahead among those of its pool.
pub(crate) fn ahead_key(record: &AllocationRecord) -> AheadKey {
    let has_instance = record.binding.hold().is_some();
    ((has_instance, available_at(record)), record.id)
}

/// When the request needs its instance.
pub(crate) fn available_at(record: &AllocationRecord) -> Timestamp {
    let asked = record.request.availability_time();
    asked.map_or(record.created_at, |asked| asked.max(record.created_at))
}

/// Whether it is a booking for which an instance was looked for in time, and none was found.
fn is_unprepared(record: &AllocationRecord) -> bool {
    match record.binding {
        Binding::Booked {
            prepare_at,
            promised: None,
            ..
        } => prepare_at >= available_at(record),
        _ => false,
    }
}

/// When something must happen to an allocation of itself.
pub(crate) fn allocation_deadline(binding: &Binding, available_at: Timestamp) -> Option<Timestamp> {
    match *binding {
        Binding::Queued { until, .. } | Binding::Joined { until, .. } => Some(until),
        Binding::Booked {
            promised: Some(_), ..
        } => Some(available_at),
        Binding::Booked { prepare_at, .. } => Some(prepare_at.min(available_at)),
        Binding::Granted { expires_at, .. } => Some(expires_at),
        Binding::Ended { .. } => None,
    }
}

/// When something must happen to an instance of itself.
pub(crate) fn instance_deadline(instance: &Instance, spec: &PoolSpec) -> Option<Timestamp> {
    match instance.record.phase {
        Phase::Starting { deadline } | Phase::Resetting { deadline } => Some(deadline),
        Phase::Stopping { retry_at } => Some(retry_at),
        Phase::Ready { .. } if !instance.holders.is_empty() => None,
        Phase::Ready { .. } => age_limit(instance, spec.max_age),
    }
}

fn age_limit(instance: &Instance, max_age: Option<Duration>) -> Option<Timestamp> {
    max_age.map(|age| instance.record.requested_at + age)
}

fn queue_key(record: &AllocationRecord, round: u64) -> QueueKey {
    let rank = Reverse(record.rank);
    (rank, round, available_at(record), record.id)
}

fn turn(
    record: &AllocationRecord,
    round: u64,
) -> (foreshadow_types::TenantId, i32, u64, AllocationId) {
    let request = &record.request;
    (request.tenant().clone(), record.rank, round, record.id)
}

pub(super) fn merge_entry(record: &AllocationRecord, ix: PoolIx) -> Option<MergeKey> {
    let key = record.request.merge_key()?;
    match record.binding {
        Binding::Joined { hold, .. } | Binding::Granted { hold, .. } => {
            let key = tenant_key(record.request.tenant(), key);
            Some((key, ix, hold.instance, record.id))
        }
        Binding::Queued { .. } | Binding::Booked { .. } | Binding::Ended { .. } => None,
    }
}

fn shared_key(instance: &Instance, spec: &PoolSpec) -> Option<super::SharedKey> {
    let room = instance.room(spec)?;
    let tenant = instance.tenant.clone()?;
    Some((tenant, !instance.is_ready(), room, instance.record.id))
}

/// The shape that a request takes of a shared instance; `None` is an even share.
fn shape_of(record: &AllocationRecord) -> Option<Shape> {
    match record.request.target() {
        Target::Pool(_) => None,
        Target::Requirements(requirements) => Some(requirements.shape),
    }
}
