//! Series that are served: each has a slot of fixed memory and advances by one step a tick.

#[cfg(any(test, feature = "gpu"))]
mod card;

use std::{
    num::NonZero,
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
    thread,
    time::Duration,
};

use foreshadow_forecast::{ForecastError, Panel, QuantileForecast};
use foreshadow_types::Timestamp;

use crate::{
    block::{BLOCK_ROWS, Block},
    clock::Clock,
    forecaster::{at_levels, longest_steps},
    kernel::{Network, Scratch},
};

/// Blocks that a second thread is worth starting for.
const BLOCKS_A_THREAD: usize = 4;

#[cfg(any(test, feature = "gpu"))]
pub(crate) use card::tried;

/// The place of one series in a [`LiveBatch`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(u32);

/// All live series of one resolution, with their recurrent state and running facts.
#[derive(Debug)]
pub struct LiveBatch {
    network: Network,
    clock: Clock,
    interval: Duration,
    blocks: Vec<Block>,
    free: Vec<Slot>,
    taken: Vec<bool>,
    /// Start of the latest bin taken in.
    latest: Option<Timestamp>,
    rooms: Rooms,
}

/// Room for intermediate results, kept from tick to tick: one for each thread there has been at once.
#[derive(Debug, Default)]
struct Rooms(Mutex<Vec<Scratch>>);

impl Rooms {
    fn take(&self) -> Scratch {
        self.kept().pop().unwrap_or_default()
    }

    fn give_back(&self, scratch: Scratch) {
        self.kept().push(scratch);
    }

    /// What a thread that panicked left behind is whole: it is only taken from and added to.
    fn kept(&self) -> MutexGuard<'_, Vec<Scratch>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    /// A number below [`LiveBatch::slots`], for tables beside the batch.
    pub fn index(self) -> usize {
        self.0 as usize
    }

    fn block(self) -> usize {
        self.index() / BLOCK_ROWS
    }

    fn row(self) -> usize {
        self.index() % BLOCK_ROWS
    }
}

impl LiveBatch {
    /// How many series are computed together.
    pub const BLOCK_ROWS: usize = BLOCK_ROWS;

    /// Without series, for bins of `interval`.
    pub fn new(network: Network, interval: Duration) -> Self {
        Self {
            network,
            clock: Clock::new(interval),
            interval,
            blocks: Vec::new(),
            free: Vec::new(),
            taken: Vec::new(),
            latest: None,
            rooms: Rooms::default(),
        }
    }

    /// With every series of `panel`, in its order, after all of its bins: what a restart or new
    /// weights begin from.
    pub fn replayed(network: Network, panel: &Panel) -> (Self, Vec<Slot>) {
        let mut batch = Self::new(network, panel.interval());
        let slots: Vec<Slot> = panel.ids().iter().map(|_| batch.add()).collect();
        for bin in 0..panel.bins() {
            batch.advance(panel.bin_start(bin), |slot| {
                slots
                    .get(slot.index())
                    .map_or(f32::NAN, |_| panel.series(slot.index())[bin])
            });
        }
        (batch, slots)
    }

    /// The width of a bin.
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// How many series there are.
    pub fn len(&self) -> usize {
        self.taken.len() - self.free.len()
    }

    /// Whether there is no series.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Slots there are, taken or free: a bound of [`Slot::index`].
    pub fn slots(&self) -> usize {
        self.taken.len()
    }

    /// Start of the latest bin taken in.
    pub fn latest(&self) -> Option<Timestamp> {
        self.latest
    }

    /// A slot for a series that has not been seen.
    pub fn add(&mut self) -> Slot {
        if self.free.is_empty() {
            self.grow();
        }
        let slot = self.free.pop().unwrap_or(Slot(0));
        self.taken[slot.index()] = true;
        slot
    }

    fn grow(&mut self) {
        let first = self.taken.len() as u32;
        self.blocks
            .push(Block::new(&self.network, self.clock, BLOCK_ROWS));
        self.taken.extend([false; BLOCK_ROWS]);
        self.free
            .extend((first..first + BLOCK_ROWS as u32).rev().map(Slot));
    }

    /// Forgets a series; its slot will be given to another.
    pub fn remove(&mut self, slot: Slot) {
        if self.taken.get(slot.index()).copied().unwrap_or(false) {
            self.taken[slot.index()] = false;
            self.blocks[slot.block()].clear(slot.row());
            self.free.push(slot);
        }
    }

