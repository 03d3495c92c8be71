//! From the head's outputs to quantiles: each level has a blend of the anchors of its own, and a
//! distance from it.
//!
//! The share of an anchor is a softmax over the anchors of `logit + score · slope`, where the score
//! of a level rises with it. So low quantiles can lie on one anchor (idle) and high ones on another
//! (full load), exactly and with a step between them at any level: what series that switch need.

use crate::{
    features::ANCHORS,
    pointwise::{exp, tanh, vectorised},
};

/// Bounds of the log width of a forecast.
pub(crate) const LOG_WIDTH: (f32, f32) = (-9.0, 3.0);
/// Bound of a quantile's distance from the blend, under the hyperbolic sine.
pub(crate) const REACH: f32 = 8.0;
/// Bound of a logit.
const MOST: f32 = 40.0;

/// The quantiles of a batch of `n` forecasts, and what the way back needs of them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Spread {
    width: Vec<f32>,
    /// `[levels, n]`.
    blends: Vec<f32>,
    /// `[levels, n]`: sums of the exponentials of the logits.
    sums: Vec<f32>,
    /// `[levels, n]`, in units of the scale.
    pub(crate) quantiles: Vec<f32>,
}

/// The head's outputs by what they are for; each a row of `n` numbers, or several.
struct Outputs<'a> {
    width: &'a [f32],
    logits: &'a [f32],
    slopes: &'a [f32],
    distances: &'a [f32],
}

impl<'a> Outputs<'a> {
    fn of(raw: &'a [f32], n: usize) -> Self {
        let (width, rest) = raw.split_at(n);
        let (logits, rest) = rest.split_at(ANCHORS * n);
        let (slopes, distances) = rest.split_at(ANCHORS * n);
        Self {
            width,
            logits,
            slopes,
            distances,
        }
    }
}

impl Spread {
    /// From `raw [1 + 2·ANCHORS + levels, n]` and `anchors [ANCHORS, n]`.
    pub(crate) fn forward(&mut self, raw: &[f32], anchors: &[f32], scores: &[f32], n: usize) {
        let out = Outputs::of(raw, n);
        self.width.resize(n, 0.0);
        for row in [&mut self.blends, &mut self.sums, &mut self.quantiles] {
            row.resize(scores.len() * n, 0.0);
        }
        vectorised(
            #[inline(always)]
            move || {
                for (width, raw) in self.width.iter_mut().zip(out.width) {
                    *width = exp(raw.clamp(LOG_WIDTH.0, LOG_WIDTH.1));
                }
                for (level, &score) in scores.iter().enumerate() {
                    let row = level * n..(level + 1) * n;
                    let blends = &mut self.blends[row.clone()];
                    blend(blends, &mut self.sums[row.clone()], &out, anchors, score);
                    let distances = &out.distances[row.clone()];
                    let quantiles = &mut self.quantiles[row];
                    for j in 0..n {
                        let far = exp(REACH * tanh(distances[j] * self.width[j] / REACH));
                        quantiles[j] = blends[j] + 0.5 * (far - 1.0 / far);
                    }
                }
            },
        );
    }

    /// The derivative by `raw`, from that by the quantiles.
    pub(crate) fn backward(
        &self,
        raw: &[f32],
        anchors: &[f32],
        scores: &[f32],
        by_quantile: &[f32],
        n: usize,
    ) -> Vec<f32> {
        let out = Outputs::of(raw, n);
        let mut by_raw = vec![0.0; raw.len()];
        let (by_width, rest) = by_raw.split_at_mut(n);
        let (by_logits, rest) = rest.split_at_mut(ANCHORS * n);
        let (by_slopes, by_distances) = rest.split_at_mut(ANCHORS * n);
        vectorised(
            #[inline(always)]
            move || {
                for (level, &score) in scores.iter().enumerate() {
                    let row = level * n..(level + 1) * n;
                    let by = &by_quantile[row.clone()];
                    let distances = &out.distances[row.clone()];
                    let by_distances = &mut by_distances[row.clone()];
                    for j in 0..n {
                        let squashed = tanh(distances[j] * self.width[j] / REACH);
                        let far = exp(REACH * squashed);
                        let slope = 0.5 * (far + 1.0 / far) * (1.0 - squashed * squashed);
                        let by_distance = by[j] * slope * self.width[j];
                        by_distances[j] = by_distance;
                        by_width[j] += by_distance * distances[j];
                    }
                    let (blends, sums) = (&self.blends[row.clone()], &self.sums[row]);
                    for anchor in 0..ANCHORS {
                        let row = anchor * n..(anchor + 1) * n;
                        let values = &anchors[row.clone()];
                        let (logits, slopes) = (&out.logits[row.clone()], &out.slopes[row.clone()]);
                        let by_logits = &mut by_logits[row.clone()];
                        let by_slopes = &mut by_slopes[row];
                        for j in 0..n {
                            let share = exp(logit(logits[j], slopes[j], score)) / sums[j];
                            let by_logit = share * (values[j] - blends[j]) * by[j];
                            by_logits[j] += by_logit;
                            by_slopes[j] += by_logit * score;
                        }
                    }
                }
                for (by, raw) in by_width.iter_mut().zip(out.width) {
                    if *raw <= LOG_WIDTH.0 || *raw >= LOG_WIDTH.1 {
                        *by = 0.0;
                    }
                }
            },
        );
        by_raw
    }
}

#[expect(
    clippy::inline_always,
    reason = "what is not inlined is not compiled for the vector instructions found"
)]
#[inline(always)]
fn logit(logit: f32, slope: f32, score: f32) -> f32 {
    (logit + score * slope).clamp(-MOST, MOST)
}

/// Blends the anchors for one level.
#[expect(
    clippy::inline_always,
    reason = "what is not inlined is not compiled for the vector instructions found"
)]
#[inline(always)]
fn blend(blends: &mut [f32], sums: &mut [f32], out: &Outputs<'_>, anchors: &[f32], score: f32) {
    let n = blends.len();
    let sums = &mut sums[..n];
    blends.fill(0.0);
    sums.fill(0.0);
    let rows = out.logits.chunks_exact(n).zip(out.slopes.chunks_exact(n));
    for ((logits, slopes), values) in rows.zip(anchors.chunks_exact(n)) {
        for j in 0..n {
            let share = exp(logit(logits[j], slopes[j], score));
            sums[j] += share;
            blends[j] += share * values[j];
        }
    }
    for j in 0..n {
        blends[j] /= sums[j];
    }
}
