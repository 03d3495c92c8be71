//! Looking at the allocator from outside.

use std::{sync::Arc, time::Duration};

use foreshadow_types::{AllocationId, FencingToken, InstanceId, PoolName, TenantId, Timestamp};

use crate::{
    Allocation, AllocationRecord, Allocator, Binding, Event, InstanceRecord, InstanceRef,
    ListFilter, Page, PoolSpec, PoolStatus, Served, TenantQuota,
    state::{Alloc, Pool, ahead_key, available_at},
};

/// Allocations looked at for one page at the most.
const LOOKED_AT: usize = 10_000;
/// Allocations on one page at the most.
const MAX_PAGE: usize = 1_000;

impl Allocator {
    /// One allocation as it stands; `None` if there is none or it ended long ago.
    pub fn allocation(&self, id: AllocationId, now: Timestamp) -> Option<Allocation> {
        let alloc = self.state.allocations.get(&id)?;
        Some(self.view(alloc, now))
    }

    /// The allocations after an id that pass the filter, at most `limit` (and at most 1,000). Where only
    /// live ones are asked for, the others cost nothing.
    pub fn list(
        &self,
        filter: &ListFilter,
        after: Option<AllocationId>,
        limit: usize,
        now: Timestamp,
    ) -> Page {
        let from = AllocationId(after.map_or(0, |id| id.0.saturating_add(1)));
        let only_live = !filter.states.is_empty() && filter.states.iter().all(|s| s.is_live());
        if only_live {
            self.page(self.state.live_from(from), filter, limit, now)
        } else {
            self.page(self.state.allocations.values_from(from), filter, limit, now)
        }
    }

