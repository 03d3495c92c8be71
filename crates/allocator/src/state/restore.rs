//! A snapshot into state: the records first, all of them, then the indices over them at once, which
//! is several times as fast as to keep every index true after each record.

use foreshadow_types::Timestamp;

use super::{
    Alloc, Instance, State, Timer,
    index::{allocation_deadline, available_at, instance_deadline, merge_entry},
    tenant_slot,
};
use crate::{
    AllocationRecord, ApplyError, Binding, Event, EventKind, InstanceRecord, keys::tenant_key,
};

impl EventKind {
    /// Whether a snapshot is made of such events.
    fn is_restored(&self) -> bool {
        match self {
            Self::CountersRestored(_)
            | Self::TenantLimited { .. }
            | Self::PoolRestored(_)
            | Self::InstanceRestored(_)
            | Self::AllocationRestored(_) => true,
            Self::PoolDefined(_)
            | Self::PoolRetired(_)
            | Self::PoolRemoved(_)
            | Self::PlanAdopted(_)
            | Self::ReservationTaken { .. }
            | Self::StartsBlocked { .. }
            | Self::InstanceStarted { .. }
            | Self::InstanceReady { .. }
            | Self::InstanceGiven { .. }
            | Self::InstanceResetting { .. }
            | Self::InstanceDraining { .. }
            | Self::InstanceStopping { .. }
            | Self::InstanceGone { .. }
            | Self::AllocationCreated(_)
            | Self::AllocationBound { .. }
            | Self::LeaseRenewed { .. }
            | Self::AllocationEnded { .. } => false,
        }
    }
}

impl State {
    /// Takes in the events of a snapshot, if the list starts with one: how many there were. The state
    /// is new.
    ///
    /// # Errors
    /// The position of the first event that does not fit, and why.
    pub(crate) fn restore(
        &mut self,
        events: &mut std::iter::Peekable<impl Iterator<Item = Event>>,
    ) -> Result<u64, (u64, ApplyError)> {
        let mut taken = 0;
        while let Some(event) = events.next_if(|event| event.kind.is_restored()) {
            self.take_record(event.kind)
                .map_err(|cause| (taken, cause))?;
            taken += 1;
        }
        self.build_indices();
        Ok(taken)
    }

    fn take_record(&mut self, kind: EventKind) -> Result<(), ApplyError> {
        match kind {
            EventKind::InstanceRestored(record) => self.take_instance(*record),
            EventKind::AllocationRestored(record) => self.take_allocation(*record),
            kind => self.apply(&Event {
                at: Timestamp::MIN,
                kind,
            }),
        }
    }

    fn take_instance(&mut self, record: InstanceRecord) -> Result<(), ApplyError> {
        let ix = self.known_pool(&record.pool)?;
        let id = record.id;
        if self.instances.contains_key(&id) {
            return Err(ApplyError::Twice(id.to_string()));
        }
        self.instances.insert(id, Instance::new(record, ix));
        Ok(())
    }

    fn take_allocation(&mut self, record: AllocationRecord) -> Result<(), ApplyError> {
        let pool = self.pool_of(&record)?;
        let id = record.id;
        self.check_hold(&record.binding)?;
        self.counters.next_allocation = self.counters.next_allocation.max(id.0 + 1);
        self.allocations.insert(id, Alloc { record, pool });
        Ok(())
    }

    /// All indices from the records.
    fn build_indices(&mut self) {
        let (mut timers, mut ended) = (Vec::new(), Vec::new());
        let mut merge = Vec::new();
        for alloc in self.allocations.values() {
            let (record, ix) = (&alloc.record, alloc.pool);
            let request = &record.request;
            if let Some(key) = request.idempotency_key() {
                let key = tenant_key(request.tenant(), key);
                self.idempotency.insert(key, record.id);
            }
            if let Binding::Ended { at, .. } = record.binding {
                ended.push((self.config.forgets_at(record, at), record.id));
                continue;
            }
            if let Some(hold) = record.binding.hold()
                && let Some(instance) = self.instances.get_mut(&hold.instance)
            {
                instance.attach(record);
            }
            self.live.add(record.id);
            self.waiting.add(record);
            self.pools[ix.0 as usize].index_allocation(record);
            let tenant = self.tenants.entry(tenant_slot(request.tenant()));
            tenant.or_default().live += 1;
            merge.extend(merge_entry(record, ix));
            let due = allocation_deadline(&record.binding, available_at(record));
            timers.extend(due.map(|at| (at, Timer::Allocation(record.id))));
        }
        for instance in self.instances.values() {
            let pool = &mut self.pools[instance.pool.0 as usize];
            pool.index_instance(instance);
            let due = instance_deadline(instance, pool.spec());
            timers.extend(due.map(|at| (at, Timer::Instance(instance.record.id))));
        }
        self.timers.extend(timers);
        self.ended.extend(ended);
        self.merge.extend(merge);
    }
}
