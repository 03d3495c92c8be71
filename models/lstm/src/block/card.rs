//! What a graphics card is sent of a block, and what becomes of its answers.

use foreshadow_types::Timestamp;

use super::{Block, finish};
use crate::{
    features::{FIXED, FIXED_ANCHORS},
    network::NetworkSize,
    outlook::{DISTANCES, Horizon, Outlook, SEASONAL},
};

impl Block {
    /// The recurrent state: for each layer `h [hidden, rows]`, `c [hidden, rows]`.
    pub(crate) fn state(&self) -> &[f32] {
        &self.state
    }

    /// Writes the recurrent state `[state, rows]` and what the recurrence takes of the bin at `at`,
    /// `[INPUTS, rows]`, which are zero before.
    pub(crate) fn send_step(&self, at: Timestamp, state: &mut [f32], inputs: &mut [f32]) {
        state.copy_from_slice(&self.state);
        self.write_inputs(at, inputs);
    }

    /// Takes over the state after a step.
    pub(crate) fn take_step(&mut self, state: &[f32]) {
        self.state.copy_from_slice(state);
        self.clear_unseen();
    }

    /// Writes what the steps ahead of a series have in common: the top layer's output, the features and
    /// the anchors that are the same for all.
    pub(crate) fn send_state(
        &self,
        size: &NetworkSize,
        at: Timestamp,
        row: usize,
        out: &mut [f32],
    ) {
        let (hidden, rest) = out.split_at_mut(size.hidden);
        let (fixed, anchors) = rest.split_at_mut(FIXED.len());
        let rows = self.rows();
        let top = &self.state[2 * (size.layers - 1) * size.hidden * rows..];
        for (out, unit) in hidden.iter_mut().zip(top.chunks_exact(rows)) {
            *out = unit[row];
        }
        let view = self.view(row, at);
        view.write_fixed(fixed, 1);
        let all = view.fixed_anchors();
        anchors.copy_from_slice(&FIXED_ANCHORS.map(|anchor| all[anchor]));
    }

    /// Writes what is shown of each step ahead of a series, `[SHOWN, steps]`: the features that a card
    /// cannot make itself, and the seasonal anchors, which it makes the others from.
    pub(crate) fn send_steps(
        &self,
        at: Timestamp,
        row: usize,
        steps: &Horizon,
        outlook: &mut Outlook,
        out: &mut [f32],
    ) {
        outlook.fill(&self.view(row, at), steps);
        let n = steps.len();
        let (usual, seasonal) = out.split_at_mut(out.len() - SEASONAL.len() * n);
        usual.copy_from_slice(&outlook.features[DISTANCES * n..][..usual.len()]);
        for (out, anchor) in seasonal.chunks_exact_mut(n).zip(SEASONAL) {
            out.copy_from_slice(&outlook.anchors[anchor * n..][..n]);
        }
    }

    /// Brings a series' quantiles, `[levels, steps]`, into `answer [steps, levels]`, in its units and
    /// sorted; the answer may be of the first steps only.
    pub(crate) fn take_quantiles(
        &self,
        row: usize,
        quantiles: &mut [f32],
        steps: usize,
        answer: &mut [f32],
    ) {
        let (scale, least) = self.units(row);
        finish(quantiles, steps, scale, least, answer);
    }
}
