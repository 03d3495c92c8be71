//! A block of series that run together: memories and recurrent state, feature-major.

use foreshadow_types::Timestamp;

use crate::{
    clock::Clock,
    features::{AHEAD, ANCHORS, INPUTS, View},
    head::HeadInput,
    kernel::{Network, Scratch},
    memory::Memory,
};

/// Series a block holds at most: a size at which the matrices stay in the cache.
pub(crate) const BLOCK_ROWS: usize = 128;
/// Steps ahead that are computed together.
const STEPS_AT_ONCE: usize = 4;

/// Up to [`BLOCK_ROWS`] series on one grid.
#[derive(Debug, Clone)]
pub(crate) struct Block {
    clock: Clock,
    memories: Vec<Memory>,
    /// For each layer `h [hidden, rows]`, `c [hidden, rows]`.
    state: Vec<f32>,
}

impl Block {
    /// Of `rows` series that have not been seen.
    pub(crate) fn new(network: &Network, clock: Clock, rows: usize) -> Self {
        Self {
            clock,
            memories: vec![Memory::new(clock); rows],
            state: vec![0.0; network.size().state() * rows],
        }
    }

    pub(crate) fn rows(&self) -> usize {
        self.memories.len()
    }

    /// Forgets one series.
    pub(crate) fn clear(&mut self, row: usize) {
        self.memories[row] = Memory::new(self.clock);
        self.clear_state(row);
    }

    /// Takes over the only series of another block.
    pub(crate) fn adopt(&mut self, row: usize, alone: &Self) {
        let rows = self.rows();
        self.memories[row].clone_from(&alone.memories[0]);
        for (unit, &value) in self.state.chunks_exact_mut(rows).zip(&alone.state) {
            unit[row] = value;
        }
    }

    fn clear_state(&mut self, row: usize) {
        let rows = self.memories.len();
        for unit in self.state.chunks_exact_mut(rows) {
            unit[row] = 0.0;
        }
    }

    /// Takes the bin at `at` of each series, without advancing the recurrent state.
    pub(crate) fn remember(&mut self, at: Timestamp, value: impl Fn(usize) -> f32) {
        for (row, memory) in self.memories.iter_mut().enumerate() {
            memory.push(self.clock, at, value(row));
        }
    }

    /// Advances the recurrent state by the bin at `at`, which was remembered.
    pub(crate) fn advance(&mut self, network: &Network, at: Timestamp, scratch: &mut Scratch) {
        let rows = self.rows();
        scratch.inputs.clear();
        scratch.inputs.resize(INPUTS * rows, 0.0);
        for (row, memory) in self.memories.iter().enumerate() {
            if memory.started() {
                View::new(memory, self.clock, at).write_inputs(&mut scratch.inputs[row..], rows);
            }
        }
        network.step(&mut self.state, rows, scratch);
        for row in 0..rows {
            if !self.memories[row].started() {
                self.clear_state(row);
            }
        }
    }

    /// Quantiles of the chosen rows for `horizon` bins after the one at `at`, each row-major
    /// `[horizon, levels]` with the network's levels.
    pub(crate) fn forecast(
        &self,
        network: &Network,
        at: Timestamp,
        chosen: &[usize],
        horizon: usize,
        scratch: &mut Scratch,
    ) -> Vec<Vec<f32>> {
        let levels = network.size().levels.len();
        let mut answers = vec![Vec::with_capacity(horizon * levels); chosen.len()];
        let hidden = self.chosen_state(network, chosen);
        let mut first = 1;
        while first <= horizon {
            let draws = STEPS_AT_ONCE.min(horizon + 1 - first);
            self.forecast_steps(
                network,
                at,
                (chosen, &hidden),
                first..first + draws,
                scratch,
            );
            self.collect(scratch.head.quantiles(), chosen, draws, &mut answers);
            first += draws;
        }
        answers
    }

    fn forecast_steps(
        &self,
        network: &Network,
        at: Timestamp,
        (chosen, hidden): (&[usize], &[f32]),
        steps: std::ops::Range<usize>,
        scratch: &mut Scratch,
    ) {
        let draws = steps.len();
        let forecasts = chosen.len() * draws;
        let mut ahead = vec![0.0; AHEAD * forecasts];
        let mut anchors = vec![0.0; ANCHORS * forecasts];
        for (place, &row) in chosen.iter().enumerate() {
            let view = View::new(&self.memories[row], self.clock, at);
            for (draw, step) in steps.clone().enumerate() {
                let column = place * draws + draw;
                view.write_ahead(step, &mut ahead[column..], forecasts);
                let target = self.clock.later(at, step);
                for (index, anchor) in view.anchors(target).into_iter().enumerate() {
                    anchors[index * forecasts + column] = anchor;
                }
            }
        }
        let input = HeadInput {
            hidden,
            columns: chosen.len(),
            draws,
            ahead: &ahead,
            anchors: &anchors,
        };
        network.quantiles(input, scratch);
    }

    /// The top layer's output of the chosen rows, `[hidden, chosen]`.
    fn chosen_state(&self, network: &Network, chosen: &[usize]) -> Vec<f32> {
        let (rows, size) = (self.rows(), network.size());
        let top = &self.state[2 * (size.layers - 1) * size.hidden * rows..][..size.hidden * rows];
        top.chunks_exact(rows)
            .flat_map(|unit| chosen.iter().map(|&row| unit[row]))
            .collect()
    }

    /// Back from scales to the series' units, sorted within each step.
    fn collect(&self, quantiles: &[f32], chosen: &[usize], draws: usize, answers: &mut [Vec<f32>]) {
        let forecasts = chosen.len() * draws;
        for (place, (&row, answer)) in chosen.iter().zip(answers).enumerate() {
            let memory = &self.memories[row];
            let scale = memory.scale();
            let least = if memory.signed { f32::MIN } else { 0.0 };
            for draw in 0..draws {
                let column = place * draws + draw;
                let start = answer.len();
                answer.extend(
                    quantiles
                        .chunks_exact(forecasts)
                        .map(|level| (scale * level[column]).clamp(least, f32::MAX)),
                );
                answer[start..].sort_by(f32::total_cmp);
            }
        }
    }
}
