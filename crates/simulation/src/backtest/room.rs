//! How much room a bounded pool has left, and when what is given away makes room again.

use std::{cmp::Reverse, collections::BinaryHeap, num::NonZeroU32};

/// The room of one pool.
#[derive(Debug)]
pub(crate) struct Room {
    most: Option<NonZeroU32>,
    /// When each promised or held instance is gone, soonest first; nothing without a bound.
    gone_ms: BinaryHeap<Reverse<i64>>,
}

impl Room {
    pub(crate) fn new(most: Option<NonZeroU32>) -> Self {
        Self {
            most,
            gone_ms: BinaryHeap::new(),
        }
    }

    /// Whether one more instance fits beside `free` ones that nobody was promised.
    pub(crate) fn has_place(&self, free: usize) -> bool {
        self.most
            .is_none_or(|most| free + self.gone_ms.len() < most.get() as usize)
    }

    /// An instance is given away at `now` and gone at `gone_ms`.
    pub(crate) fn give(&mut self, now_ms: i64, gone_ms: i64) {
        if self.most.is_some() && gone_ms > now_ms {
            self.gone_ms.push(Reverse(gone_ms));
        }
    }

    /// Reserves the next place that becomes free for a request that waits for one, and says when that
    /// is; requests that come later get later places.
    pub(crate) fn reserve(&mut self, now_ms: i64) -> i64 {
        self.gone_ms
            .pop()
            .map_or(now_ms, |Reverse(gone_ms)| gone_ms)
    }

    /// When the next place becomes free that nobody has reserved.
    pub(crate) fn next_ms(&self) -> Option<i64> {
        self.gone_ms.peek().map(|gone| gone.0)
    }

    /// That place is free now.
    pub(crate) fn free_next(&mut self) {
        self.gone_ms.pop();
    }

    /// Instances given away and not gone, and requests that wait for a place.
    pub(crate) fn given(&self) -> usize {
        self.gone_ms.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_requests_get_the_places_in_the_order_in_which_they_become_free() {
        let mut room = Room::new(NonZeroU32::new(2));
        room.give(0, 50);
        room.give(0, 30);
        assert!(!room.has_place(0));
        assert_eq!(room.reserve(1), 30);
        room.give(1, 90);
        assert_eq!((room.next_ms(), room.given()), (Some(50), 2));
        room.free_next();
        assert!(room.has_place(0) && !room.has_place(1));
    }

    #[test]
    fn without_a_bound_there_is_always_a_place_and_nothing_is_kept() {
        let mut room = Room::new(None);
        room.give(0, 50);
        assert!(room.has_place(1_000_000));
        assert_eq!(room.given(), 0);
    }
}