    fn page<'a>(
        &self,
        allocations: impl Iterator<Item = &'a Alloc>,
        filter: &ListFilter,
        limit: usize,
        now: Timestamp,
    ) -> Page {
        let mut page = Page::default();
        let mut last = None;
        for (looked_at, alloc) in allocations.enumerate() {
            if page.allocations.len() >= limit.min(MAX_PAGE) || looked_at >= LOOKED_AT {
                page.next = last;
                break;
            }
            last = Some(alloc.record.id);
            if passes(filter, alloc) {
                page.allocations.push(self.view(alloc, now));
            }
        }
        page
    }

    fn view(&self, alloc: &Alloc, now: Timestamp) -> Allocation {
        let record = &alloc.record;
        let request = &record.request;
        let hold = match record.binding {
            Binding::Ended { hold, .. } => hold,
            Binding::Queued { .. }
            | Binding::Booked { .. }
            | Binding::Joined { .. }
            | Binding::Granted { .. } => record.binding.hold(),
        };
        let (queue_position, estimated_wait) = self.wait(alloc, now);
        Allocation {
            id: record.id,
            state: record.binding.state(),
            pool: record.pool.clone(),
            tenant: request.tenant().clone(),
            user: request.user().cloned(),
            application: request.application().cloned(),
            created_at: record.created_at,
            available_at: available_at(record),
            warm: matches!(record.served, Served::Ready | Served::Merged),
            merged: record.merged,
            served: record.served,
            instance: hold.map(|hold| self.instance_ref(hold.instance)),
            fencing_token: hold.map(|hold| hold.token),
            lease_expires_at: match record.binding {
                Binding::Granted { expires_at, .. } => Some(expires_at),
                Binding::Queued { .. }
                | Binding::Booked { .. }
                | Binding::Joined { .. }
                | Binding::Ended { .. } => None,
            },
            queue_position,
            estimated_wait,
        }
    }

    fn instance_ref(&self, id: InstanceId) -> InstanceRef {
        let known = self.state.instances.get(&id);
        InstanceRef {
            id,
            address: known.and_then(|known| known.record.address.clone()),
        }
    }

    /// Place in the queue and expected wait of an allocation that waits. One that is queued for a time
    /// ahead comes after those that wait now and those queued for an earlier time.
    fn wait(&self, alloc: &Alloc, now: Timestamp) -> (Option<u32>, Option<Duration>) {
        let record = &alloc.record;
        match record.binding {
            Binding::Queued { round, .. } => {
                let rank = std::cmp::Reverse(record.rank);
                let key = (rank, round, available_at(record), record.id);
                let position = self.state.pool(alloc.pool).queue.rank(&key) + 1;
                (
                    Some(position),
                    Some(self.wait_at(alloc.pool, position, now)),
                )
            }
            Binding::Booked {
                firm: false,
                promised: None,
                ..
            } => {
                let pool = self.state.pool(alloc.pool);
                let position = pool.queue.len() + pool.ahead.rank(&ahead_key(record)) + 1;
                let until_then = available_at(record).since(now);
                let wait = self.wait_at(alloc.pool, position, now);
                (Some(position), Some(wait.max(until_then)))
            }
            Binding::Booked { .. } => (None, Some(available_at(record).since(now))),
            Binding::Joined { hold, .. } => (None, Some(self.remaining_start(hold.instance, now))),
            Binding::Granted { .. } | Binding::Ended { .. } => (None, None),
        }
    }

    /// Who holds an instance or waits for it to start; the first if several share it.
    pub fn first_holder(&self, instance: InstanceId, now: Timestamp) -> Option<Allocation> {
        let known = self.state.instances.get(&instance)?;
        let first = known.holders.iter().next()?;
        self.allocation(first, now)
    }

    /// The first who holds an instance, and the token of all who do.
    pub fn first_hold(&self, instance: InstanceId) -> Option<(AllocationId, FencingToken)> {
        let known = self.state.instances.get(&instance)?;
        let first = known.holders.iter().next()?;
        Some((first, known.record.token))
    }

    /// One pool's numbers.
    pub fn pool_status(&self, name: &PoolName) -> Option<PoolStatus> {
        let ix = self.state.pool_named(name)?;
        Some(status(self.state.pool(ix), self.plan_generation()))
    }

    /// The numbers of all pools, in order of their names.
    pub fn pools(&self) -> Vec<PoolStatus> {
        let known = self.state.pool_names.values();
        known
            .map(|&ix| status(self.state.pool(ix), self.plan_generation()))
            .collect()
    }

    /// A pool's definition.
    pub fn pool_spec(&self, name: &PoolName) -> Option<&Arc<PoolSpec>> {
        let ix = self.state.pool_named(name)?;
        Some(self.state.pool(ix).spec())
    }

    /// Generation of the plan in force; the next must be higher.
    pub fn plan_generation(&self) -> u64 {
        self.state.counters.plan_generation
    }

    /// The times ahead for which a pool has requests without an instance yet: demand that is known.
    pub fn bookings(&self, name: &PoolName) -> Vec<Timestamp> {
        let Some(ix) = self.state.pool_named(name) else {
            return Vec::new();
        };
        let pool = self.state.pool(ix);
        let mut times: Vec<Timestamp> = pool.firm.iter().map(|&(at, _)| at).collect();
        let queued = pool.ahead.iter().map(|&(key, _)| key);
        let queued = queued.take_while(|&(has_instance, _)| !has_instance);
        times.extend(queued.map(|(_, at)| at));
        times.sort_unstable();
        times
    }

    /// What is known of one instance.
    pub fn instance(&self, id: InstanceId) -> Option<&InstanceRecord> {
        self.state
            .instances
            .get(&id)
            .map(|instance| &instance.record)
    }

    /// All instances, in order of their ids.
    pub fn instances(&self) -> impl Iterator<Item = &InstanceRecord> {
        self.state
            .instances
            .values()
            .map(|instance| &instance.record)
    }

    /// The tenants with a quota of their own, in no order that means anything.
    pub fn quotas(&self) -> impl Iterator<Item = (TenantId, TenantQuota)> {
        let tenants = self.state.tenants.iter();
        let own = tenants.filter(|(_, tenant)| !tenant.quota.is_empty());
        own.map(|((_, name), tenant)| (name.clone(), tenant.quota.clone()))
    }

    /// What is known of one allocation.
    pub fn allocation_record(&self, id: AllocationId) -> Option<&AllocationRecord> {
        let known = self.state.allocations.get(&id);
        known.map(|alloc| &alloc.record)
    }

    /// All allocations that are remembered, in order of their ids.
    pub fn allocations(&self) -> impl Iterator<Item = &AllocationRecord> {
        self.state.allocations.values().map(|alloc| &alloc.record)
    }

    /// A short list of events that rebuilds the state, to replace all events decided so far.
    pub fn snapshot(&self) -> Vec<Event> {
        self.state.snapshot()
    }

    /// One number for the whole state: equal for equal states.
    pub fn digest(&self) -> u128 {
        self.state.digest()
    }
}

fn passes(filter: &ListFilter, alloc: &Alloc) -> bool {
    let record = &alloc.record;
    let request = &record.request;
    filter
        .tenant
        .as_ref()
        .is_none_or(|tenant| tenant == request.tenant())
        && filter
            .user
            .as_ref()
            .is_none_or(|user| Some(user) == request.user())
        && filter.pool.as_ref().is_none_or(|pool| *pool == record.pool)
        && (filter.states.is_empty() || filter.states.contains(&record.binding.state()))
}

fn status(pool: &Pool, plan_generation: u64) -> PoolStatus {
    let spec = pool.spec();
    PoolStatus {
        name: spec.name.clone(),
        target: pool.wanted(),
        ready: pool.ready.len() as u32,
        starting: pool.starting.len() as u32,
        leased: pool.held,
        stopping: pool.stopping + pool.loose.len() as u32,
        total: pool.total(),
        max: spec.max.0,
        queued: pool.queue.len(),
        booked: pool.firm.len() + pool.ahead.len(),
        reserved: pool.reserved,
        startup_typical: pool.startups.quantile(0.5, spec.startup),
        startup_slow: pool.startups.slow(spec.startup),
        failed_starts: pool.record.failed_starts,
        failed_starts_in_a_row: pool.record.failed_starts_in_a_row,
        plan_generation,
    }
}
