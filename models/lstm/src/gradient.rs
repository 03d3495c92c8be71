//! The training step by hand: loss and gradient of one chunk, without a graph.

use crate::{
    cell::{Tape, add_bias_gradient, add_weight_gradient, back_through},
    chunk::{Chunk, ChunkGradient},
    features::INPUTS,
    head::{Head, HeadInput},
    matmul::Into,
    network::{Layout, NetworkSize},
};

/// Loss, gradient and carried state of one chunk, on this thread.
pub(crate) fn gradient(size: &NetworkSize, weights: &[f32], chunk: &Chunk) -> ChunkGradient {
    let layout = size.layout();
    let unit = size.hidden * chunk.rows;
    let mut tapes = forward(&layout, weights, chunk, unit);
    let mut gradient = vec![0.0; layout.total];
    let mut hidden = at_origins(&tapes, chunk, size.hidden, unit);
    drop_out(&mut hidden, &chunk.keep);
    let input = HeadInput {
        hidden: &hidden,
        columns: chunk.origins.len() * chunk.rows,
        draws: chunk.draws,
        ahead: &chunk.ahead,
        anchors: &chunk.anchors,
    };
    let mut head = Head::default();
    head.forward(weights, &layout, input);
    let (loss, by_quantile) = pinball(head.quantiles(), chunk, &size.levels);
    let mut by_hidden = head.backward(&mut gradient, weights, &layout, input, &by_quantile);
    drop_out(&mut by_hidden, &chunk.keep);
    let state = tapes
        .iter()
        .flat_map(|tape| [&tape.h[chunk.steps * unit..], &tape.c[chunk.steps * unit..]])
        .flatten()
        .copied()
        .collect();
    backward(
        &mut gradient,
        &mut tapes,
        &layout,
        weights,
        chunk,
        &by_hidden,
    );
    ChunkGradient {
        loss,
        gradient,
        state,
    }
}

/// The same both ways: what was dropped gets no gradient either.
fn drop_out(values: &mut [f32], keep: &[f32]) {
    for (value, keep) in values.iter_mut().zip(keep) {
        *value *= keep;
    }
}

fn forward(layout: &Layout, weights: &[f32], chunk: &Chunk, unit: usize) -> Vec<Tape> {
    let mut tapes: Vec<Tape> = chunk
        .state
        .chunks_exact(2 * unit)
        .map(|pair| Tape::begin(chunk.steps, unit, &pair[..unit], &pair[unit..]))
        .collect();
    for step in 0..chunk.steps {
        for layer in 0..tapes.len() {
            let (below, here) = tapes.split_at_mut(layer);
            let input = layer_input(below, chunk, unit, step);
            here[0].forward(weights, &layout.cells[layer], input, chunk.rows, step);
        }
    }
    tapes
}

/// What the layer above `below` reads at a step.
fn layer_input<'a>(below: &'a [Tape], chunk: &'a Chunk, unit: usize, step: usize) -> &'a [f32] {
    match below.last() {
        Some(tape) => tape.output(unit, step),
        None => &chunk.inputs[step * INPUTS * chunk.rows..][..INPUTS * chunk.rows],
    }
}

/// The top layer's outputs at the origins, `[hidden, origins · rows]`.
fn at_origins(tapes: &[Tape], chunk: &Chunk, hidden: usize, unit: usize) -> Vec<f32> {
    let Some(top) = tapes.last() else {
        return Vec::new();
    };
    let mut all = Vec::with_capacity(chunk.origins.len() * unit);
    for row in 0..hidden {
        for &origin in &chunk.origins {
            all.extend_from_slice(&top.output(unit, origin)[row * chunk.rows..][..chunk.rows]);
        }
    }
    all
}

/// The weighted pinball loss, averaged over levels, and its derivative by the quantiles.
fn pinball(quantiles: &[f32], chunk: &Chunk, levels: &[f64]) -> (f64, Vec<f32>) {
    let n = chunk.forecasts();
    let share = 1.0 / levels.len() as f32;
    let mut by_quantile = vec![0.0; quantiles.len()];
    let mut loss = 0.0;
    for ((row, by), &level) in quantiles
        .chunks_exact(n)
        .zip(by_quantile.chunks_exact_mut(n))
        .zip(levels)
    {
        let level = level as f32;
        let mut sum = 0.0_f32;
        for j in 0..n {
            let error = chunk.targets[j] - row[j];
            let slope = if error > 0.0 { level } else { level - 1.0 };
            sum += chunk.weights[j] * slope * error;
            by[j] = -chunk.weights[j] * slope * share;
        }
        loss += f64::from(sum * share);
    }
    (loss, by_quantile)
}

/// Back through time, all layers a step, from the derivative by the outputs at the origins.
fn backward(
    gradient: &mut [f32],
    tapes: &mut [Tape],
    layout: &Layout,
    weights: &[f32],
    chunk: &Chunk,
    by_hidden: &[f32],
) {
    let rows = chunk.rows;
    let unit = tapes
        .first()
        .map_or(0, |tape| tape.h.len() / (chunk.steps + 1));
    let mut dh = vec![vec![0.0; unit]; tapes.len()];
    let mut dc = vec![vec![0.0; unit]; tapes.len()];
    let mut origin = chunk.origins.len();
    for step in (0..chunk.steps).rev() {
        if origin > 0 && chunk.origins[origin - 1] == step {
            origin -= 1;
            add_emitted(&mut dh, by_hidden, origin, chunk);
        }
        for layer in (0..tapes.len()).rev() {
            let cell = &layout.cells[layer];
            let (below, here) = tapes.split_at_mut(layer);
            here[0].gate_gradient(unit, step, &dh[layer], &mut dc[layer]);
            let gates = &here[0].gates[step * 4 * unit..][..4 * unit];
            let before = &here[0].h[step * unit..][..unit];
            let input = layer_input(below, chunk, unit, step);
            add_weight_gradient(gradient, cell, gates, input, before, rows);
            add_bias_gradient(gradient, cell, gates, rows);
            back_through(
                &mut dh[layer],
                Into::Replace,
                weights,
                cell.recurrent,
                gates,
                rows,
            );
            if layer > 0 {
                back_through(
                    &mut dh[layer - 1],
                    Into::Add,
                    weights,
                    cell.input,
                    gates,
                    rows,
                );
            }
        }
    }
}

fn add_emitted(dh: &mut [Vec<f32>], by_hidden: &[f32], origin: usize, chunk: &Chunk) {
    let Some(top) = dh.last_mut() else { return };
    let columns = chunk.origins.len() * chunk.rows;
    for (row, out) in top.chunks_exact_mut(chunk.rows).enumerate() {
        let emitted = &by_hidden[row * columns + origin * chunk.rows..][..chunk.rows];
        for (out, by) in out.iter_mut().zip(emitted) {
            *out += by;
        }
    }
}
