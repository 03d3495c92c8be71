//! The state as a short list of events.

use foreshadow_types::Timestamp;

use super::State;
use crate::{Event, EventKind};

impl State {
    /// Events that rebuild this state from nothing. They bear the earliest time there is, so that
    /// applying them forgets nothing that is still known.
    pub(crate) fn snapshot(&self) -> Vec<Event> {
        let counters = std::iter::once(EventKind::CountersRestored(self.counters));
        let limits = self.tenants.iter().filter_map(|((_, name), tenant)| {
            let quota = &tenant.quota;
            (!quota.is_empty()).then(|| EventKind::TenantLimited {
                tenant: name.clone(),
                quota: quota.clone(),
            })
        });
        // In the order in which they were defined, which breaks ties between them.
        let mut defined: Vec<_> = self.pool_names.values().copied().collect();
        defined.sort_unstable();
        let pools = defined
            .into_iter()
            .map(|ix| EventKind::PoolRestored(Box::new(self.pool(ix).record.clone())));
        let instances = self
            .instances
            .values()
            .map(|instance| EventKind::InstanceRestored(Box::new(instance.record.clone())));
        let allocations = self
            .allocations
            .values()
            .map(|alloc| EventKind::AllocationRestored(Box::new(alloc.record.clone())));
        counters
            .chain(limits)
            .chain(pools)
            .chain(instances)
            .chain(allocations)
            .map(|kind| Event {
                at: Timestamp::MIN,
                kind,
            })
            .collect()
    }
}
