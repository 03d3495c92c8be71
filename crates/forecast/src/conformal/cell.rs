//! The scores of one group at one distance ahead.

use std::{cmp::Ordering, collections::VecDeque};

/// Recent scores kept for each level.
const MAX_SCORES: usize = 1_024;

/// Scores needed before quantiles are moved.
const MIN_SCORES: usize = 64;

/// Scores of one bin that are kept, so that the recent ones span many bins.
const SCORES_A_BIN: u64 = 64;

/// How fast the level at which scores are read follows what was covered.
const ADAPTATION: f64 = 0.02;

#[derive(Debug, Clone)]
pub(super) struct Cell {
    levels: Vec<LevelScores>,
    /// Of the bin in progress.
    seen: u64,
    /// Every how many scores one is kept, from the number in the bin before.
    stride: u64,
}

#[derive(Debug, Clone, Default)]
struct LevelScores {
    recent: VecDeque<f32>,
    /// Added to the level at which the scores are read.
    adapted: f64,
    /// Values of the bin in progress that were below the calibrated quantile.
    below: u64,
    /// And those that equalled it.
    equal: u64,
    shift: f32,
}

impl Cell {
    pub(super) fn new(levels: usize) -> Self {
        Self {
            levels: vec![LevelScores::default(); levels],
            seen: 0,
            stride: 1,
        }
    }

    /// How far the quantile at the level of this index moves, in units of the spread.
    pub(super) fn shift(&self, level: usize) -> f32 {
        self.levels.get(level).map_or(0.0, |scores| scores.shift)
    }

    /// Adds one settled forecast: by level its score, and on which side of the calibrated quantile
    /// the value lay; `key` decides evenly whether its scores are among those kept.
    pub(super) fn add(
        &mut self,
        scores: impl Iterator<Item = f32>,
        sides: impl Iterator<Item = Ordering>,
        key: u64,
    ) {
        self.seen += 1;
        let keep = (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32).is_multiple_of(self.stride);
        for ((level, score), side) in self.levels.iter_mut().zip(scores).zip(sides) {
            level.below += u64::from(side == Ordering::Less);
            level.equal += u64::from(side == Ordering::Equal);
            if keep && score.is_finite() {
                if level.recent.len() == MAX_SCORES {
                    level.recent.pop_front();
                }
                level.recent.push_back(score);
            }
        }
    }

    /// Ends the bin in progress: adapts the levels and moves the quantiles.
    pub(super) fn close(&mut self, levels: &[f64]) {
        if self.seen == 0 {
            return;
        }
        for (scores, &level) in self.levels.iter_mut().zip(levels) {
            // Values that equal a quantile lie on whichever side of it the level asks for.
            let covered = level.clamp(
                scores.below as f64 / self.seen as f64,
                (scores.below + scores.equal) as f64 / self.seen as f64,
            );
            // Where that explains all, there is nothing to follow, and chance must not add up.
            let kept = if covered == level {
                1.0 - ADAPTATION
            } else {
                1.0
            };
            scores.below = 0;
            scores.equal = 0;
            if scores.recent.len() >= MIN_SCORES {
                let span = level.min(1.0 - level);
                let adapted = kept * scores.adapted + ADAPTATION * (level - covered);
                scores.adapted = adapted.clamp(-span, span);
                scores.shift = scores.at(level + scores.adapted);
            }
        }
        self.stride = self.seen.div_ceil(SCORES_A_BIN);
        self.seen = 0;
    }
}

impl LevelScores {
    /// The empirical quantile, with the correction for a finite sample.
    fn at(&self, level: f64) -> f32 {
        let mut sorted: Vec<_> = self.recent.iter().copied().collect();
        let count = sorted.len();
        let rank = (level * (count as f64 + 1.0)).ceil() as usize;
        let index = rank.clamp(1, count) - 1;
        let (_, &mut score, _) = sorted.select_nth_unstable_by(index, f32::total_cmp);
        score
    }
}
