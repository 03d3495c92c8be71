//! The fitted demand model.

use foreshadow_types::Timestamp;
use thiserror::Error;

use super::{
    boost::{BoostSettings, boost},
    codec,
    grid::Grid,
    rows::Rows,
    samples::Samples,
    tree::{TickInputs, Tree, scaled},
};
use crate::demand::{Levels, Snapshot};

/// Why a saved model was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ModelError {
    /// It is no demand model.
    #[error("not a demand model: the first bytes are wrong; train again")]
    NotAModel,
    /// It was written by another version.
    #[error("demand model of version {found}; this program reads version {known}; train again")]
    Version {
        /// The version found.
        found: u32,
        /// The version understood.
        known: u32,
    },
    /// It ends too early or holds impossible numbers.
    #[error("the demand model is damaged at byte {at}; train again")]
    Damaged {
        /// Where.
        at: usize,
    },
    /// It was fitted to another start-up time or tick.
    #[error(
        "the demand model was fitted to a start-up of {startup_ms} ms and a tick of {tick_ms} ms, \
         not to this pool's; train again with them"
    )]
    OtherPool {
        /// The start-up time it was fitted to.
        startup_ms: u64,
        /// The tick it was fitted to.
        tick_ms: u64,
    },
}

/// Log hits per idle tick of the `k`-th instance when nothing else is known, by scaled size.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Base {
    /// Ascending scaled sizes and their scores, which never rise.
    pub(crate) points: Vec<(f32, f32)>,
}

/// How fast the score falls with the scaled size beyond the highest size met.
const TAIL_SLOPE: f32 = 1.5;

impl Base {
    /// From hits and idle time of every size.
    pub(crate) fn fit(levels: &Levels, grid: &Grid, tick_s: f64) -> Self {
        let (first, scored) = grid.score(levels);
        let total_ticks = (levels.seconds.iter().sum::<f64>() / tick_s).max(1.0);
        // Pools adjacent blocks so that the rate never rises with the size.
        let mut runs: Vec<(f64, f64, usize)> = Vec::new();
        for &(hits, idle_s) in &scored {
            let mut run = (f64::from(hits), f64::from(idle_s) / tick_s, 1);
            while let Some(&(hits, ticks, blocks)) = runs.last() {
                if rate(hits, ticks, total_ticks) > rate(run.0, run.1, total_ticks) {
                    break;
                }
                run = (run.0 + hits, run.1 + ticks, run.2 + blocks);
                runs.pop();
            }
            runs.push(run);
        }
        let scores = runs.iter().flat_map(|&(hits, ticks, blocks)| {
            std::iter::repeat_n(rate(hits, ticks, total_ticks).ln() as f32, blocks)
        });
        let mut points: Vec<(f32, f32)> = scores
            .enumerate()
            .map(|(offset, score)| (scaled(grid.middle(first + offset)), score))
            .collect();
        if points.is_empty() {
            points.push((scaled(1.0), (0.5 / total_ticks).ln() as f32));
        }
        Self { points }
    }

    /// The score at a scaled size.
    pub(crate) fn score(&self, size: f32) -> f32 {
        let above = self.points.partition_point(|point| point.0 < size);
        match (
            above.checked_sub(1).map(|i| self.points[i]),
            self.points.get(above),
        ) {
            (None, Some(&(_, score))) => score,
            (Some(low), Some(&high)) => {
                low.1 + (size - low.0) / (high.0 - low.0) * (high.1 - low.1)
            }
            (Some((end, score)), None) => score - TAIL_SLOPE * (size - end),
            (None, None) => 0.0,
        }
    }
}

fn rate(hits: f64, ticks: f64, total_ticks: f64) -> f64 {
    (hits + 0.1) / (ticks + 0.1 * total_ticks.min(20.0))
}

