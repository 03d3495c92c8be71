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

/// Those of one shape, by the pool in whose queue they are.
type ByHome = BTreeMap<PoolName, BTreeSet<WaitKey>>;

/// Queued requests by shape, and by merge key.
#[derive(Debug, Default, Hash)]
pub(crate) struct Waiting {
    shapes: BTreeMap<Arc<Requirements>, ByHome>,
    /// By key, and by the pool that was named, if one was.
    merging: BTreeSet<(TenantKey, Option<PoolName>, AllocationId)>,
}

impl Waiting {
    /// Takes a request in if it is queued.
    pub(super) fn add(&mut self, record: &AllocationRecord) {
        if let Some(asked) = shape_of(record) {
            let same = self.shapes.entry(asked.clone()).or_default();
            let at_home = same.entry(record.pool.clone()).or_default();
            at_home.insert(wait_key(record));
        }
        self.merging.extend(merge_key(record));
    }

    pub(super) fn remove(&mut self, record: &AllocationRecord) {
        if let Some(asked) = shape_of(record)
            && let Some(same) = self.shapes.get_mut(asked)
            && let Some(at_home) = same.get_mut(&record.pool)
        {
            at_home.remove(&wait_key(record));
            if at_home.is_empty() {
                same.remove(&record.pool);
            }
            if same.is_empty() {
                self.shapes.remove(asked);
            }
        }
        if let Some(key) = merge_key(record) {
            self.merging.remove(&key);
        }
    }

    /// The first requests, at most `limit`, that are queued elsewhere and that this pool fits, in order.
    pub(crate) fn guests(&self, spec: &PoolSpec, limit: usize) -> Vec<WaitKey> {
        let fitting = self
            .shapes
            .iter()
            .filter(|(asked, _)| asked.met_by(&spec.shape, &spec.dependencies, &spec.labels));
        let homes = fitting.flat_map(|(_, homes)| homes);
        let elsewhere = homes.filter(|(home, _)| **home != spec.name);
        let mut guests: Vec<WaitKey> = elsewhere
            .flat_map(|(_, queued)| queued.iter().take(limit).copied())
            .collect();
        guests.sort_unstable();
        guests.truncate(limit);
        guests
    }

    /// The queued requests with this merge key that name the pool, and those that ask for a shape.
    pub(crate) fn with_merge_key(&self, key: &TenantKey, pool: &PoolName) -> Vec<AllocationId> {
        let naming = [None, Some(pool.clone())].into_iter();
        let same = naming.flat_map(|pool| {
            let from = (key.clone(), pool.clone(), AllocationId(0));
            let to = (key.clone(), pool, AllocationId(u64::MAX));
            self.merging.range(from..=to)
        });
        same.map(|&(.., id)| id).collect()
    }
}

/// Where a request stands among those of other queues.
pub(crate) fn wait_key(record: &AllocationRecord) -> WaitKey {
    (Reverse(record.rank), available_at(record), record.id)
}

fn shape_of(record: &AllocationRecord) -> Option<&Arc<Requirements>> {
    match (record.binding, record.request.target()) {
        (Binding::Queued { .. }, Target::Requirements(asked)) => Some(asked),
        _ => None,
    }
}

fn merge_key(record: &AllocationRecord) -> Option<(TenantKey, Option<PoolName>, AllocationId)> {
    let Binding::Queued { .. } = record.binding else {
        return None;
    };
    let key = record.request.merge_key()?;
    let named = match record.request.target() {
        Target::Pool(name) => Some(name.clone()),
        Target::Requirements(_) => None,
    };
    let key = tenant_key(record.request.tenant(), key);
    Some((key, named, record.id))
}
