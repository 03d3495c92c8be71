//! Layers of the served network: weights laid out once, products with bias and rectifier in one go.
//!
//! The matrices of a block are so small that a general product spends most of its time on laying
//! out its operands. Here the weights are laid out when a network is made, and six rows of sixteen columns,
//! or of thirty-two where registers hold sixteen numbers, stay in registers from the bias to the
//! rectifier.

#![expect(
    clippy::inline_always,
    reason = "what is not inlined is not compiled for the vector instructions found"
)]

use pulp::{Simd, WithSimd};

use crate::arch::arch;

/// Rows that are computed together.
const TILE: usize = 6;
/// Columns that are computed together; fewer take a slower way.
pub(crate) const PANEL: usize = 16;

/// A weight matrix in tiles of rows.
#[derive(Debug, Clone)]
pub(crate) struct Packed {
    rows: usize,
    depth: usize,
    /// `[tiles][depth][TILE]`, the last tile filled up with zeros.
    tiles: Vec<[f32; TILE]>,
}

impl Packed {
    /// The chosen columns of a row-major matrix of `rows` rows.
    pub(crate) fn new(matrix: &[f32], rows: usize, columns: &[usize]) -> Self {
        let width = matrix.len() / rows.max(1);
        let weight = |row: usize, column: usize| {
            if row < rows {
                matrix[row * width + column]
            } else {
                0.0
            }
        };
        let tiles = (0..rows.div_ceil(TILE))
            .flat_map(|tile| columns.iter().map(move |&column| (tile, column)))
            .map(|(tile, column)| std::array::from_fn(|row| weight(tile * TILE + row, column)))
            .collect();
        Self {
            rows,
            depth: columns.len(),
            tiles,
        }
    }

    fn tile(&self, tile: usize) -> &[[f32; TILE]] {
        &self.tiles[tile * self.depth..][..self.depth]
    }
}

/// `out = bias + Σ weights · input`, over one or several pairs of weights and inputs.
#[derive(Debug)]
pub(crate) struct Layer<'a> {
    /// Weights, and the input `[depth, columns]` of each.
    pub(crate) parts: &'a [(&'a Packed, &'a [f32])],
    /// One for each row.
    pub(crate) bias: &'a [f32],
    /// Whether negative results become zero.
    pub(crate) rectified: bool,
    pub(crate) columns: usize,
}

impl Layer<'_> {
    /// Fills `out [rows, columns]`.
    pub(crate) fn run(&self, out: &mut Vec<f32>) {
        let rows = self.bias.len();
        out.resize(rows * self.columns, 0.0);
        for (weights, input) in self.parts {
            assert_eq!(weights.rows, rows, "a bias for each row");
            assert_eq!(
                input.len(),
                weights.depth * self.columns,
                "a row of input for each weight"
            );
        }
        if self.columns < PANEL {
            self.run_narrow(out);
        } else {
            arch().dispatch(Wide { layer: self, out });
        }
    }

    fn run_narrow(&self, out: &mut [f32]) {
        let n = self.columns;
        for (row, out) in out.chunks_exact_mut(n).enumerate() {
            out.fill(self.bias[row]);
            for (weights, input) in self.parts {
                let column = weights.tile(row / TILE);
                for (weight, input) in column.iter().zip(input.chunks_exact(n)) {
                    for (out, input) in out.iter_mut().zip(input) {
                        *out += weight[row % TILE] * input;
                    }
                }
            }
            if self.rectified {
                for out in out.iter_mut() {
                    *out = out.max(0.0);
                }
            }
        }
    }

    /// One tile of all columns, in `VECTORS` registers a row, or in two where `VECTORS` is one and
    /// as many columns are left. Columns that do not fill a register are computed with some before
    /// them once more.
    #[inline(always)]
    fn columns<S: Simd, const VECTORS: usize>(&self, simd: S, out: &mut [f32], tile: usize) {
        let mut column = 0;
        while column < self.columns {
            let left = self.columns - column;
            if VECTORS == 1 && left >= 2 * PANEL {
                self.tile::<S, 2>(simd, out, tile, column);
                column += 2 * PANEL;
            } else {
                let from = column.min(self.columns - PANEL);
                self.tile::<S, VECTORS>(simd, out, tile, from);
                column = from + PANEL;
            }
        }
    }

    /// One tile of neighbouring columns, in `VECTORS` registers a row.
    #[inline(always)]
    fn tile<S: Simd, const VECTORS: usize>(
        &self,
        simd: S,
        out: &mut [f32],
        tile: usize,
        column: usize,
    ) {
        let first = tile * TILE;
        let rows = TILE.min(self.bias.len() - first);
        let width = VECTORS * S::F32_LANES;
        let mut sums = [[simd.splat_f32s(0.0); VECTORS]; TILE];
        for (sums, &bias) in sums.iter_mut().zip(&self.bias[first..first + rows]) {
            *sums = [simd.splat_f32s(bias); VECTORS];
        }
        for (weights, input) in self.parts {
            let mut at = column;
            for weights in weights.tile(tile) {
                let inputs = S::as_simd_f32s(&input[at..at + width]).0;
                for row in 0..TILE {
                    let weight = simd.splat_f32s(weights[row]);
                    for vector in 0..VECTORS {
                        let sum = &mut sums[row][vector];
                        *sum = simd.mul_add_e_f32s(weight, inputs[vector], *sum);
                    }
                }
                at += self.columns;
            }
        }
        let zero = simd.splat_f32s(0.0);
        for (row, sums) in sums.iter().enumerate().take(rows) {
            let at = (first + row) * self.columns + column;
            let out = S::as_mut_simd_f32s(&mut out[at..at + width]).0;
            for (out, &sum) in out.iter_mut().zip(sums) {
                *out = if self.rectified {
                    simd.max_f32s(zero, sum)
                } else {
                    sum
                };
            }
        }
    }
}

