//! Which allocation a key leads to. Looked up, never walked through; split into many small hash
//! tables, so that none takes long to grow.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
    sync::Arc,
};

use foreshadow_types::{AllocationId, TenantId};

/// Number of tables, a power of two.
const TABLES: usize = 1 << 12;

/// A key of a tenant, hash first so that most comparisons end there.
pub(crate) type TenantKey = (u64, TenantId, Arc<str>);

/// FNV-1a with a last scramble: the same on every machine and in every release.
pub(crate) fn tenant_key(tenant: &TenantId, key: &Arc<str>) -> TenantKey {
    let hash = hash_of(tenant.as_str().bytes().chain([0]).chain(key.bytes()));
    (hash, tenant.clone(), key.clone())
}

/// FNV-1a with a last scramble.
pub(crate) fn hash_of(bytes: impl Iterator<Item = u8>) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in bytes {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    (hash ^ (hash >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

type Small = HashMap<TenantKey, AllocationId, BuildHasherDefault<Hashed>>;

/// A map from keys of tenants to allocations.
#[derive(Debug)]
pub(crate) struct Keys {
    tables: Vec<Small>,
}

impl Default for Keys {
    fn default() -> Self {
        Self {
            tables: vec![Small::default(); TABLES],
        }
    }
}

impl Keys {
    pub(crate) fn get(&self, key: &TenantKey) -> Option<AllocationId> {
        self.tables[table_of(key)].get(key).copied()
    }

    pub(crate) fn insert(&mut self, key: TenantKey, id: AllocationId) {
        self.tables[table_of(&key)].insert(key, id);
    }

    pub(crate) fn remove(&mut self, key: &TenantKey) {
        self.tables[table_of(key)].remove(key);
    }

    /// All keys, in no order that means anything.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&TenantKey, AllocationId)> {
        self.tables.iter().flatten().map(|(key, &id)| (key, id))
    }
}

fn table_of((hash, ..): &TenantKey) -> usize {
    // Neither the lowest nor the highest bits, which the tables use themselves.
    (hash >> 20) as usize % TABLES
}

/// Takes the hash that comes first in the key and nothing else.
#[derive(Debug, Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn write(&mut self, _: &[u8]) {}

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn write_u8(&mut self, _: u8) {}

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_told_apart_by_tenant_and_text() {
        let tenant = |name| TenantId::new(name).unwrap();
        let mut keys = Keys::default();
        keys.insert(tenant_key(&tenant("a"), &"k".into()), AllocationId(1));
        keys.insert(tenant_key(&tenant("b"), &"k".into()), AllocationId(2));
        let found = |name, key: &str| keys.get(&tenant_key(&tenant(name), &key.into()));
        assert_eq!(found("a", "k"), Some(AllocationId(1)));
        assert_eq!(found("b", "k"), Some(AllocationId(2)));
        assert_eq!(found("b", "l"), None);
    }
}
