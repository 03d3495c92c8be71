//! A block of series that run together: memories and recurrent state, feature-major.

#[cfg(any(test, feature = "gpu"))]
mod card;

use foreshadow_types::Timestamp;

use crate::{
    average::Half,
    clock::Clock,
    features::{FIXED, INPUTS, View},
    kernel::{Network, Scratch},
    memory::{Memory, Seasons},
    outlook::Horizon,
    packed::PANEL,
    pointwise::vectorised,
    served::StepFeatures,
};

/// Series a block holds at most: a size at which the matrices stay in the cache. A few below a power of
/// two, beyond which an allocator that gives out pages of 64 KiB takes a further one for its header.
pub(crate) const BLOCK_ROWS: usize = 120;
/// Steps ahead that are computed together: as many as stay in the nearest cache.
pub(crate) const STEPS_AT_ONCE: usize = 48;

/// Up to [`BLOCK_ROWS`] series on one grid.
#[derive(Debug, Clone)]
pub(crate) struct Block {
    clock: Clock,
    memories: Vec<Memory>,
    /// `[rows, seasons]`.
    seasons: Vec<Half>,
    /// For each layer `h [hidden, rows]`, `c [hidden, rows]`.
    state: Vec<f32>,
}

impl Block {
    /// Of `rows` series that have not been seen.
    pub(crate) fn new(network: &Network, clock: Clock, rows: usize) -> Self {
        Self {
            clock,
            memories: vec![Memory::new(); rows],
            seasons: vec![Half::UNKNOWN; Seasons::count(clock) * rows],
            state: vec![0.0; network.size().state() * rows],
        }
    }

    pub(crate) fn rows(&self) -> usize {
        self.memories.len()
    }

    /// Forgets one series.
    pub(crate) fn clear(&mut self, row: usize) {
        self.memories[row] = Memory::new();
        self.seasons_mut(row).fill(Half::UNKNOWN);
        self.clear_state(row);
    }

    fn seasons_mut(&mut self, row: usize) -> &mut [Half] {
        let count = Seasons::count(self.clock);
        &mut self.seasons[row * count..][..count]
    }

