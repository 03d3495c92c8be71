//! Where among all ids the live allocations are: most of those that are kept have ended long ago.

use std::{collections::BTreeMap, ops::Range};

use foreshadow_types::AllocationId;

/// Ids that are counted together.
const BLOCK: u64 = 64;

/// How many live allocations there are in each block of ids that has any.
#[derive(Debug, Default, Hash)]
pub(crate) struct Live(BTreeMap<u64, u32>);

impl Live {
    pub(super) fn add(&mut self, id: AllocationId) {
        *self.0.entry(id.0 / BLOCK).or_default() += 1;
    }

    pub(super) fn remove(&mut self, id: AllocationId) {
        let block = id.0 / BLOCK;
        if let Some(count) = self.0.get_mut(&block) {
            *count -= 1;
            if *count == 0 {
                self.0.remove(&block);
            }
        }
    }

    /// The ids from this one on, of blocks in which some are live.
    pub(super) fn blocks_from(&self, first: AllocationId) -> impl Iterator<Item = Range<u64>> {
        self.0.range(first.0 / BLOCK..).map(move |(block, _)| {
            let start = block * BLOCK;
            start.max(first.0)..start + BLOCK
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_without_live_ones_are_passed_over() {
        let mut live = Live::default();
        for id in [1, 2, 70, 700, 701] {
            live.add(AllocationId(id));
        }
        for id in [70, 700] {
            live.remove(AllocationId(id));
        }
        let from = |first| live.blocks_from(AllocationId(first)).collect::<Vec<_>>();
        assert_eq!(from(0), [0..64, 640..704]);
        assert_eq!(from(2), [2..64, 640..704]);
        assert_eq!(from(701).first(), Some(&(701..704)));
        assert_eq!(from(704), []);
    }
}
