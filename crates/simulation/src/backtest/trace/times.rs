//! Times of requests in four bytes each.

/// Times in milliseconds since the epoch, ascending.
///
/// Each is kept as what it is later than the first of its block; a block ends after 49 days.
#[derive(Debug, Clone, Default)]
pub struct Times {
    /// (the first of a block, its time).
    blocks: Vec<(usize, i64)>,
    offsets_ms: Vec<u32>,
}

impl Times {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.offsets_ms.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.offsets_ms.is_empty()
    }

    /// Time `index`.
    ///
    /// # Panics
    /// If there is no such time.
    #[inline]
    pub fn at(&self, index: usize) -> i64 {
        let offset_ms = self.offsets_ms[index];
        self.start_of(index) + i64::from(offset_ms)
    }

    /// All of them, in order.
    pub fn walk(&self) -> Walk<'_> {
        Walk {
            offsets_ms: self.offsets_ms.iter(),
            start_ms: self.blocks.first().map_or(0, |block| block.1),
            left: self.blocks.get(1).map_or(usize::MAX, |next| next.0),
            blocks: self.blocks.get(1..).unwrap_or_default(),
        }
    }

    /// How many are before `at_ms`.
    pub fn before(&self, at_ms: i64) -> usize {
        let block = self.blocks.partition_point(|&(_, start)| start < at_ms);
        let Some(&(first, start_ms)) = block.checked_sub(1).and_then(|at| self.blocks.get(at))
        else {
            return 0;
        };
        let end = self.blocks.get(block).map_or(self.len(), |next| next.0);
        let offsets = &self.offsets_ms[first..end];
        first + offsets.partition_point(|&offset| start_ms + i64::from(offset) < at_ms)
    }

    /// Adds one, which is not earlier than the last.
    pub(super) fn push(&mut self, at_ms: i64) {
        let start = self.blocks.last().map(|block| block.1);
        let offset_ms = start.and_then(|start_ms| at_ms.checked_sub(start_ms));
        let offset_ms = offset_ms.and_then(|offset| u32::try_from(offset).ok());
        self.offsets_ms.push(offset_ms.unwrap_or_else(|| {
            self.blocks.push((self.offsets_ms.len(), at_ms));
            0
        }));
    }

    #[inline]
    fn start_of(&self, index: usize) -> i64 {
        match self.blocks.as_slice() {
            [only] => only.1,
            several => several[several.partition_point(|block| block.0 <= index) - 1].1,
        }
    }
}

/// Walks through times in order; the next can be looked at.
#[derive(Debug, Clone)]
pub struct Walk<'a> {
    offsets_ms: std::slice::Iter<'a, u32>,
    /// The first time of the block.
    start_ms: i64,
    /// How many are left of the block.
    left: usize,
    /// The blocks that follow.
    blocks: &'a [(usize, i64)],
}

impl Walk<'_> {
    /// The next time, which stays the next.
    #[inline]
    pub fn peek(&self) -> Option<i64> {
        let offset_ms = *self.offsets_ms.as_slice().first()?;
        Some(self.start_ms + i64::from(offset_ms))
    }

    fn enter_next_block(&mut self) {
        if let [(first, start_ms), following @ ..] = self.blocks {
            let end = following.first().map_or(usize::MAX, |next| next.0);
            self.left = end - first;
            self.start_ms = *start_ms;
            self.blocks = following;
        }
    }
}

impl Iterator for Walk<'_> {
    type Item = i64;

    #[inline]
    fn next(&mut self) -> Option<i64> {
        let offset_ms = *self.offsets_ms.next()?;
        let at_ms = self.start_ms + i64::from(offset_ms);
        self.left -= 1;
        if self.left == 0 {
            self.enter_next_block();
        }
        Some(at_ms)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn times_read_back_and_are_found(
            mut given in prop::collection::vec(
                prop_oneof![-9_i64..9, any::<i64>(), 0_i64..1 << 34],
                0..50,
            ),
            asked in prop_oneof![-9_i64..9, 0_i64..1 << 34],
        ) {
            given.sort_unstable();
            let mut times = Times::default();
            for &at_ms in &given {
                times.push(at_ms);
            }
            prop_assert!(times.walk().eq(given.iter().copied()));
            let mut walk = times.walk();
            for (index, &at_ms) in given.iter().enumerate() {
                prop_assert_eq!((walk.peek(), times.at(index)), (Some(at_ms), at_ms));
                prop_assert_eq!(walk.next(), Some(at_ms));
            }
            prop_assert_eq!(walk.peek(), None);
            prop_assert_eq!(times.len(), given.len());
            for at_ms in given.iter().copied().chain([asked]) {
                prop_assert_eq!(times.before(at_ms), given.partition_point(|&one| one < at_ms));
            }
        }
    }
}
