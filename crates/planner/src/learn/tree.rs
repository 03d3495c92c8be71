//! One regression tree over what is known at a tick and a pool size.

use crate::demand::{MOMENTS, OTHERS, REFERENCES, Snapshot};

/// Inputs that compare the size with a reference on the scale of counts; the first is the size.
const SCALED: usize = 1 + REFERENCES;
/// Inputs that grow with the size: the scaled ones, and it in deviations above each recent mean.
pub(crate) const SIZED: usize = SCALED + MOMENTS;
/// All inputs: the sized ones, the references, the others.
pub(crate) const INPUTS: usize = SIZED + REFERENCES + OTHERS;

/// Added to every deviation, so that a demand that never varied has one.
const LEAST_DEVIATION: f32 = 0.3;

/// A variance-stabilising scale for counts (Anscombe, 1948).
pub(crate) fn scaled(count: f32) -> f32 {
    2.0 * (count.max(0.0) + 0.375).sqrt()
}

/// The count of a scaled one.
fn unscaled(scaled: f32) -> f32 {
    scaled * scaled / 4.0 - 0.375
}

/// The inputs at a tick that do not depend on the size.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TickInputs {
    values: [f32; INPUTS - SIZED],
    /// Mean and deviation, the latter above zero.
    moments: [(f32, f32); MOMENTS],
}

impl TickInputs {
    pub(crate) fn new(snapshot: &Snapshot) -> Self {
        let mut values = [0.0; INPUTS - SIZED];
        for (value, &reference) in values.iter_mut().zip(&snapshot.references) {
            *value = scaled(reference);
        }
        values[REFERENCES..].copy_from_slice(&snapshot.others);
        let moments = snapshot
            .moments
            .map(|(mean, deviation)| (mean, deviation.max(0.0) + LEAST_DEVIATION));
        Self { values, moments }
    }

    /// The value of an input for a pool of `scaled_size`.
    pub(crate) fn value(&self, input: usize, scaled_size: f32) -> f32 {
        match input {
            0 => scaled_size,
            input if input < SCALED => scaled_size - self.values[input - 1],
            input if input < SIZED => {
                let (mean, deviation) = self.moments[input - SCALED];
                (unscaled(scaled_size) - mean) / deviation
            }
            input => self.values[input - SIZED],
        }
    }

    /// The scaled size up to which a sized input is at most `threshold`.
    fn size_at(&self, input: usize, threshold: f32) -> f32 {
        match input {
            0 => threshold,
            input if input < SCALED => threshold + self.values[input - 1],
            input => {
                let (mean, deviation) = self.moments[input - SCALED];
                scaled(mean + threshold * deviation)
            }
        }
    }
}

/// A node: a split, or a leaf when both children are zero.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Node {
    pub(crate) input: u16,
    pub(crate) low: u16,
    pub(crate) high: u16,
    /// The largest input that goes low; a leaf's value.
    pub(crate) number: f32,
}

/// A tree; node 0 is its root.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tree {
    pub(crate) nodes: Vec<Node>,
}

impl Tree {
    /// Adds the tree's value for each of the ascending `scaled_sizes` to `steps`, as differences:
    /// the value of size `i` is the sum of `steps[..=i]`.
    ///
    /// All sizes go down together: an input that does not depend on the size sends them all one
    /// way, one that does cuts them in two runs.
    pub(crate) fn add(&self, tick: &TickInputs, scaled_sizes: &[f32], steps: &mut [f32]) {
        let mut waiting = [(0_u16, 0_u16, 0_u16); 64];
        waiting[0] = (0, 0, scaled_sizes.len() as u16);
        let mut left = 1;
        while left > 0 {
            left -= 1;
            let (mut at, from, mut to) = waiting[left];
            loop {
                let node = self.nodes[at as usize];
                if node.low == 0 && node.high == 0 {
                    steps[from as usize] += node.number;
                    if let Some(after) = steps.get_mut(to as usize) {
                        *after -= node.number;
                    }
                    break;
                }
                let input = node.input as usize;
                if input >= SIZED {
                    let low = tick.values[input - SIZED] <= node.number;
                    at = if low { node.low } else { node.high };
                    continue;
                }
                let limit = tick.size_at(input, node.number);
                let run = &scaled_sizes[from as usize..to as usize];
                let cut = from + run.partition_point(|&size| size <= limit) as u16;
                if cut == from {
                    at = node.high;
                } else if cut == to || left == waiting.len() {
                    at = node.low;
                } else {
                    waiting[left] = (node.high, cut, to);
                    left += 1;
                    at = node.low;
                    to = cut;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_that_go_down_together_end_where_they_would_alone() {
        let node = |input, low, high, number| Node {
            input,
            low,
            high,
            number,
        };
        let tree = Tree {
            nodes: vec![
                node(1, 1, 2, 0.0),
                node(SIZED as u16, 3, 4, 1e6),
                node(0, 0, 0, -1.0),
                node(0, 5, 6, scaled(1.5)),
                node(0, 0, 0, 9.0),
                node(0, 0, 0, 3.0),
                node(0, 0, 0, 2.0),
            ],
        };
        let tick = TickInputs::new(&Snapshot {
            references: [2.5; REFERENCES],
            others: [0.0; OTHERS],
            moments: [(0.0, 1.0); MOMENTS],
        });
        let sizes = [1.0, 2.0, 3.0, 4.0].map(scaled);
        let mut steps = [0.0; 4];
        tree.add(&tick, &sizes, &mut steps);
        let values: Vec<f32> = steps
            .iter()
            .scan(0.0, |sum, step| {
                *sum += step;
                Some(*sum)
            })
            .collect();
        assert_eq!(values, [3.0, 2.0, -1.0, -1.0]);
    }
}
