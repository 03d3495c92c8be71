//! The shape of the network and where each of its weights lies in one flat vector.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::{
    features::{AHEAD, ANCHORS, INITIAL_LOGITS, INPUTS},
    random::Random,
    spread::Levels,
};

/// Sizes of the network. Everything else follows from them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkSize {
    /// Units of each recurrent layer.
    pub hidden: usize,
    /// Recurrent layers.
    pub layers: usize,
    /// Units of the head's first layer.
    pub head: usize,
    /// Units of the head's second layer.
    pub head_inner: usize,
    /// Quantile levels, ascending.
    pub levels: Vec<f64>,
}

/// One matrix of the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Matrix {
    pub(crate) at: usize,
    pub(crate) rows: usize,
    pub(crate) columns: usize,
}

impl Matrix {
    /// Where it lies.
    pub(crate) fn range(self) -> Range<usize> {
        self.at..self.at + self.rows * self.columns
    }
}

/// The weights of one recurrent layer; gates lie in the order input, forget, output, candidate.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cell {
    pub(crate) input: Matrix,
    pub(crate) recurrent: Matrix,
    pub(crate) bias: Matrix,
}

/// Where every weight lies.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    pub(crate) cells: Vec<Cell>,
    /// From the state to the head's first layer.
    pub(crate) head_state: Matrix,
    /// From the features of a step ahead to the head's first layer.
    pub(crate) head_ahead: Matrix,
    pub(crate) head_bias: Matrix,
    pub(crate) inner: Matrix,
    pub(crate) inner_bias: Matrix,
    pub(crate) out: Matrix,
    pub(crate) out_bias: Matrix,
    pub(crate) total: usize,
    pub(crate) levels: Levels,
}

impl NetworkSize {
    /// One that tests are quick with.
    #[cfg(test)]
    pub(crate) fn small() -> Self {
        Self {
            hidden: 8,
            layers: 2,
            head: 8,
            head_inner: 6,
            levels: vec![0.1, 0.5, 0.9],
        }
    }

    /// Rows that the head gives: a log width, a logit for each anchor and its slope over the levels,
    /// and a distance for each level.
    pub(crate) fn outputs(&self) -> usize {
        1 + 2 * ANCHORS + self.levels.len()
    }

    /// Where the levels lie on a line: roughly those of a normal distribution.
    pub(crate) fn scores(&self) -> Vec<f32> {
        let odds = |level: f64| (level / (1.0 - level)).max(1e-6);
        let score = |&level: &f64| (odds(level).ln() / 1.7) as f32;
        self.levels.iter().map(score).collect()
    }

    /// Floats of recurrent state a series.
    pub(crate) fn state(&self) -> usize {
        2 * self.layers * self.hidden
    }

    /// Whether the sizes can be worked with.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        let sizes = [self.hidden, self.layers, self.head, self.head_inner];
        if sizes.iter().any(|&size| size == 0 || size > 4096) {
            return Err("each size is 1 to 4096");
        }
        if self.levels.is_empty() || self.levels.len() > 99 {
            return Err("there are 1 to 99 levels");
        }
        let ascending = self.levels.windows(2).all(|pair| pair[0] < pair[1]);
        if !ascending || !self.levels.iter().all(|&level| level > 0.0 && level < 1.0) {
            return Err("levels ascend between 0 and 1");
        }
        Ok(())
    }

    /// How many weights the network has.
    pub fn parameters(&self) -> usize {
        self.layout().total
    }

    pub(crate) fn layout(&self) -> Layout {
        let mut total = 0;
        let mut matrix = |rows, columns| {
            let at = total;
            total += rows * columns;
            Matrix { at, rows, columns }
        };
        let cells = (0..self.layers)
            .map(|layer| Cell {
                input: matrix(
                    4 * self.hidden,
                    if layer == 0 { INPUTS } else { self.hidden },
                ),
                recurrent: matrix(4 * self.hidden, self.hidden),
                bias: matrix(4 * self.hidden, 1),
            })
            .collect();
        let mut layout = Layout {
            cells,
            head_state: matrix(self.head, self.hidden),
            head_ahead: matrix(self.head, AHEAD),
            head_bias: matrix(self.head, 1),
            inner: matrix(self.head_inner, self.head),
            inner_bias: matrix(self.head_inner, 1),
            out: matrix(self.outputs(), self.head_inner),
            out_bias: matrix(self.outputs(), 1),
            total: 0,
            levels: Levels::new(self.scores()),
        };
        layout.total = total;
        layout
    }

    /// Fresh weights, the same for the same seed.
    pub fn initial_weights(&self, seed: u64) -> Vec<f32> {
        let layout = self.layout();
        let mut random = Random::new(seed, 0);
        let mut weights = vec![0.0; layout.total];
        let mut fill = |matrix: Matrix, bound: f32| {
            for weight in &mut weights[matrix.range()] {
                *weight = bound * (2.0 * random.unit() - 1.0);
            }
        };
        let recurrent = 1.0 / (self.hidden as f32).sqrt();
        for cell in &layout.cells {
            fill(cell.input, recurrent);
            fill(cell.recurrent, recurrent);
        }
        fill(layout.head_state, 1.7 * recurrent);
        fill(layout.head_ahead, 1.7 / (AHEAD as f32).sqrt());
        fill(layout.inner, 2.4 / (self.head as f32).sqrt());
        fill(layout.out, 0.3 / (self.head_inner as f32).sqrt());
        self.initial_biases(&layout, &mut weights);
        weights
    }

    /// Gates that remember, and quantiles spread like a normal distribution around the last value.
    fn initial_biases(&self, layout: &Layout, weights: &mut [f32]) {
        for cell in &layout.cells {
            weights[cell.bias.range()][self.hidden..2 * self.hidden].fill(1.0);
        }
        let out = &mut weights[layout.out_bias.range()];
        out[0] = -1.5;
        out[1..=ANCHORS].copy_from_slice(&INITIAL_LOGITS);
        out[1 + 2 * ANCHORS..].copy_from_slice(&self.scores());
    }
}
