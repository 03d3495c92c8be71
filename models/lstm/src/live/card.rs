//! A tick on a graphics card: while it computes a batch, the CPU makes the next one ready. A batch that the
//! card does not answer is computed by the CPU.

#[cfg(test)]
mod parity;
mod trial;

use std::ops::Range;

use foreshadow_types::Timestamp;

use super::{BLOCKS_A_THREAD, LiveBatch, Rooms, Slot, in_shares};
use crate::{
    block::{BLOCK_ROWS, Block, STEPS_AT_ONCE},
    card::{Card, Lost, Pending},
    features::INPUTS,
    graph::ReadState,
    kernel::Network,
    outlook::{Horizon, SHOWN},
};
pub(crate) use trial::tried;

/// Series that a second thread is worth starting for.
const SERIES_A_THREAD: usize = BLOCK_ROWS;

/// Forecasts of some series, under way: those of each stretch of steps.
type Forecasts = Vec<Result<Pending, Lost>>;

/// What is the same for all series of a tick that is forecast.
struct Ahead {
    at: Timestamp,
    horizon: usize,
    stretches: Vec<Horizon>,
}

impl LiveBatch {
    /// [`LiveBatch::advance`] on a card.
    pub(super) fn advance_on(
        &mut self,
        card: &Card,
        at: Timestamp,
        value: impl Fn(Slot) -> f32 + Sync,
    ) {
        let (network, taken, rooms) = (&self.network, &self.taken, &self.rooms);
        let settle = |(blocks, sent): (&mut [Block], Result<Pending, Lost>)| {
            let here = |blocks: &mut [Block]| step_here(blocks, network, at, rooms);
            match sent.and_then(|pending| card.read(pending)) {
                Ok(state) => take_steps(blocks, &state, here),
                Err(Lost) => here(blocks),
            }
        };
        let mut before = None;
        for (index, blocks) in self.blocks.chunks_mut(card.blocks()).enumerate() {
            let first = index * card.blocks() * BLOCK_ROWS;
            let value_of = |place: usize| {
                let index = first + place;
                if taken[index] {
                    value(Slot(index as u32))
                } else {
                    f32::NAN
                }
            };
            let sent = send_steps(card, at, blocks, value_of);
            if let Some(sent) = before.replace((blocks, sent)) {
                settle(sent);
            }
        }
        before.into_iter().for_each(settle);
    }

    /// [`LiveBatch::for_each`] on a card.
    pub(super) fn for_each_on(
        &self,
        card: &Card,
        at: Timestamp,
        slots: &[Slot],
        horizon: usize,
        sink: &(impl Fn(usize, &[f32]) + Sync),
    ) {
        let ahead = Ahead::new(self, at, horizon);
        let settle = |(places, sent): (Range<usize>, Forecasts)| {
            let read = |sent: Result<Pending, Lost>| sent.and_then(|pending| card.read(pending));
            let answers: Result<Vec<Vec<f32>>, Lost> = sent.into_iter().map(read).collect();
            let (first, slots) = (places.start, &slots[places]);
            let shown = |place: usize, values: &[f32]| sink(first + place, values);
            match answers {
                Ok(answers) => self.take_forecasts(&ahead, slots, &answers, &shown),
                Err(Lost) => self.for_each_here(at, slots, horizon, &shown),
            }
        };
        let most = card.series(horizon * self.levels()).greatest();
        let mut before = None;
        for start in (0..slots.len()).step_by(most) {
            let places = start..slots.len().min(start + most);
            let sent = self.send_forecasts(card, &ahead, &slots[places.clone()]);
            if let Some(sent) = before.replace((places, sent)) {
                settle(sent);
            }
        }
        before.into_iter().for_each(settle);
    }

    fn levels(&self) -> usize {
        self.network.size().levels.len()
    }

    /// Begins the forecasts of a batch.
    fn send_forecasts(&self, card: &Card, ahead: &Ahead, slots: &[Slot]) -> Forecasts {
        let sizes = card.series(ahead.horizon * self.levels());
        let rows = sizes.holding(slots.len());
        let read = card.read_state(self.own(ahead.at, slots, rows));
        let begin = |steps: &Horizon| {
            let read = read.as_ref().map_err(|&lost| lost)?;
            card.quantiles(read, steps, self.shown(ahead.at, slots, steps, rows))
        };
        ahead.stretches.iter().map(begin).collect()
    }

    /// What the steps ahead of each series have in common, filled up to `rows` series.
    fn own(&self, at: Timestamp, slots: &[Slot], rows: usize) -> Vec<f32> {
        let size = self.network.size();
        let width = ReadState::width(size);
        let mut own = vec![0.0; rows * width];
        let mut places: Vec<(&Slot, &mut [f32])> =
            slots.iter().zip(own.chunks_exact_mut(width)).collect();
        in_shares(&mut places, SERIES_A_THREAD, |_, places| {
            for (slot, out) in places {
                if let Some(block) = self.blocks.get(slot.block()) {
                    block.send_state(size, at, slot.row(), out);
                }
            }
        });
        own
    }