    /// Takes the bin that starts at `at`, of every series at once; NaN where there is no sample.
    pub fn advance(&mut self, at: Timestamp, value: impl Fn(Slot) -> f32 + Sync) {
        self.latest = Some(at);
        #[cfg(any(test, feature = "gpu"))]
        {
            let network = self.network.clone();
            if let Some(card) = network.card(self.len()) {
                return self.advance_on(card, at, value);
            }
        }
        let (network, taken, rooms) = (&self.network, &self.taken, &self.rooms);
        in_shares(&mut self.blocks, BLOCKS_A_THREAD, |first, blocks| {
            let mut scratch = rooms.take();
            for (offset, block) in blocks.iter_mut().enumerate() {
                let start = (first + offset) * BLOCK_ROWS;
                block.remember(at, |row| {
                    if taken[start + row] {
                        value(Slot((start + row) as u32))
                    } else {
                        f32::NAN
                    }
                });
                block.advance(network, at, &mut scratch);
            }
            rooms.give_back(scratch);
        });
    }

    /// Brings one series from not seen to the present, by its bins from `start` on.
    pub fn replay(&mut self, slot: Slot, start: Timestamp, values: &[f32]) {
        if !self.taken.get(slot.index()).copied().unwrap_or(false) {
            return;
        }
        let mut alone = Block::new(&self.network, self.clock, 1);
        let mut scratch = Scratch::default();
        for (bin, &value) in values.iter().enumerate() {
            let at = self.clock.later(start, bin);
            alone.remember(at, |_| value);
            alone.advance(&self.network, at, &mut scratch);
        }
        self.blocks[slot.block()].adopt(slot.row(), &alone);
    }

    /// Forecasts `horizon` bins after the latest one, in the order of `slots`. A series without a
    /// sample is forecast as zero.
    ///
    /// # Errors
    /// [`ForecastError::Horizon`] beyond seven days; [`ForecastError::Failed`] before the first bin.
    pub fn forecast(
        &self,
        slots: &[Slot],
        horizon: usize,
        levels: &[f64],
    ) -> Result<Vec<QuantileForecast>, ForecastError> {
        let known = &self.network.size().levels;
        let zero = || QuantileForecast::from_points(levels, &vec![0.0; horizon]);
        let answers: Vec<OnceLock<QuantileForecast>> = vec![OnceLock::new(); slots.len()];
        let mut order: Vec<usize> = (0..slots.len()).collect();
        order.sort_by_key(|&place| slots[place]);
        let sorted: Vec<Slot> = order.iter().map(|&place| slots[place]).collect();
        self.for_each(&sorted, horizon, |place, values| {
            answers[order[place]].get_or_init(|| at_levels(known, values.to_vec(), levels));
        })?;
        Ok(answers
            .into_iter()
            .map(|answer| answer.into_inner().unwrap_or_else(zero))
            .collect())
    }

    /// Shows the quantiles of each slot, `[horizon, levels]` at the network's levels, with its place
    /// in `slots`, which ascend; on all cores, in no particular order. Needs memory for one block a
    /// core only, or on a graphics card for a batch of some thousand series and the one before it.
    ///
    /// # Errors
    /// As [`Self::forecast`].
    pub fn for_each(
        &self,
        slots: &[Slot],
        horizon: usize,
        sink: impl Fn(usize, &[f32]) + Sync,
    ) -> Result<(), ForecastError> {
        let longest = longest_steps(self.interval);
        if horizon > longest {
            return Err(ForecastError::Horizon {
                longest,
                asked: horizon,
            });
        }
        let Some(at) = self.latest else {
            return Err(ForecastError::Failed("no bin was taken in yet".to_owned()));
        };
        #[cfg(any(test, feature = "gpu"))]
        if let Some(card) = self.network.card(slots.len()) {
            self.for_each_on(card, at, slots, horizon, &sink);
            return Ok(());
        }
        self.for_each_here(at, slots, horizon, &sink);
        Ok(())
    }

    /// [`Self::for_each`] by the CPU.
    fn for_each_here(
        &self,
        at: Timestamp,
        slots: &[Slot],
        horizon: usize,
        sink: &(impl Fn(usize, &[f32]) + Sync),
    ) {
        let mut groups = in_blocks(slots);
        in_shares(&mut groups, 1, |_, groups| {
            let mut scratch = self.rooms.take();
            for (place, group) in groups {
                let Some(block) = self.blocks.get(group[0].block()) else {
                    continue;
                };
                let rows: Vec<usize> = group.iter().map(|slot| slot.row()).collect();
                block.forecast(
                    &self.network,
                    at,
                    &rows,
                    horizon,
                    &mut scratch,
                    |offset, values| sink(*place + offset, values),
                );
            }
            self.rooms.give_back(scratch);
        });
    }
}

/// The slots of each block, with the place of the first.
fn in_blocks(slots: &[Slot]) -> Vec<(usize, &[Slot])> {
    let mut place = 0;
    slots
        .chunk_by(|left, right| left.block() == right.block())
        .map(|group| {
            let first = place;
            place += group.len();
            (first, group)
        })
        .collect()
}

