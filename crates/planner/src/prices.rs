//! From what each instance is worth to how many are worth their price.

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

/// The worth of sizes at a tick.
#[derive(Debug, Clone)]
pub(crate) struct Prices {
    sizes: Vec<u32>,
    scaled_sizes: Vec<f32>,
    /// Log hits per idle tick of each size; never rising.
    scores: Vec<f32>,
}

impl Prices {
    pub(crate) fn new() -> Self {
        Self {
            sizes: Vec::new(),
            scaled_sizes: Vec::new(),
            scores: Vec::new(),
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
        model.scores(known, &self.scaled_sizes, &mut self.scores);
    }

    /// The largest size whose last instance is worth a setting's price; within the band below the
    /// price, what is held is kept.
    pub(crate) fn target(&self, setting: f64, band: f32, held: u32) -> u32 {
        let price = DEAREST - STEP * setting as f32;
        let wanted = self.size_worth(price);
        if band == 0.0 {
            return wanted;
        }
        let kept = self.size_worth(price - band).max(wanted);
        held.clamp(wanted, kept)
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

    fn size_worth(&self, price: f32) -> u32 {
        let above = self.scores.partition_point(|&score| score >= price);
        let Some(low) = above.checked_sub(1) else {
            return 0;
        };
        let (Some(&next), Some(&next_score)) = (self.sizes.get(above), self.scores.get(above))
        else {
            return self.sizes[low];
        };
        let fall = self.scores[low] - next_score;
        let share = if fall > 0.0 {
            (self.scores[low] - price) / fall
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
