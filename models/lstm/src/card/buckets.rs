//! Sizes of batches.

/// The sizes that batches are filled up to: the powers of two from one to another. A device prepares a
/// kernel for what it sees, so it is shown few shapes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Buckets {
    least: usize,
    greatest: usize,
}

impl Buckets {
    /// From one power of two to another.
    pub(crate) const fn new(least: usize, greatest: usize) -> Self {
        assert!(least.is_power_of_two() && greatest.is_power_of_two() && least <= greatest);
        Self { least, greatest }
    }

    /// None of more than `most`, but one at the least.
    pub(crate) fn within(self, most: usize) -> Self {
        let most = 1 << most.max(1).ilog2();
        let greatest = self.greatest.min(most);
        Self {
            least: self.least.min(greatest),
            greatest,
        }
    }

    /// How many go into one batch.
    pub(crate) fn greatest(self) -> usize {
        self.greatest
    }

    /// The smallest size that has room for so many, of those that go into one batch.
    pub(crate) fn holding(self, count: usize) -> usize {
        count.next_power_of_two().clamp(self.least, self.greatest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_count_has_room_in_one_of_few_sizes() {
        let buckets = Buckets::new(8, 64);
        let mut sizes: Vec<usize> = (0..=64).map(|count| buckets.holding(count)).collect();
        assert!(sizes.iter().enumerate().all(|(count, &size)| size >= count));
        sizes.dedup();
        assert_eq!(sizes, [8, 16, 32, 64]);
    }

    #[test]
    fn less_room_leaves_smaller_sizes() {
        let sizes = |most| {
            let buckets = Buckets::new(8, 64).within(most);
            (buckets.holding(1), buckets.greatest())
        };
        let found = [1_000, 64, 63, 9, 8, 5, 1, 0].map(sizes);
        let expected = [
            (8, 64),
            (8, 64),
            (8, 32),
            (8, 8),
            (8, 8),
            (4, 4),
            (1, 1),
            (1, 1),
        ];
        assert_eq!(found, expected);
    }
}
