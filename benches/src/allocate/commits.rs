//! How long the ledger's commits took in a part of a run, by the engine's own histogram.

use foreshadow_engine::{LATENCY_BOUNDS_S, LatencySnapshot};

/// Commits of several parts together.
#[derive(Debug, Default)]
pub(super) struct Commits([u64; LATENCY_BOUNDS_S.len() + 1]);

impl Commits {
    /// Adds those between two looks at the histogram.
    pub(super) fn add(&mut self, before: &LatencySnapshot, after: &LatencySnapshot) {
        let between = after.buckets.iter().zip(before.buckets);
        for (sum, (after, before)) in self.0.iter_mut().zip(between) {
            *sum += after - before;
        }
    }

    /// The median in seconds, evenly spread within its bucket.
    pub(super) fn median_s(&self) -> f64 {
        let half = self.0.iter().sum::<u64>() as f64 / 2.0;
        let (mut seen, mut lower) = (0.0, 0.0);
        for (&count, upper) in self.0.iter().zip(LATENCY_BOUNDS_S) {
            let count = count as f64;
            if count > 0.0 && seen + count >= half {
                return lower + (half - seen) / count * (upper - lower);
            }
            seen += count;
            lower = upper;
        }
        lower
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_commits_between_the_looks_count() {
        let look = |counts: [u64; 2]| {
            let mut look = LatencySnapshot {
                buckets: [0; LATENCY_BOUNDS_S.len() + 1],
                count: counts.iter().sum(),
                sum_s: 0.0,
            };
            look.buckets[..2].copy_from_slice(&counts);
            look
        };
        let mut commits = Commits::default();
        commits.add(&look([1_000, 0]), &look([1_000, 10]));
        let [lower, upper] = [LATENCY_BOUNDS_S[0], LATENCY_BOUNDS_S[1]];
        assert!((commits.median_s() - f64::midpoint(lower, upper)).abs() < 1e-12);
    }
}
