//! The head by hand: from the recurrent state and the features of a step ahead to its quantiles.

use crate::{
    cell::operand,
    features::AHEAD,
    matmul::{Into, Operand, multiply},
    network::{Layout, Matrix},
    pointwise::{add_row_sums, fill_bias, vectorised},
    spread::Spread,
};

/// What the head computes for a batch of forecasts, kept for the way back.
#[derive(Debug, Clone, Default)]
pub(crate) struct Head {
    by_state: Vec<f32>,
    first: Vec<f32>,
    inner: Vec<f32>,
    raw: Vec<f32>,
    spread: Spread,
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
        self.spread
            .forward(&self.raw, input.anchors, &layout.levels, n);
    }

    /// `[levels, forecasts]`, in units of the scale.
    pub(crate) fn quantiles(&self) -> &[f32] {
        &self.spread.quantiles
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
        let by_raw = self
            .spread
            .backward(&self.raw, input.anchors, &layout.levels, by_quantile, n);
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
