//! Who waits in a queue and may be served elsewhere than at its head: in another pool that fits the
//! shape asked for, or by the instance of those who share its merge key.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use foreshadow_types::{AllocationId, PoolName, Requirements, Timestamp};

use super::available_at;
use crate::{
    AllocationRecord, Binding, PoolSpec, Target,
    keys::{TenantKey, tenant_key},
};

/// The order among those who wait in different queues: priority, time, id.
pub(crate) type WaitKey = (Reverse<i32>, Timestamp, AllocationId);

/// Queued requests by shape and pool, and by merge key.
#[derive(Debug, Default, Hash)]
pub(crate) struct Waiting {
    shapes: BTreeMap<(Arc<Requirements>, PoolName), BTreeSet<WaitKey>>,
    merging: BTreeSet<(TenantKey, AllocationId)>,
}

impl Waiting {
    /// Takes a request in if it is queued.
    pub(super) fn add(&mut self, record: &AllocationRecord) {
        if let Some(key) = shape_key(record) {
            self.shapes.entry(key).or_default().insert(wait_key(record));
        }
        self.merging.extend(merge_key(record));
    }

    pub(super) fn remove(&mut self, record: &AllocationRecord) {
        if let Some(key) = shape_key(record)
            && let Some(same) = self.shapes.get_mut(&key)
        {
            same.remove(&wait_key(record));
            if same.is_empty() {
                self.shapes.remove(&key);
            }
        }
        if let Some(key) = merge_key(record) {
            self.merging.remove(&key);
        }
    }

    /// The first requests of each kind, at most `limit`, that are queued elsewhere and that this pool
    /// fits, in order.
    pub(crate) fn guests(&self, spec: &PoolSpec, limit: usize) -> Vec<WaitKey> {
        let elsewhere = self.shapes.iter().filter(|((asked, home), _)| {
            *home != spec.name && asked.met_by(&spec.shape, &spec.dependencies, &spec.labels)
        });
        let mut guests: Vec<WaitKey> = elsewhere
            .flat_map(|(_, same)| same.iter().take(limit).copied())
            .collect();
        guests.sort_unstable();
        guests
    }

    /// Whether any of the queued would share an instance with others of its merge key.
    pub(crate) fn merges(&self) -> bool {
        !self.merging.is_empty()
    }

    /// The queued requests with this merge key.
    pub(crate) fn with_merge_key(&self, key: &TenantKey) -> Vec<AllocationId> {
        let from = (key.clone(), AllocationId(0));
        let to = (key.clone(), AllocationId(u64::MAX));
        self.merging.range(from..=to).map(|&(_, id)| id).collect()
    }
}

/// Where a request stands among those of other queues.
pub(crate) fn wait_key(record: &AllocationRecord) -> WaitKey {
    (Reverse(record.rank), available_at(record), record.id)
}

fn shape_key(record: &AllocationRecord) -> Option<(Arc<Requirements>, PoolName)> {
    match (record.binding, record.request.target()) {
        (Binding::Queued { .. }, Target::Requirements(asked)) => {
            Some((asked.clone(), record.pool.clone()))
        }
        _ => None,
    }
}

fn merge_key(record: &AllocationRecord) -> Option<(TenantKey, AllocationId)> {
    let Binding::Queued { .. } = record.binding else {
        return None;
    };
    let key = record.request.merge_key()?;
    Some((tenant_key(record.request.tenant(), key), record.id))
}
