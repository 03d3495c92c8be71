//! How pools and entities are divided among replicas.

use std::{fmt, num::NonZeroU16};

use crate::{AllocationId, InstanceId};

/// Bits of an id that count within its shard; those above are the shard's number.
const COUNTED_BITS: u32 = 48;

/// One part of the pools, which one replica at a time owns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ShardId(pub u16);

impl ShardId {
    /// The number that the ids of this shard begin above, so that an id tells its shard.
    pub const fn numbers_above(self) -> u64 {
        (self.0 as u64) << COUNTED_BITS
    }

    const fn of_number(number: u64) -> Self {
        Self((number >> COUNTED_BITS) as u16)
    }
}

impl From<AllocationId> for ShardId {
    fn from(id: AllocationId) -> Self {
        Self::of_number(id.0)
    }
}

impl From<InstanceId> for ShardId {
    fn from(id: InstanceId) -> Self {
        Self::of_number(id.0)
    }
}

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How many shards there are. It is fixed when the first replica starts: what lies in which shard
/// follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shards(pub NonZeroU16);

impl Shards {
    /// Everything in one.
    pub const ONE: Self = Self(NonZeroU16::MIN);

    /// Their number.
    pub const fn count(self) -> u16 {
        self.0.get()
    }

    /// All of them.
    pub fn all(self) -> impl Iterator<Item = ShardId> {
        (0..self.count()).map(ShardId)
    }

    /// The shard of a pool, by its name or that of its group, or of an entity: by jump consistent hashing (Lamping and Veach, 2014) of the name's FNV-1a hash.
    pub fn of_name(self, name: &str) -> ShardId {
        let mut key = fnv(name.as_bytes());
        let (mut last, mut next) = (0, 0);
        while next < i64::from(self.count()) {
            last = next;
            key = key.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(1);
            let step = f64::from(1_u32 << 31) / ((key >> 33) + 1) as f64;
            next = ((last + 1) as f64 * step) as i64;
        }
        ShardId(last as u16)
    }
}

/// FNV-1a with 64 bits.
fn fnv(bytes: &[u8]) -> u64 {
    let basis = 0xcbf2_9ce4_8422_2325;
    bytes.iter().fold(basis, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shards(count: u16) -> Shards {
        Shards(NonZeroU16::new(count).unwrap())
    }

    #[test]
    fn an_id_tells_its_shard() {
        let first = AllocationId(ShardId(7).numbers_above() + 1);
        assert_eq!(ShardId::from(first), ShardId(7));
        assert_eq!(ShardId::from(InstanceId(42)), ShardId(0));
    }

    #[test]
    fn names_are_spread_and_stay_where_they_are() {
        let mut counts = [0_u32; 16];
        for name in (0..16_000).map(|n| format!("pool-{n}")) {
            let shard = shards(16).of_name(&name);
            assert_eq!(shard, shards(16).of_name(&name));
            counts[usize::from(shard.0)] += 1;
        }
        assert!(
            counts.iter().all(|count| (800..1_200).contains(count)),
            "{counts:?}"
        );
        assert_eq!(Shards::ONE.of_name("anything"), ShardId(0));
    }

    #[test]
    fn what_lies_where_never_changes() {
        assert_eq!(shards(16).of_name("notebooks"), ShardId(5));
        assert_eq!(shards(16).of_name("runners"), ShardId(9));
        assert_eq!(shards(16).of_name("sandboxes"), ShardId(1));
    }
}
