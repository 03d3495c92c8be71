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

    /// Time `index`, if there is one.
    #[inline]
    pub fn get(&self, index: usize) -> Option<i64> {
        let offset_ms = *self.offsets_ms.get(index)?;
        Some(self.start_of(index) + i64::from(offset_ms))
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = i64> + '_ {
        (0..self.len()).map(|index| self.at(index))
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
            prop_assert!(times.iter().eq(given.iter().copied()));
            prop_assert_eq!(times.len(), given.len());
            prop_assert_eq!(times.get(given.len()), None);
            for at_ms in given.iter().copied().chain([asked]) {
                prop_assert_eq!(times.before(at_ms), given.partition_point(|&one| one < at_ms));
            }
        }
    }
}