    /// A series after the bin that starts at `at` was remembered.
    fn view(&self, row: usize, at: Timestamp) -> View<'_> {
        let count = Seasons::count(self.clock);
        let seasons = &self.seasons[row * count..][..count];
        View::new(&self.memories[row], seasons, self.clock, at)
    }

    /// Takes over the only series of another block.
    pub(crate) fn adopt(&mut self, row: usize, alone: &Self) {
        let rows = self.rows();
        self.memories[row].clone_from(&alone.memories[0]);
        self.seasons_mut(row).copy_from_slice(&alone.seasons);
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
        let seasons = self.seasons.chunks_exact_mut(Seasons::count(self.clock));
        for (row, (memory, seasons)) in self.memories.iter_mut().zip(seasons).enumerate() {
            memory.push(seasons, self.clock, at, value(row));
        }
    }

    /// Advances the recurrent state by the bin at `at`, which was remembered.
    pub(crate) fn advance(&mut self, network: &Network, at: Timestamp, scratch: &mut Scratch) {
        let rows = self.rows();
        scratch.inputs.clear();
        scratch.inputs.resize(INPUTS * rows, 0.0);
        self.write_inputs(at, &mut scratch.inputs);
        network
            .served()
            .step(&mut self.state, &scratch.inputs, rows, &mut scratch.gates);
        self.clear_unseen();
    }

    /// Writes what the recurrence takes of the bin at `at`, `[INPUTS, rows]`; nothing of a series
    /// that has not been seen.
    fn write_inputs(&self, at: Timestamp, inputs: &mut [f32]) {
        let rows = self.rows();
        for (row, memory) in self.memories.iter().enumerate() {
            if memory.started() {
                self.view(row, at).write_inputs(&mut inputs[row..], rows);
            }
        }
    }

    /// Leaves no state to series that have not been seen.
    fn clear_unseen(&mut self) {
        for row in 0..self.rows() {
            if !self.memories[row].started() {
                self.clear_state(row);
            }
        }
    }

    /// Shows `sink` each of the chosen rows' quantiles for `horizon` bins after the one at `at`, with
    /// the row's place in `chosen`: row-major `[horizon, levels]` at the network's levels.
    pub(crate) fn forecast(
        &self,
        network: &Network,
        at: Timestamp,
        chosen: &[usize],
        horizon: usize,
        scratch: &mut Scratch,
        mut sink: impl FnMut(usize, &[f32]),
    ) {
        let levels = network.size().levels.len();
        self.read_state(network, at, chosen, scratch);
        let parts: Vec<Horizon> = (1..=horizon)
            .step_by(STEPS_AT_ONCE)
            .map(|first| {
                let wanted = STEPS_AT_ONCE.min(horizon + 1 - first);
                Horizon::new(self.clock, at, first, wanted.max(PANEL))
            })
            .collect();
        let mut answer = std::mem::take(&mut scratch.answer);
        answer.resize(horizon * levels, 0.0);
        for (column, &row) in chosen.iter().enumerate() {
            let (scale, least) = self.units(row);
            let view = self.view(row, at);
            for (steps, answer) in parts.iter().zip(answer.chunks_mut(STEPS_AT_ONCE * levels)) {
                scratch.outlook.fill(&view, steps);
                let quantiles = network.served().quantiles(
                    column,
                    StepFeatures::Moving(&scratch.outlook.features),
                    &scratch.outlook.anchors,
                    steps.len(),
                    &mut scratch.head,
                );
                finish(quantiles, steps.len(), scale, least, answer);
            }
            sink(column, &answer);
        }
        scratch.answer = answer;
    }

    /// What the network's answers for a series are multiplied with, and below what no forecast is.
    fn units(&self, row: usize) -> (f32, f32) {
        let memory = &self.memories[row];
        let least = if memory.signed { f32::MIN } else { 0.0 };
        (memory.scale(), least)
    }

    /// Prepares the head for the chosen rows.
    fn read_state(
        &self,
        network: &Network,
        at: Timestamp,
        chosen: &[usize],
        scratch: &mut Scratch,
    ) {
        let columns = chosen.len();
        scratch.fixed.resize(FIXED.len() * columns, 0.0);
        for (column, &row) in chosen.iter().enumerate() {
            self.view(row, at)
                .write_fixed(&mut scratch.fixed[column..], columns);
        }
        self.read_top(network, chosen, &mut scratch.hidden);
        network.served().read_state(
            &scratch.hidden,
            Some(&scratch.fixed),
            columns,
            &mut scratch.head,
        );
    }

    /// The top layer's output of the chosen rows, `[hidden, chosen]`.
    fn read_top(&self, network: &Network, chosen: &[usize], hidden: &mut Vec<f32>) {
        let (rows, size) = (self.rows(), network.size());
        let top = &self.state[2 * (size.layers - 1) * size.hidden * rows..][..size.hidden * rows];
        hidden.clear();
        for unit in top.chunks_exact(rows) {
            hidden.extend(chosen.iter().map(|&row| unit[row]));
        }
    }
}

/// Back from scales to the series' units, `[levels, steps]`, sorted within each step; into `answer`
/// `[steps, levels]`, which may be of the first steps only.
fn finish(quantiles: &mut [f32], steps: usize, scale: f32, least: f32, answer: &mut [f32]) {
    vectorised(
        #[inline(always)]
        move || {
            for quantile in &mut *quantiles {
                *quantile = (scale * *quantile).clamp(least, f32::MAX);
            }
            let levels = quantiles.len() / steps;
            for sorted in 0..levels {
                for lower in 0..levels - 1 - sorted {
                    let pair = &mut quantiles[lower * steps..(lower + 2) * steps];
                    let (low, high) = pair.split_at_mut(steps);
                    for (low, high) in low.iter_mut().zip(high) {
                        let (a, b) = (*low, *high);
                        *low = if b < a { b } else { a };
                        *high = if b < a { a } else { b };
                    }
                }
            }
            for (level, row) in quantiles.chunks_exact(steps).enumerate() {
                for (out, &value) in answer[level..].iter_mut().step_by(levels).zip(row) {
                    *out = value;
                }
            }
        },
    );
}
