//! Blocks of pool sizes, fine where sizes are small.

use crate::demand::{Levels, MAX_LEVEL};

/// The first size from which blocks hold more than one.
const FINE_UNTIL: u32 = 10;
const GROWTH: f64 = 1.1;
const LATE_GROWTH: f64 = 1.05;
const LATE_FROM: u32 = 64;

/// The blocks; block `b` holds the sizes from `edges[b] + 1` to `edges[b + 1]`.
#[derive(Debug, Clone)]
pub(crate) struct Grid {
    edges: Vec<u32>,
}

impl Grid {
    pub(crate) fn new() -> Self {
        let mut edges = vec![0];
        let mut edge = 0;
        while (edge as usize) < MAX_LEVEL {
            let growth = if edge < LATE_FROM {
                GROWTH
            } else {
                LATE_GROWTH
            };
            edge = if edge < FINE_UNTIL {
                edge + 1
            } else {
                (edge + 1).max((f64::from(edge) * growth).round() as u32)
            };
            edges.push(edge);
        }
        Self { edges }
    }

    /// How many blocks there are.
    pub(crate) fn len(&self) -> usize {
        self.edges.len() - 1
    }

    /// The block that holds `size`, which is at least 1.
    pub(crate) fn block_of(&self, size: u32) -> usize {
        self.edges
            .partition_point(|&edge| edge < size.max(1))
            .clamp(1, self.len())
            - 1
    }

    /// The middle size of a block.
    pub(crate) fn middle(&self, block: usize) -> f32 {
        (self.edges[block] + 1 + self.edges[block + 1]) as f32 / 2.0
    }

    /// How many sizes a block holds.
    pub(crate) fn width(&self, block: usize) -> f32 {
        (self.edges[block + 1] - self.edges[block]) as f32
    }

    /// Hits and idle seconds of each block up to the highest level met, blocks that never idle left
    /// out: the first block told, then one pair for each.
    pub(crate) fn score(&self, met: &Levels) -> (usize, Vec<(f32, f32)>) {
        let mut first = 0;
        let mut scored: Vec<(f32, f32)> = Vec::new();
        let (mut level, mut below_s) = (0, 0.0);
        for block in 0..self.len() {
            if level >= met.seconds.len() {
                break;
            }
            let (mut hits, mut idle_s) = (0.0, 0.0);
            for size in self.edges[block]..self.edges[block + 1] {
                level = size as usize;
                below_s += met.seconds.get(level).copied().unwrap_or(0.0);
                hits += met.arrivals.get(level).copied().unwrap_or(0.0);
                idle_s += below_s;
            }
            level += 1;
            if scored.is_empty() && idle_s == 0.0 && hits == 0.0 {
                first = block + 1;
            } else {
                scored.push((hits as f32, idle_s as f32));
            }
        }
        (first, scored)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_lies_in_one_block() {
        let grid = Grid::new();
        for size in 1..2000 {
            let block = grid.block_of(size);
            assert!(grid.edges[block] < size && size <= grid.edges[block + 1]);
        }
    }

    #[test]
    fn hits_and_idle_time_are_told_by_block() {
        let met = Levels {
            arrivals: vec![0.0, 2.0, 1.0, 0.0],
            seconds: vec![0.0, 9.0, 7.0, 4.0],
        };
        let (first, scored) = Grid::new().score(&met);
        assert_eq!(first, 1);
        assert_eq!(scored, [(2.0, 9.0), (1.0, 16.0), (0.0, 20.0)]);
    }
}