    /// What is shown of a stretch of steps of each series, filled up to `rows` series.
    fn shown(&self, at: Timestamp, slots: &[Slot], steps: &Horizon, rows: usize) -> Vec<f32> {
        let numbers = SHOWN * steps.len();
        let mut shown = vec![0.0; rows * numbers];
        let mut places: Vec<(&Slot, &mut [f32])> =
            slots.iter().zip(shown.chunks_exact_mut(numbers)).collect();
        in_shares(&mut places, SERIES_A_THREAD, |_, places| {
            let mut scratch = self.rooms.take();
            for (slot, out) in places {
                if let Some(block) = self.blocks.get(slot.block()) {
                    block.send_steps(at, slot.row(), steps, &mut scratch.outlook, out);
                }
            }
            self.rooms.give_back(scratch);
        });
        shown
    }

    /// Shows the forecasts of a batch, from the answers of each stretch of steps.
    fn take_forecasts(
        &self,
        ahead: &Ahead,
        slots: &[Slot],
        answers: &[Vec<f32>],
        sink: &(impl Fn(usize, &[f32]) + Sync),
    ) {
        let levels = self.levels();
        let mut places: Vec<(usize, &Slot)> = slots.iter().enumerate().collect();
        in_shares(&mut places, SERIES_A_THREAD, |_, places| {
            let mut quantiles = vec![0.0; levels * STEPS_AT_ONCE];
            let mut all = vec![0.0; levels * ahead.horizon];
            for &mut (place, slot) in places {
                let Some(block) = self.blocks.get(slot.block()) else {
                    continue;
                };
                let stretches = ahead.stretches.iter().zip(answers);
                for ((steps, answers), out) in stretches.zip(all.chunks_mut(STEPS_AT_ONCE * levels))
                {
                    let numbers = levels * steps.len();
                    let own = &mut quantiles[..numbers];
                    own.copy_from_slice(&answers[place * numbers..][..numbers]);
                    block.take_quantiles(slot.row(), own, steps.len(), out);
                }
                sink(place, &all);
            }
        });
    }
}

impl Ahead {
    fn new(batch: &LiveBatch, at: Timestamp, horizon: usize) -> Self {
        let stretch = |first: usize| {
            let count = Card::steps(horizon + 1 - first);
            Horizon::new(batch.clock, at, first, count)
        };
        Self {
            at,
            horizon,
            stretches: (1..=horizon).step_by(STEPS_AT_ONCE).map(stretch).collect(),
        }
    }
}

/// Takes the bin at `at` of each series of some blocks, and begins their step.
fn send_steps(
    card: &Card,
    at: Timestamp,
    blocks: &mut [Block],
    value: impl Fn(usize) -> f32 + Sync,
) -> Result<Pending, Lost> {
    let mut batch = card.step_batch(blocks.len());
    let floats = blocks.first().map_or(1, |block| block.state().len());
    let state = batch.state.chunks_exact_mut(floats);
    let inputs = batch.inputs.chunks_exact_mut(INPUTS * BLOCK_ROWS);
    let mut places: Vec<_> = blocks.iter_mut().zip(state.zip(inputs)).collect();
    in_shares(&mut places, BLOCKS_A_THREAD, |first, places| {
        for (offset, (block, (state, inputs))) in places.iter_mut().enumerate() {
            let start = (first + offset) * BLOCK_ROWS;
            block.remember(at, |row| value(start + row));
            block.send_step(at, state, inputs);
        }
    });
    card.advance(batch)
}

/// Takes the state after a step into blocks. What is no number would stay with its series: such blocks are
/// advanced `here`.
fn take_steps(blocks: &mut [Block], state: &[f32], here: impl Fn(&mut [Block])) {
    let floats = blocks.first().map_or(1, |block| block.state().len());
    for (block, state) in blocks.iter_mut().zip(state.chunks_exact(floats)) {
        if state.iter().all(|unit| unit.is_finite()) {
            block.take_step(state);
        } else {
            here(std::slice::from_mut(block));
        }
    }
}

/// Advances blocks that have taken their bin.
fn step_here(blocks: &mut [Block], network: &Network, at: Timestamp, rooms: &Rooms) {
    in_shares(blocks, BLOCKS_A_THREAD, |_, blocks| {
        let mut scratch = rooms.take();
        for block in blocks {
            block.advance(network, at, &mut scratch);
        }
        rooms.give_back(scratch);
    });
}
