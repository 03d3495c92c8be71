//! The head by hand: from the recurrent state and the features of a step ahead to its quantiles.

use crate::{
    cell::operand,
    features::{AHEAD, ANCHORS},
    matmul::{Into, Operand, multiply},
    network::{Layout, Matrix},
    pointwise::{add_row_sums, exp, fill_bias, tanh, vectorised},
};

/// Bounds of the log width of a forecast.
pub(crate) const LOG_WIDTH: (f32, f32) = (-9.0, 3.0);
/// Bound of a quantile's distance from the blend, under the hyperbolic sine.
pub(crate) const REACH: f32 = 8.0;

/// What the head computes for a batch of forecasts, kept for the way back.
#[derive(Debug, Clone, Default)]
pub(crate) struct Head {
    by_state: Vec<f32>,
    first: Vec<f32>,
    inner: Vec<f32>,
    raw: Vec<f32>,
    /// Softmax of the anchors' logits.
    shares: Vec<f32>,
    width: Vec<f32>,
    blend: Vec<f32>,
    /// `[levels, forecasts]`, in units of the scale.
    pub(crate) quantiles: Vec<f32>,
}

/// What goes into the head.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HeadInput<'a> {
    /// `[hidden, columns]`.
    pub(crate) hidden: &'a [f32],
    pub(crate) columns: usize,
    /// Forecasts a column, next to each other.
    pub(crate) draws: usize,
    /// `[AHEAD, forecasts]`.
    pub(crate) ahead: &'a [f32],
    /// `[ANCHORS, forecasts]`.
    pub(crate) anchors: &'a [f32],
}

impl HeadInput<'_> {
    fn forecasts(self) -> usize {
        self.columns * self.draws
    }
}

impl Head {
    /// Computes the quantiles.
    pub(crate) fn forward(&mut self, weights: &[f32], layout: &Layout, input: HeadInput<'_>) {
        let n = input.forecasts();
        self.by_state
            .resize(layout.head_state.rows * input.columns, 0.0);
        let hidden = Operand::new(input.hidden, layout.head_state.columns, input.columns);
        fill_bias(
            &mut self.by_state,
            &weights[layout.head_bias.range()],
            input.columns,
        );
        multiply(
            &mut self.by_state,
            Into::Add,
            operand(weights, layout.head_state),
            hidden,
        );
        self.first.resize(layout.head_ahead.rows * n, 0.0);
        for (out, &value) in self.first.chunks_exact_mut(input.draws).zip(&self.by_state) {
            out.fill(value);
        }
        let ahead = Operand::new(input.ahead, AHEAD, n);
        multiply(
            &mut self.first,
            Into::Add,
            operand(weights, layout.head_ahead),
            ahead,
        );
        rectify(&mut self.first);
        dense(
            &mut self.inner,
            weights,
            layout.inner,
            layout.inner_bias,
            &self.first,
            n,
        );
        rectify(&mut self.inner);
        dense(
            &mut self.raw,
            weights,
            layout.out,
            layout.out_bias,
            &self.inner,
            n,
        );
        self.spread(input.anchors, n);
    }

    /// From the head's outputs to quantiles around a blend of the anchors.
    fn spread(&mut self, anchors: &[f32], n: usize) {
        let levels = self.raw.len() / n.max(1) - 1 - ANCHORS;
        self.shares.resize(ANCHORS * n, 0.0);
        self.width.resize(n, 0.0);
        self.blend.resize(n, 0.0);
        self.quantiles.resize(levels * n, 0.0);
        let (width_raw, rest) = self.raw.split_at(n);
        let (logits, spreads) = rest.split_at(ANCHORS * n);
        let (shares, width, blend) = (&mut self.shares, &mut self.width, &mut self.blend);
        let quantiles = &mut self.quantiles;
        vectorised(
            #[inline(always)]
            move || {
                for (width, raw) in width.iter_mut().zip(width_raw) {
                    *width = exp(raw.clamp(LOG_WIDTH.0, LOG_WIDTH.1));
                }
                softmax(shares, logits, n);
                blend.fill(0.0);
                for (share, anchor) in shares.chunks_exact(n).zip(anchors.chunks_exact(n)) {
                    for j in 0..n {
                        blend[j] += share[j] * anchor[j];
                    }
                }
                for (out, raw) in quantiles.chunks_exact_mut(n).zip(spreads.chunks_exact(n)) {
                    for j in 0..n {
                        let far = exp(REACH * tanh(raw[j] * width[j] / REACH));
                        out[j] = blend[j] + 0.5 * (far - 1.0 / far);
                    }
                }
            },
        );
    }

