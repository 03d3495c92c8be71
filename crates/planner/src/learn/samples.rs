//! Past ticks kept for learning, in fixed memory.

use std::collections::VecDeque;

use crate::demand::Snapshot;

/// The most ticks with hits kept, and as many without.
const CAPACITY: usize = 24_000;

/// What was known at a tick, and how each block of sizes then fared in the period it decided.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    pub(crate) known: Snapshot,
    /// The first block that idled at all.
    pub(crate) first: usize,
    /// Hits and idle seconds of the blocks from there to the highest level met; all higher blocks
    /// idled throughout.
    pub(crate) scored: Box<[(f32, f32)]>,
    /// The tick's number.
    pub(crate) tick: u64,
}

/// Samples thinned evenly when there are too many.
#[derive(Debug, Clone, Default)]
struct Thinned {
    kept: VecDeque<Sample>,
    stride: u64,
    offered: u64,
}

impl Thinned {
    fn offer(&mut self, sample: Sample) {
        self.offered += 1;
        let stride = self.stride.max(1);
        if !self.offered.is_multiple_of(stride) {
            return;
        }
        self.kept.push_back(sample);
        if self.kept.len() > CAPACITY {
            let mut odd = false;
            self.kept.retain(|_| {
                odd = !odd;
                odd
            });
            self.stride = stride * 2;
        }
    }
}

/// The samples of one pool.
#[derive(Debug, Clone, Default)]
pub(crate) struct Samples {
    busy: Thinned,
    quiet: Thinned,
    hits: f64,
}

impl Samples {
    pub(crate) fn add(&mut self, sample: Sample) {
        let hits: f32 = sample.scored.iter().map(|&(hits, _)| hits).sum();
        self.hits += f64::from(hits);
        if hits > 0.0 {
            self.busy.offer(sample);
        } else {
            self.quiet.offer(sample);
        }
    }

    /// Ticks seen.
    pub(crate) fn ticks(&self) -> u64 {
        self.busy.offered + self.quiet.offered
    }

    /// Requests seen.
    pub(crate) fn requests(&self) -> f64 {
        self.hits
    }

    /// Every sample kept with the number of ticks it stands for.
    pub(crate) fn weighted(&self) -> impl Iterator<Item = (&Sample, f32)> {
        [&self.busy, &self.quiet].into_iter().flat_map(|thinned| {
            let weight = thinned.stride.max(1) as f32;
            thinned.kept.iter().map(move |sample| (sample, weight))
        })
    }
}
