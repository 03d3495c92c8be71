//! One number for the whole state, to compare two of them.

use std::hash::{Hash, Hasher};

use super::{Pool, State, Timer};

impl State {
    /// Equal for equal states, on every machine of the same byte order.
    pub(crate) fn digest(&self) -> u128 {
        let mut hasher = Fnv128::new();
        self.counters.hash(&mut hasher);
        for &ix in self.pool_names.values() {
            self.pool(ix).record.hash(&mut hasher);
        }
        for instance in self.instances.values() {
            instance.record.hash(&mut hasher);
        }
        for alloc in self.allocations.values() {
            alloc.record.hash(&mut hasher);
        }
        for (name, tenant) in &self.tenants {
            name.hash(&mut hasher);
            tenant.quota.hash(&mut hasher);
        }
        hasher.0
    }

    /// Equal where the indices are equal.
    pub(crate) fn index_digest(&self) -> u128 {
        let mut hasher = Fnv128::new();
        for (at, timer) in self.timers.iter() {
            match timer {
                Timer::Allocation(id) => (at, id).hash(&mut hasher),
                Timer::Instance(id) => (at, id).hash(&mut hasher),
                Timer::Pool(ix) => (at, &self.pool(*ix).spec().name).hash(&mut hasher),
            }
        }
        self.live.hash(&mut hasher);
        self.waiting.hash(&mut hasher);
        self.ended.hash(&mut hasher);
        self.warm.hash(&mut hasher);
        for (key, pool, instance, id) in &self.merge {
            (key, self.pool(*pool).spec(), instance, id).hash(&mut hasher);
        }
        let mut keys = 0_u128;
        for entry in self.idempotency.iter() {
            let mut hasher = Fnv128::new();
            entry.hash(&mut hasher);
            keys ^= hasher.0;
        }
        keys.hash(&mut hasher);
        for (name, tenant) in &self.tenants {
            (name, tenant.live).hash(&mut hasher);
        }
        for &ix in self.pool_names.values() {
            self.pool(ix).hash_indices(&mut hasher);
        }
        hasher.0
    }
}

impl Pool {
    fn hash_indices(&self, hasher: &mut Fnv128) {
        self.ready.hash(hasher);
        self.outdated.hash(hasher);
        self.starting.hash(hasher);
        self.loose.hash(hasher);
        self.shared.hash(hasher);
        (self.held, self.stopping, self.reserved, self.live).hash(hasher);
        self.warm.hash(hasher);
        self.turns.hash(hasher);
        self.unprepared.hash(hasher);
        self.queue.iter().for_each(|key| key.hash(hasher));
        self.firm.iter().for_each(|key| key.hash(hasher));
        self.ahead.iter().for_each(|key| key.hash(hasher));
    }
}

/// FNV-1a of 128 bits.
struct Fnv128(u128);

impl Fnv128 {
    fn new() -> Self {
        Self(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d)
    }
}

impl Hasher for Fnv128 {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 =
                (self.0 ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
        }
    }

    fn finish(&self) -> u64 {
        self.0 as u64
    }
}