/// A layer of at least one panel.
struct Wide<'a> {
    layer: &'a Layer<'a>,
    out: &'a mut [f32],
}

impl WithSimd for Wide<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { layer, out } = self;
        for tile in 0..layer.bias.len().div_ceil(TILE) {
            match S::F32_LANES {
                16 => layer.columns::<S, 1>(simd, out, tile),
                8 => layer.columns::<S, 2>(simd, out, tile),
                4 => layer.columns::<S, 4>(simd, out, tile),
                2 => layer.columns::<S, 8>(simd, out, tile),
                _ => layer.columns::<S, PANEL>(simd, out, tile),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        arch::tests::on_every_arch,
        matmul::{Into, Operand, multiply},
        random::Random,
    };

    #[test]
    fn layers_of_any_size_equal_general_products() {
        on_every_arch(|| {
            let mut random = Random::new(1, 1);
            let mut numbers = |count: usize| -> Vec<f32> {
                (0..count).map(|_| 2.0 * random.unit() - 1.0).collect()
            };
            for (rows, depth, columns) in [
                (1, 1, 1),
                (6, 3, 16),
                (13, 7, 15),
                (34, 32, 50),
                (32, 9, 79),
            ] {
                let (left, right) = (numbers(rows * depth), numbers(rows * 2));
                let (input, more) = (numbers(depth * columns), numbers(2 * columns));
                let bias = numbers(rows);
                let mut expected: Vec<f32> = bias
                    .iter()
                    .flat_map(|&bias| std::iter::repeat_n(bias, columns))
                    .collect();
                for (weights, input, depth) in [(&left, &input, depth), (&right, &more, 2)] {
                    multiply(
                        &mut expected,
                        Into::Add,
                        Operand::new(weights, rows, depth),
                        Operand::new(input, depth, columns),
                    );
                }
                let all: Vec<usize> = (0..depth).collect();
                let left = Packed::new(&left, rows, &all);
                let right = Packed::new(&right, rows, &[0, 1]);
                for rectified in [false, true] {
                    let layer = Layer {
                        parts: &[(&left, &input), (&right, &more)],
                        bias: &bias,
                        rectified,
                        columns,
                    };
                    let mut out = Vec::new();
                    layer.run(&mut out);
                    for (found, expected) in out.iter().zip(&expected) {
                        let expected = if rectified {
                            expected.max(0.0)
                        } else {
                            *expected
                        };
                        assert!((found - expected).abs() < 1e-5, "{found} {expected}");
                    }
                }
            }
        });
    }
}
