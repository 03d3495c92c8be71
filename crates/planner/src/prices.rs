//! From what each instance is worth to how many are worth their price.

use std::collections::VecDeque;

use crate::{
    demand::Snapshot,
    learn::{DemandModel, scaled},
};

/// Prices tried, in logarithmic steps of hits per idle tick, the dearest first.
const DEAREST: f32 = 1.5;
const STEP: f32 = 0.5;
pub(crate) const PRICES: usize = 26;
/// Every size up to here is appraised, then sizes apart by this factor.
const EVERY_SIZE_UNTIL: u32 = 24;
const GROWTH: f32 = 1.06;

/// The most past ticks whose worths are kept.
const MOST_KEPT: i64 = 64;

/// When an instance that is no longer worth its price is stopped.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fall {
    /// Once it brings so much less than a new one must, in logarithm.
    Within { band: f32 },
    /// Once the periods are over for which it was wanted: a start helps a start-up time later, but a
    /// stop at once.
    Afterwards,
}

/// How many past ticks' periods are not over: what a tick decides is for the time from a start-up time
/// later until one tick after that.
fn ticks_under_way(startup_ms: i64, tick_ms: i64) -> usize {
    let tick_ms = tick_ms.max(1);
    let whole = startup_ms / tick_ms + i64::from(startup_ms % tick_ms != 0);
    whole.clamp(0, MOST_KEPT) as usize
}

/// The worth of sizes at a tick.
#[derive(Debug, Clone)]
pub(crate) struct Prices {
    sizes: Vec<u32>,
    scaled_sizes: Vec<f32>,
    /// Log hits per idle tick of each size; never rising.
    scores: Vec<f32>,
    /// The scores of the last ticks whose periods are not over, the oldest first.
    before: VecDeque<Vec<f32>>,
    /// How many of them are kept.
    kept: usize,
    /// The highest score of each size among them and now.
    highest: Vec<f32>,
}

impl Prices {
    pub(crate) fn new(startup_ms: i64, tick_ms: i64) -> Self {
        Self {
            sizes: Vec::new(),
            scaled_sizes: Vec::new(),
            scores: Vec::new(),
            before: VecDeque::new(),
            kept: ticks_under_way(startup_ms, tick_ms),
            highest: Vec::new(),
        }
    }

    /// Appraises all sizes up to half beyond the `highest` demand met.
    pub(crate) fn appraise(&mut self, model: &DemandModel, known: &Snapshot, highest: usize) {
        let top = highest as u32 + highest as u32 / 2 + 2;
        let mut next = self.sizes.last().map_or(1, |&last| after(last));
        while next <= top {
            self.sizes.push(next);
            self.scaled_sizes.push(scaled(next as f32));
            next = after(next);
        }
        self.put_scores_away();
        model.scores(known, &self.scaled_sizes, &mut self.scores);
        self.remember();
    }

    /// The highest scores of the periods that are not over.
    fn remember(&mut self) {
        self.highest.clone_from(&self.scores);
        for before in &self.before {
            for (highest, &score) in self.highest.iter_mut().zip(before) {
                *highest = highest.max(score);
            }
        }
    }

    /// Keeps the scores before new ones come.
    fn put_scores_away(&mut self) {
        if self.kept == 0 {
            return;
        }
        let oldest = (self.before.len() >= self.kept).then(|| self.before.pop_front());
        let room = oldest.flatten().unwrap_or_default();
        self.before
            .push_back(std::mem::replace(&mut self.scores, room));
    }

    /// The largest size whose last instance is worth a setting's price; more of what is held is kept
    /// as `fall` says.
    pub(crate) fn target(&self, setting: f64, fall: Fall, held: u32) -> u32 {
        let price = DEAREST - STEP * setting as f32;
        let wanted = self.size_worth(&self.scores, price);
        if held <= wanted {
            return wanted;
        }
        let kept = match fall {
            Fall::Within { band } => self.size_worth(&self.scores, price - band),
            Fall::Afterwards => self.size_worth(&self.highest, price),
        };
        held.min(kept.max(wanted))
    }

    /// Hits per idle tick at a setting's price.
    pub(crate) fn hits_per_tick(setting: f64) -> f64 {
        f64::from(DEAREST - STEP * setting as f32).exp()
    }

    /// The setting whose price is this many hits per idle tick.
    pub(crate) fn setting(hits_per_tick: f64) -> f64 {
        ((f64::from(DEAREST) - hits_per_tick.ln()) / f64::from(STEP))
            .clamp(0.0, PRICES as f64 - 1.0)
    }

    fn size_worth(&self, scores: &[f32], price: f32) -> u32 {
        let above = scores.partition_point(|&score| score >= price);
        let Some(low) = above.checked_sub(1) else {
            return 0;
        };
        let (Some(&next), Some(&next_score)) = (self.sizes.get(above), scores.get(above)) else {
            return self.sizes[low];
        };
        let fall = scores[low] - next_score;
        let share = if fall > 0.0 {
            (scores[low] - price) / fall
        } else {
            0.0
        };
        self.sizes[low] + (share * (next - self.sizes[low]) as f32) as u32
    }
}

fn after(size: u32) -> u32 {
    if size < EVERY_SIZE_UNTIL {
        size + 1
    } else {
        (size + 1).max((size as f32 * GROWTH).round() as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The targets after a tick at which three are wanted, when one is enough from then on.
    fn targets_after_a_peak(startup_ms: i64) -> Vec<u32> {
        let mut prices = Prices {
            sizes: vec![1, 2, 3, 4],
            ..Prices::new(startup_ms, 60_000)
        };
        let mut held = 0;
        let scores =
            [3.0, 0.0, 0.0, 0.0, 0.0].map(|third: f32| vec![3.0, third.max(0.5), third, -9.0]);
        let targets = scores.into_iter().map(|scores| {
            prices.put_scores_away();
            prices.scores = scores;
            prices.remember();
            held = prices.target(0.0, Fall::Afterwards, held);
            held
        });
        targets.collect()
    }

    #[test]
    fn what_was_wanted_is_held_until_its_period_is_over() {
        for (startup_ms, expected) in [
            (0, [3, 1, 1, 1, 1]),
            (20_000, [3, 3, 1, 1, 1]),
            (60_000, [3, 3, 1, 1, 1]),
            (90_000, [3, 3, 3, 1, 1]),
            (180_000, [3, 3, 3, 3, 1]),
        ] {
            assert_eq!(
                targets_after_a_peak(startup_ms),
                expected,
                "{startup_ms} ms"
            );
        }
    }

    #[test]
    fn less_is_stopped_at_once_or_within_a_band_or_when_periods_are_over() {
        let prices = Prices {
            sizes: vec![1, 2, 3, 4],
            scores: vec![3.0, 1.2, 0.0, -9.0],
            highest: vec![3.0, 3.0, 2.0, -9.0],
            ..Prices::new(120_000, 60_000)
        };
        let target = |fall, held| prices.target(0.0, fall, held);
        let at_once = Fall::Within { band: 0.0 };
        let patient = Fall::Within { band: 0.5 };
        assert_eq!([0, 1, 4].map(|held| target(at_once, held)), [1, 1, 1]);
        assert_eq!([0, 1, 4].map(|held| target(patient, held)), [1, 1, 2]);
        assert_eq!(
            [0, 1, 4].map(|held| target(Fall::Afterwards, held)),
            [1, 1, 3]
        );
    }
}