/// Runs `work` on contiguous shares of the items, each with the index of its first one; a thread
/// has at least `least` of them. The first share is the calling thread's.
fn in_shares<T: Send>(items: &mut [T], least: usize, work: impl Fn(usize, &mut [T]) + Sync) {
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let share = items.len().div_ceil(threads).max(least);
    if items.len() <= share {
        work(0, items);
        return;
    }
    let work = &work;
    let (first, rest) = items.split_at_mut(share);
    thread::scope(|scope| {
        for (index, part) in rest.chunks_mut(share).enumerate() {
            scope.spawn(move || work((index + 1) * share, part));
        }
        work(0, first);
    });
}

#[cfg(test)]
mod tests {
    use foreshadow_forecast::{Forecaster, SeriesId};
    use foreshadow_types::EntityId;

    use super::*;
    use crate::{forecaster::LstmForecaster, network::NetworkSize, random::Random};

    fn network() -> Network {
        let size = NetworkSize::small();
        let weights = size.initial_weights(5);
        Network::new(size, weights).unwrap()
    }

    /// Gaps, a late start, a series of zeros and one that never starts.
    fn panel(series: usize, bins: usize) -> Panel {
        let mut random = Random::new(11, 0);
        let values = (0..series * bins)
            .map(|index| {
                let (row, bin) = (index / bins, index % bins);
                let value = 100.0 * (1 + row) as f32 * random.unit();
                match row % 5 {
                    1 if bin < bins / 2 => f32::NAN,
                    2 if random.unit() < 0.3 => f32::NAN,
                    3 => 0.0,
                    4 => f32::NAN,
                    _ => value,
                }
            })
            .collect();
        let ids = (0..series)
            .map(|row| {
                SeriesId::of_entity(EntityId::new(&format!("e{row}")).unwrap(), "m".to_owned())
            })
            .collect();
        Panel::new(
            Timestamp::from_millis(1_372_629_600_000),
            Duration::from_mins(5),
            ids,
            bins,
            values,
        )
    }

    #[test]
    fn carried_state_forecasts_as_a_run_over_the_whole_sequence() {
        let panel = panel(300, 40);
        let (batch, slots) = LiveBatch::replayed(network(), &panel);
        let levels = [0.1, 0.5, 0.9];
        let live = batch.forecast(&slots, 30, &levels).unwrap();
        let whole = LstmForecaster::new(network(), panel.interval())
            .forecast(&panel, &[40], 30, &levels)
            .unwrap();
        for (live, whole) in live.iter().zip(&whole[0]) {
            assert!(live.is_finite());
            for step in 0..30 {
                for (a, b) in live.step(step).iter().zip(whole.step(step)) {
                    assert!((a - b).abs() <= 1e-4 * b.abs().max(1.0), "{a} {b}");
                }
            }
        }
    }

    #[test]
    fn a_series_that_was_replayed_alone_is_as_if_it_had_always_been_there() {
        let panel = panel(6, 40);
        let (batch, slots) = LiveBatch::replayed(network(), &panel);
        let mut other = LiveBatch::new(network(), panel.interval());
        let gone = other.add();
        other.remove(gone);
        let late = other.add();
        assert_eq!((late, other.len()), (gone, 1));
        other.advance(panel.bin_start(39), |_| f32::NAN);
        other.replay(late, panel.start(), panel.series(2));
        let expected = batch.forecast(&slots[2..3], 5, &[0.5]).unwrap();
        let found = other.forecast(&[late], 5, &[0.5]).unwrap();
        for step in 0..5 {
            let (a, b) = (found[0].step(step)[0], expected[0].step(step)[0]);
            assert!((a - b).abs() <= 1e-4 * b.abs().max(1.0), "{a} {b}");
        }
    }

    #[test]
    fn zeros_and_the_unseen_are_forecast_as_zero_and_counts_are_never_negative() {
        let panel = panel(5, 40);
        let (batch, slots) = LiveBatch::replayed(network(), &panel);
        let forecasts = batch.forecast(&slots, 4, &[0.1, 0.9]).unwrap();
        for silent in [3, 4] {
            assert_eq!(forecasts[silent].step(3), [0.0, 0.0]);
        }
        assert!(forecasts.iter().all(|forecast| forecast.step(0)[0] >= 0.0));
    }

    #[test]
    fn a_horizon_beyond_a_week_is_refused() {
        let (batch, slots) = LiveBatch::replayed(network(), &panel(1, 3));
        assert!(batch.forecast(&slots, 2016, &[0.5]).is_ok());
        let refused = batch.forecast(&slots, 2017, &[0.5]);
        assert_eq!(
            refused,
            Err(ForecastError::Horizon {
                longest: 2016,
                asked: 2017
            })
        );
    }
}