    /// Adds to the gradient of the head's weights, from the derivative by the quantiles, and gives
    /// the derivative by the state, `[hidden, columns]`.
    pub(crate) fn backward(
        &self,
        gradient: &mut [f32],
        weights: &[f32],
        layout: &Layout,
        input: HeadInput<'_>,
        by_quantile: &[f32],
    ) -> Vec<f32> {
        let n = input.forecasts();
        let by_raw = self.spread_gradient(input.anchors, by_quantile, n);
        let mut by_inner = dense_gradient(
            gradient,
            weights,
            layout.out,
            layout.out_bias,
            &self.inner,
            &by_raw,
            n,
        );
        mask(&mut by_inner, &self.inner);
        let mut by_first = dense_gradient(
            gradient,
            weights,
            layout.inner,
            layout.inner_bias,
            &self.first,
            &by_inner,
            n,
        );
        mask(&mut by_first, &self.first);
        let ahead = Operand::new(input.ahead, AHEAD, n).transposed();
        let first = Operand::new(&by_first, layout.head_ahead.rows, n);
        multiply(
            &mut gradient[layout.head_ahead.range()],
            Into::Add,
            first,
            ahead,
        );
        let by_state: Vec<f32> = by_first
            .chunks_exact(input.draws)
            .map(|draws| draws.iter().sum())
            .collect();
        let by_state_matrix = Operand::new(&by_state, layout.head_state.rows, input.columns);
        let hidden = Operand::new(input.hidden, layout.head_state.columns, input.columns);
        multiply(
            &mut gradient[layout.head_state.range()],
            Into::Add,
            by_state_matrix,
            hidden.transposed(),
        );
        add_row_sums(
            &mut gradient[layout.head_bias.range()],
            &by_state,
            input.columns,
        );
        let mut by_hidden = vec![0.0; input.hidden.len()];
        multiply(
            &mut by_hidden,
            Into::Replace,
            operand(weights, layout.head_state).transposed(),
            by_state_matrix,
        );
        by_hidden
    }

    fn spread_gradient(&self, anchors: &[f32], by_quantile: &[f32], n: usize) -> Vec<f32> {
        let mut by_raw = vec![0.0; self.raw.len()];
        let (by_width, rest) = by_raw.split_at_mut(n);
        let (by_logits, by_spreads) = rest.split_at_mut(ANCHORS * n);
        let spreads = &self.raw[(1 + ANCHORS) * n..];
        let mut by_blend = vec![0.0; n];
        let total = &mut by_blend;
        vectorised(
            #[inline(always)]
            move || {
                let rows = by_quantile.chunks_exact(n).zip(spreads.chunks_exact(n));
                for ((by, raw), out) in rows.zip(by_spreads.chunks_exact_mut(n)) {
                    for j in 0..n {
                        let squashed = tanh(raw[j] * self.width[j] / REACH);
                        let far = exp(REACH * squashed);
                        let slope = 0.5 * (far + 1.0 / far) * (1.0 - squashed * squashed);
                        let by_spread = by[j] * slope;
                        total[j] += by[j];
                        out[j] = by_spread * self.width[j];
                        by_width[j] += by_spread * raw[j] * self.width[j];
                    }
                }
                for (by, raw) in by_width.iter_mut().zip(&self.raw[..n]) {
                    if *raw <= LOG_WIDTH.0 || *raw >= LOG_WIDTH.1 {
                        *by = 0.0;
                    }
                }
                let rows = self.shares.chunks_exact(n).zip(anchors.chunks_exact(n));
                for ((share, anchor), out) in rows.zip(by_logits.chunks_exact_mut(n)) {
                    for j in 0..n {
                        out[j] = share[j] * (anchor[j] - self.blend[j]) * total[j];
                    }
                }
            },
        );
        by_raw
    }
}

fn dense(
    out: &mut Vec<f32>,
    weights: &[f32],
    matrix: Matrix,
    bias: Matrix,
    input: &[f32],
    n: usize,
) {
    out.resize(matrix.rows * n, 0.0);
    fill_bias(out, &weights[bias.range()], n);
    multiply(
        out,
        Into::Add,
        operand(weights, matrix),
        Operand::new(input, matrix.columns, n),
    );
}

fn dense_gradient(
    gradient: &mut [f32],
    weights: &[f32],
    matrix: Matrix,
    bias: Matrix,
    input: &[f32],
    by_out: &[f32],
    n: usize,
) -> Vec<f32> {
    let by = Operand::new(by_out, matrix.rows, n);
    let input = Operand::new(input, matrix.columns, n);
    multiply(
        &mut gradient[matrix.range()],
        Into::Add,
        by,
        input.transposed(),
    );
    add_row_sums(&mut gradient[bias.range()], by_out, n);
    let mut by_input = vec![0.0; matrix.columns * n];
    multiply(
        &mut by_input,
        Into::Replace,
        operand(weights, matrix).transposed(),
        by,
    );
    by_input
}

fn rectify(values: &mut [f32]) {
    vectorised(
        #[inline(always)]
        move || {
            for value in values {
                *value = if *value > 0.0 { *value } else { 0.0 };
            }
        },
    );
}

/// Zeroes the derivative where the rectifier was closed.
fn mask(by: &mut [f32], rectified: &[f32]) {
    vectorised(
        #[inline(always)]
        move || {
            for (by, &value) in by.iter_mut().zip(rectified) {
                *by = if value > 0.0 { *by } else { 0.0 };
            }
        },
    );
}

#[expect(
    clippy::inline_always,
    reason = "what is not inlined is not compiled for the vector instructions found"
)]
#[inline(always)]
fn softmax(shares: &mut [f32], logits: &[f32], n: usize) {
    let mut sums = vec![0.0_f32; n];
    for (share, logit) in shares.chunks_exact_mut(n).zip(logits.chunks_exact(n)) {
        for j in 0..n {
            share[j] = exp(logit[j].clamp(-40.0, 40.0));
            sums[j] += share[j];
        }
    }
    for share in shares.chunks_exact_mut(n) {
        for j in 0..n {
            share[j] /= sums[j];
        }
    }
}