/// Learnt from one pool's requests: what each further warm instance is worth, tick by tick.
#[derive(Debug, Clone, PartialEq)]
pub struct DemandModel {
    pub(crate) startup_ms: u64,
    pub(crate) tick_ms: u64,
    /// The last request seen, in milliseconds since the epoch.
    pub(crate) trained_through_ms: i64,
    pub(crate) base: Base,
    pub(crate) trees: Vec<Tree>,
    /// By how much the held-out log-likelihood of a hit rose over the base.
    pub(crate) gain: f32,
}

impl DemandModel {
    /// Fits to samples; trees are added as long as the last fifth of time gains by them.
    pub(crate) fn fit(samples: &Samples, levels: &Levels, of: ModelOf, seed: u64) -> Self {
        let grid = Grid::new();
        let tick_s = of.tick_ms as f64 / 1e3;
        let base = Base::fit(levels, &grid, tick_s);
        let top = levels.seconds.len().max(1) as u32 + 2;
        let draw = |seed| Rows::draw(samples, &grid, &base, tick_s as f32, top, seed);
        let settings = BoostSettings::default();
        let mut ticks: Vec<u64> = samples.weighted().map(|(sample, _)| sample.tick).collect();
        ticks.sort_unstable();
        let held_out_from = ticks.get(ticks.len() * 4 / 5).copied().unwrap_or(0);
        let (tried, gain) = boost(&mut draw(seed), Some(held_out_from), &settings, seed);
        let all = BoostSettings {
            trees: tried.len() + tried.len() / 8,
            ..settings
        };
        let (trees, _) = boost(&mut draw(seed ^ 1), None, &all, seed ^ 1);
        Self {
            startup_ms: of.startup_ms,
            tick_ms: of.tick_ms,
            trained_through_ms: of.through.as_millis(),
            base,
            trees,
            gain,
        }
    }

    /// The highest demand over a start-up time that it was fitted to.
    pub(crate) fn highest_met(&self) -> usize {
        self.base.points.last().map_or(0, |&(size, _)| {
            (size * size / 4.0).clamp(0.0, crate::demand::MAX_LEVEL as f32) as usize
        })
    }

    /// Log hits per idle tick for each of the ascending `scaled_sizes`; never rising.
    pub(crate) fn scores(&self, known: &Snapshot, scaled_sizes: &[f32], scores: &mut Vec<f32>) {
        let tick = TickInputs::new(known);
        scores.clear();
        scores.resize(scaled_sizes.len(), 0.0);
        for tree in &self.trees {
            tree.add(&tick, scaled_sizes, scores);
        }
        let (mut sum, mut last) = (0.0, f32::INFINITY);
        for (score, &size) in scores.iter_mut().zip(scaled_sizes) {
            sum += *score;
            last = last.min(sum + self.base.score(size));
            *score = last;
        }
    }

    /// The start-up time it was fitted to, in milliseconds.
    pub fn startup_ms(&self) -> u64 {
        self.startup_ms
    }

    /// The tick it was fitted to, in milliseconds.
    pub fn tick_ms(&self) -> u64 {
        self.tick_ms
    }

    /// The last request it was fitted to.
    pub fn trained_through(&self) -> Timestamp {
        Timestamp::from_millis(self.trained_through_ms)
    }

    /// How many trees it has; none if nothing that is known at a tick predicts demand.
    pub fn trees(&self) -> usize {
        self.trees.len()
    }

    /// By how much the logarithm of the likelihood of a hit, on the last fifth of time, held out,
    /// rose over a model that knows nothing of the moment.
    pub fn gain(&self) -> f32 {
        self.gain
    }

    /// The model as bytes, to be read by the same version.
    pub fn to_bytes(&self) -> Vec<u8> {
        codec::write(self)
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    ///
    /// # Errors
    /// [`ModelError`] if the bytes are no model, of another version, or damaged.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ModelError> {
        codec::read(bytes)
    }
}

/// What a model is fitted to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ModelOf {
    pub(crate) startup_ms: u64,
    pub(crate) tick_ms: u64,
    /// The last request seen.
    pub(crate) through: Timestamp,
}
