//! Blocks: events with a number, a count and a checksum.

use foreshadow_allocator::Event;
use rayon::prelude::*;

use crate::{
    LedgerError,
    codec::{checksum, decode, decode_format, encode},
};

/// Events in each block of a snapshot.
const SNAPSHOT_BLOCK: usize = 10_000;

/// A block as it lies in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) number: i64,
    pub(crate) snapshot: bool,
    pub(crate) count: u32,
    pub(crate) checksum: i64,
    pub(crate) body: Vec<u8>,
}

impl Block {
    pub(crate) fn of(number: i64, events: &[Event]) -> Result<Self, LedgerError> {
        let body = encode(events).map_err(|error| LedgerError::Encode {
            what: error.to_string(),
        })?;
        Ok(Self {
            number,
            snapshot: false,
            count: events.len() as u32,
            checksum: checksum(&body),
            body,
        })
    }

    /// The blocks of a snapshot, the first with this number; encoded on all cores. There is always
    /// one, if of no events: what is appended next follows it.
    pub(crate) fn of_snapshot(first: i64, events: &[Event]) -> Result<Vec<Self>, LedgerError> {
        let chunks: Vec<_> = if events.is_empty() {
            vec![events]
        } else {
            events.chunks(SNAPSHOT_BLOCK).collect()
        };
        let encoded = chunks.into_par_iter().enumerate();
        let encoded = encoded.map(|(position, events)| {
            let block = Self::of(first + position as i64, events)?;
            Ok(Self {
                snapshot: true,
                ..block
            })
        });
        encoded.collect()
    }

    /// The same block in the present format, or what is wrong with it.
    pub(crate) fn upgraded(self, format: u32) -> Result<Self, String> {
        let Self {
            number, snapshot, ..
        } = self;
        let events = self.decode_with(|body, count| decode_format(format, body, count))?;
        let block = Self::of(number, &events).map_err(|error| error.to_string())?;
        Ok(Self { snapshot, ..block })
    }

    /// Its events, or what is wrong with it.
    fn decode(self) -> Result<Vec<Event>, String> {
        self.decode_with(decode)
    }

    fn decode_with(
        self,
        decode: impl FnOnce(&[u8], usize) -> Result<Vec<Event>, String>,
    ) -> Result<Vec<Event>, String> {
        let number = self.number;
        if checksum(&self.body) != self.checksum {
            return Err(format!("block {number}: its checksum is wrong"));
        }
        decode(&self.body, self.count as usize).map_err(|what| format!("block {number}: {what}"))
    }
}

/// The events of all blocks, decoded on all cores, or the first thing that is wrong with them.
pub(crate) fn events(mut blocks: Vec<Block>) -> Result<Vec<Event>, String> {
    pass_over_what_was_replaced(&mut blocks);
    check_none_is_missing(&blocks)?;
    let decoded: Vec<_> = blocks.into_par_iter().map(Block::decode).collect();
    let mut events = Vec::with_capacity(decoded.iter().flatten().map(Vec::len).sum());
    for block in decoded {
        events.extend(block?);
    }
    Ok(events)
}

/// A snapshot holds all that was before it. An append that its sender had given up may still reach a
/// server after the snapshot that followed its repetition.
fn pass_over_what_was_replaced(blocks: &mut Vec<Block>) {
    if let Some(first) = blocks.iter().position(|block| block.snapshot) {
        blocks.drain(..first);
    }
}

fn check_none_is_missing(blocks: &[Block]) -> Result<(), String> {
    let mut expected = None;
    for block in blocks {
        let follows = match expected {
            Some(expected) => expected == block.number,
            None => block.snapshot || block.number == 1,
        };
        if !follows {
            return Err(format!("block {} is missing", block.number - 1));
        }
        expected = Some(block.number + 1);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use foreshadow_allocator::EventKind;
    use foreshadow_types::{PoolName, Timestamp};

    use super::*;

    fn retired(at: i64) -> Event {
        Event {
            at: Timestamp::from_millis(at),
            kind: EventKind::PoolRetired(PoolName::new("notebook").unwrap()),
        }
    }

    fn block(number: i64, snapshot: bool) -> Block {
        let block = Block::of(number, &[retired(number)]).unwrap();
        Block { snapshot, ..block }
    }

    fn check(blocks: &[(i64, bool)], expected: Result<&[i64], &str>) {
        let blocks = blocks
            .iter()
            .map(|&(number, snapshot)| block(number, snapshot));
        let expected = expected.map(|numbers| numbers.iter().copied().map(retired).collect());
        assert_eq!(events(blocks.collect()), expected.map_err(str::to_owned));
    }

    #[test]
    fn blocks_follow_each_other_from_the_first_or_from_a_snapshot() {
        check(&[], Ok(&[]));
        check(&[(1, false), (2, false)], Ok(&[1, 2]));
        check(&[(7, true), (8, true), (9, false)], Ok(&[7, 8, 9]));
        check(&[(2, false)], Err("block 1 is missing"));
        check(&[(1, false), (3, false)], Err("block 2 is missing"));
        check(&[(7, true), (9, false)], Err("block 8 is missing"));
    }

    #[test]
    fn what_comes_late_behind_a_snapshot_is_passed_over() {
        check(&[(5, false), (7, true), (8, false)], Ok(&[7, 8]));
    }

    #[test]
    fn a_snapshot_is_cut_into_blocks_that_follow_each_other() {
        let all: Vec<Event> = (0..25_000).map(retired).collect();
        let blocks = Block::of_snapshot(4, &all).unwrap();
        let numbers: Vec<_> = blocks
            .iter()
            .map(|block| (block.number, block.count))
            .collect();
        assert_eq!(numbers, [(4, 10_000), (5, 10_000), (6, 5_000)]);
        assert_eq!(events(blocks).unwrap(), all);
    }
}
