//! The graph as it serves: a block of series after another goes in, and comes out in the same order, so
//! that the CPU copies whole blocks and series; the device turns them into feature-major matrices.

use burn::tensor::{Tensor, TensorData};

use super::{Graph, repeated, tensor};
use crate::{
    features::{AHEAD, ANCHORS, FIXED, FIXED_ANCHORS, INPUTS, MOVING},
    network::{Matrix, NetworkSize},
    outlook::{DISTANCES, SEASONAL, SHOWN},
};

/// The head's first layer by what its features are: the same for all steps ahead of a series, or not.
#[derive(Debug)]
pub(crate) struct HeadParts {
    by_fixed: Tensor<2>,
    by_moving: Tensor<2>,
}

/// What the steps ahead of some series have in common, on the device.
#[derive(Debug)]
pub(crate) struct ReadState {
    /// What it adds to the head's first layer, `[head, rows]`.
    by_state: Tensor<2>,
    /// The anchors that are the same for all steps, `[FIXED_ANCHORS, rows]`.
    anchors: Tensor<2>,
}

impl ReadState {
    /// Numbers of one series: the top layer's output, the features and the anchors that are the same for
    /// all steps.
    pub(crate) fn width(size: &NetworkSize) -> usize {
        size.hidden + FIXED.len() + FIXED_ANCHORS.len()
    }
}

impl Graph {
    /// Uploads the head's first layer in parts.
    pub(crate) fn head_parts(&self, weights: &[f32]) -> HeadParts {
        let matrix = self.layout.head_ahead;
        let part = |columns: &[usize]| {
            let values = chosen(&weights[matrix.range()], matrix, columns);
            tensor(values, matrix.rows, columns.len(), &self.device)
        };
        HeadParts {
            by_fixed: part(&FIXED),
            by_moving: part(&MOVING),
        }
    }

    /// Advances blocks of `rows` series by one step: from `state [blocks, state, rows]` and
    /// `inputs [blocks, INPUTS, rows]` the state after it, laid out as before.
    pub(crate) fn advanced(&self, state: Vec<f32>, inputs: Vec<f32>, rows: usize) -> Tensor<3> {
        let (floats, hidden) = (self.size.state(), self.size.hidden);
        let blocks = state.len() / (floats * rows);
        let all = blocks * rows;
        let by_feature = |values: Vec<f32>, features: usize| {
            let data = TensorData::new(values, [blocks, features, rows]);
            let blocks = Tensor::<3>::from_data(data, &self.device);
            blocks.swap_dims(0, 1).reshape([features, all])
        };
        let before = by_feature(state, floats);
        let parts = 0..2 * self.size.layers;
        let mut state: Vec<Tensor<2>> = parts
            .map(|part| before.clone().narrow(0, part * hidden, hidden))
            .collect();
        self.step(&mut state, by_feature(inputs, INPUTS));
        let after = Tensor::cat(state, 0).reshape([floats, blocks, rows]);
        after.swap_dims(0, 1)
    }

    /// Prepares forecasts from `own [rows, `[`ReadState::width`]`]`.
    pub(crate) fn read_state(&self, parts: &HeadParts, own: Vec<f32>) -> ReadState {
        let width = ReadState::width(&self.size);
        let rows = own.len() / width;
        let own = tensor(own, rows, width, &self.device).transpose();
        let (hidden, fixed) = (self.size.hidden, FIXED.len());
        let [from_state, ..] = self.head.clone();
        let by_state = from_state.matmul(own.clone().narrow(0, 0, hidden));
        let by_fixed = parts.by_fixed.clone();
        let by_fixed = by_fixed.matmul(own.clone().narrow(0, hidden, fixed));
        ReadState {
            by_state: by_state + by_fixed,
            anchors: own.narrow(0, hidden + fixed, FIXED_ANCHORS.len()),
        }
    }

    /// Quantiles in units of the scale, `[rows, levels, steps]`, from how far ahead the steps are,
    /// `[DISTANCES, steps]`, and what is `shown [rows, SHOWN, steps]` of them.
    pub(crate) fn quantiles_ahead(
        &self,
        parts: &HeadParts,
        read: &ReadState,
        distances: Vec<f32>,
        shown: Vec<f32>,
    ) -> Tensor<3> {
        let (steps, rows) = (distances.len() / DISTANCES, read.by_state.dims()[1]);
        let all = rows * steps;
        let data = TensorData::new(shown, [rows, SHOWN, steps]);
        let shown = Tensor::<3>::from_data(data, &self.device);
        let shown = shown.swap_dims(0, 1).reshape([SHOWN, all]);
        let usual = SHOWN - SEASONAL.len();
        let seasonal = shown.clone().narrow(0, usual, SEASONAL.len());
        let distances = tensor(distances, DISTANCES, steps, &self.device)
            .reshape([DISTANCES, 1, steps])
            .expand([DISTANCES, rows, steps])
            .reshape([DISTANCES, all]);
        let moving = [
            distances,
            shown.narrow(0, 0, usual),
            compress(seasonal.clone()),
        ];
        let by_ahead = parts
            .by_moving
            .clone()
            .matmul(Tensor::cat(moving.to_vec(), 0));
        let anchors = in_order(&repeated(read.anchors.clone(), all), &seasonal);
        let quantiles = self.quantiles(read.by_state.clone(), by_ahead, &anchors);
        let levels = self.size.levels.len();
        quantiles.reshape([levels, rows, steps]).swap_dims(0, 1)
    }
}

/// All anchors, from those that are the same for all steps and the seasonal ones.
fn in_order(fixed: &Tensor<2>, seasonal: &Tensor<2>) -> Tensor<2> {
    let parts = [(fixed, &FIXED_ANCHORS[..]), (seasonal, &SEASONAL[..])];
    let row = |anchor: usize| {
        parts.iter().find_map(|(rows, anchors)| {
            let at = anchors.iter().position(|&one| one == anchor)?;
            Some((*rows).clone().narrow(0, at, 1))
        })
    };
    Tensor::cat((0..ANCHORS).filter_map(row).collect(), 0)
}

/// As [`crate::features::compress`].
fn compress(values: Tensor<2>) -> Tensor<2> {
    let magnitude = values.clone().abs().clamp_max(1e18);
    let root = (magnitude.clone() * magnitude.clone() + 1.0).sqrt();
    (magnitude + root).log() * values.sign()
}

/// Some columns of a matrix, row by row.
fn chosen(values: &[f32], matrix: Matrix, columns: &[usize]) -> Vec<f32> {
    let rows = values.chunks_exact(matrix.columns);
    rows.flat_map(|row| columns.iter().map(|&column| row[column]))
        .collect()
}

const _: () = assert!(
    FIXED.len() + MOVING.len() == AHEAD && FIXED_ANCHORS.len() + SEASONAL.len() == ANCHORS,
    "each feature and each anchor is in one of the parts"
);
