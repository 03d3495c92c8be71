//! One piece of training data: a stretch of several series with forecasts made along the way.

use crate::features::{AHEAD, ANCHORS, INPUTS};

/// Numbers for one training step. All matrices are feature-major: a row for each feature, a column
/// for each series (or forecast).
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Chunk {
    /// Series, one a column.
    pub(crate) rows: usize,
    /// Steps of the stretch.
    pub(crate) steps: usize,
    /// `[steps][INPUTS, rows]`.
    pub(crate) inputs: Vec<f32>,
    /// Recurrent state before the first step: for each layer `h [hidden, rows]`, `c [hidden, rows]`.
    pub(crate) state: Vec<f32>,
    /// Steps after which forecasts are made, ascending.
    pub(crate) origins: Vec<usize>,
    /// Forecasts a series at each origin. Column `(origin · rows + row) · draws + draw`.
    pub(crate) draws: usize,
    /// `[AHEAD, forecasts]`.
    pub(crate) ahead: Vec<f32>,
    /// `[ANCHORS, forecasts]`, in units of the scale at the origin.
    pub(crate) anchors: Vec<f32>,
    /// `[forecasts]`, in units of the scale at the origin.
    pub(crate) targets: Vec<f32>,
    /// `[forecasts]`; 0 where there is no target.
    pub(crate) weights: Vec<f32>,
    /// `[hidden, origins · rows]`: what the top layer's output at the origins is multiplied with
    /// before the head reads it (dropout); empty where nothing is dropped.
    pub(crate) keep: Vec<f32>,
}

impl Chunk {
    /// With room for everything, all zero.
    pub(crate) fn zeros(
        rows: usize,
        steps: usize,
        state: usize,
        origins: Vec<usize>,
        draws: usize,
    ) -> Self {
        let forecasts = origins.len() * rows * draws;
        Self {
            rows,
            steps,
            inputs: vec![0.0; steps * INPUTS * rows],
            state: vec![0.0; state * rows],
            origins,
            draws,
            ahead: vec![0.0; AHEAD * forecasts],
            anchors: vec![0.0; ANCHORS * forecasts],
            targets: vec![0.0; forecasts],
            weights: vec![0.0; forecasts],
            keep: Vec::new(),
        }
    }

    /// How many forecasts are made.
    pub(crate) fn forecasts(&self) -> usize {
        self.targets.len()
    }
}

/// What a training step over one chunk gives.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ChunkGradient {
    /// Weighted pinball loss, summed over forecasts, averaged over levels.
    pub(crate) loss: f64,
    /// The loss's derivative by each weight.
    pub(crate) gradient: Vec<f32>,
    /// Recurrent state after the last step, laid out as in the chunk.
    pub(crate) state: Vec<f32>,
}
