//! The recurrent layer by hand: forward for serving, forward and backward for training.
//!
//! All matrices are feature-major, so that gates are contiguous and each loop runs over whole rows.

#![expect(
    clippy::inline_always,
    reason = "what is not inlined is not compiled for the vector instructions found"
)]

use pulp::{Scalar, Simd, WithSimd};

use crate::{
    arch::arch,
    lanes,
    matmul::{Into, Operand, multiply},
    network::{Cell, Matrix},
    pointwise::{add_row_sums, fill_bias, tanh, vectorised},
};

/// A weight matrix within the flat vector.
pub(crate) fn operand(weights: &[f32], matrix: Matrix) -> Operand<'_> {
    Operand::new(&weights[matrix.range()], matrix.rows, matrix.columns)
}

/// Gates before their activation, into `gates [4·hidden, rows]`.
pub(crate) fn gate_sums(
    gates: &mut [f32],
    weights: &[f32],
    cell: &Cell,
    input: &[f32],
    h: &[f32],
    rows: usize,
) {
    fill_bias(gates, &weights[cell.bias.range()], rows);
    let input = Operand::new(input, cell.input.columns, rows);
    multiply(gates, Into::Add, operand(weights, cell.input), input);
    let h = Operand::new(h, cell.recurrent.columns, rows);
    multiply(gates, Into::Add, operand(weights, cell.recurrent), h);
}

/// Activates the gates in place and advances `h` and `c`.
pub(crate) fn activate(gates: &mut [f32], h: &mut [f32], c: &mut [f32]) {
    let count = c.len();
    let (input, rest) = gates.split_at_mut(count);
    let (forget, rest) = rest.split_at_mut(count);
    let (output, candidate) = rest.split_at_mut(count);
    arch().dispatch(Activation([input, forget, output, candidate, h, c]));
}

/// Input, forget and output gate, candidate, output and state of equally many units.
struct Activation<'a>([&'a mut [f32]; 6]);

impl WithSimd for Activation<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let split = self.0.map(|part| S::as_mut_simd_f32s(part));
        let [
            (input, i),
            (forget, f),
            (output, o),
            (candidate, g),
            (h, hs),
            (c, cs),
        ] = split;
        for (index, c) in c.iter_mut().enumerate() {
            let gates = [
                &mut input[index],
                &mut forget[index],
                &mut output[index],
                &mut candidate[index],
            ];
            advance(simd, gates, &mut h[index], c);
        }
        for (index, c) in cs.iter_mut().enumerate() {
            let gates = [&mut i[index], &mut f[index], &mut o[index], &mut g[index]];
            advance(Scalar, gates, &mut hs[index], c);
        }
    }
}

#[inline(always)]
fn advance<S: Simd>(simd: S, gates: [&mut S::f32s; 4], h: &mut S::f32s, c: &mut S::f32s) {
    let [input, forget, output, candidate] = gates;
    for open in [&mut *input, &mut *forget, &mut *output] {
        *open = lanes::sigmoid(simd, *open);
    }
    *candidate = lanes::tanh(simd, *candidate);
    *c = simd.mul_add_e_f32s(*forget, *c, simd.mul_f32s(*input, *candidate));
    *h = simd.mul_f32s(*output, lanes::tanh(simd, *c));
}

/// What one layer remembers of a stretch in order to go back through it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tape {
    /// `[steps][4·hidden, rows]`, activated.
    pub(crate) gates: Vec<f32>,
    /// `[steps + 1][hidden, rows]`: before each step and after the last.
    pub(crate) h: Vec<f32>,
    /// As `h`.
    pub(crate) c: Vec<f32>,
}

impl Tape {
    /// For `steps` steps of `unit = hidden · rows` numbers, from the given state.
    pub(crate) fn begin(steps: usize, unit: usize, h: &[f32], c: &[f32]) -> Self {
        let from = |start: &[f32]| {
            let mut all = vec![0.0; (steps + 1) * unit];
            all[..unit].copy_from_slice(start);
            all
        };
        Self {
            gates: vec![0.0; steps * 4 * unit],
            h: from(h),
            c: from(c),
        }
    }

    /// Runs one step with the layer's `input [inputs, rows]`.
    pub(crate) fn forward(
        &mut self,
        weights: &[f32],
        cell: &Cell,
        input: &[f32],
        rows: usize,
        step: usize,
    ) {
        let unit = cell.recurrent.columns * rows;
        let gates = &mut self.gates[step * 4 * unit..][..4 * unit];
        let (before, h) = self.h[step * unit..].split_at_mut(unit);
        gate_sums(gates, weights, cell, input, before, rows);
        let (before, c) = self.c[step * unit..].split_at_mut(unit);
        c[..unit].copy_from_slice(before);
        activate(gates, &mut h[..unit], &mut c[..unit]);
    }

    /// The output of a step, counted from 0; step `steps` gives the last.
    pub(crate) fn output(&self, unit: usize, step: usize) -> &[f32] {
        &self.h[(step + 1) * unit..][..unit]
    }

    /// The derivative by the gate sums of one step, in place of the gates themselves.
    ///
    /// `dh` is the derivative by the step's output; `dc` that by its cell state on entry, and by
    /// the cell state before the step on return.
    pub(crate) fn gate_gradient(&mut self, unit: usize, step: usize, dh: &[f32], dc: &mut [f32]) {
        let gates = &mut self.gates[step * 4 * unit..][..4 * unit];
        let before = &self.c[step * unit..][..unit];
        let after = &self.c[(step + 1) * unit..][..unit];
        let (open, candidate) = gates.split_at_mut(3 * unit);
        let (input, rest) = open.split_at_mut(unit);
        let (forget, output) = rest.split_at_mut(unit);
        let (forget, output) = (&mut forget[..unit], &mut output[..unit]);
        let (candidate, dh, dc) = (&mut candidate[..unit], &dh[..unit], &mut dc[..unit]);
        vectorised(
            #[inline(always)]
            move || {
                for j in 0..unit {
                    let (i, f, o, g) = (input[j], forget[j], output[j], candidate[j]);
                    let squashed = tanh(after[j]);
                    let d = dc[j] + dh[j] * o * (1.0 - squashed * squashed);
                    output[j] = dh[j] * squashed * o * (1.0 - o);
                    input[j] = d * g * i * (1.0 - i);
                    forget[j] = d * before[j] * f * (1.0 - f);
                    candidate[j] = d * i * (1.0 - g * g);
                    dc[j] = d * f;
                }
            },
        );
    }
}

/// Adds one step's share to the gradient of the layer's weights, from the derivative by its gates.
pub(crate) fn add_weight_gradient(
    gradient: &mut [f32],
    cell: &Cell,
    gates: &[f32],
    input: &[f32],
    before: &[f32],
    rows: usize,
) {
    let gates = Operand::new(gates, cell.input.rows, rows);
    let input = Operand::new(input, cell.input.columns, rows).transposed();
    multiply(&mut gradient[cell.input.range()], Into::Add, gates, input);
    let before = Operand::new(before, cell.recurrent.columns, rows).transposed();
    multiply(
        &mut gradient[cell.recurrent.range()],
        Into::Add,
        gates,
        before,
    );
}

/// Adds one step's share to the gradient of the biases.
pub(crate) fn add_bias_gradient(gradient: &mut [f32], cell: &Cell, gates: &[f32], rows: usize) {
    let sums = &mut gradient[cell.bias.range()];
    vectorised(
        #[inline(always)]
        move || add_row_sums(sums, gates, rows),
    );
}

/// `out = matrixᵀ · gates`, or added to it.
pub(crate) fn back_through(
    out: &mut [f32],
    into: Into,
    weights: &[f32],
    matrix: Matrix,
    gates: &[f32],
    rows: usize,
) {
    let gates = Operand::new(gates, matrix.rows, rows);
    multiply(out, into, operand(weights, matrix).transposed(), gates);
}
