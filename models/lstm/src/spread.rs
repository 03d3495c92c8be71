//! From the head's outputs to quantiles: each level has a blend of the anchors of its own, and a
//! distance from it.
//!
//! The share of an anchor is a softmax over the anchors of `logit + score · slope`, where the score
//! of a level rises with it. So low quantiles can lie on one anchor (idle) and high ones on another
//! (full load), exactly and with a step between them at any level: what series that switch need.

#![expect(
    clippy::inline_always,
    reason = "what is not inlined is not compiled for the vector instructions found"
)]

use pulp::{Simd, WithSimd};

use crate::{
    arch::arch,
    features::ANCHORS,
    lanes,
    pointwise::{exp, tanh, vectorised},
};

/// Bounds of the log width of a forecast.
pub(crate) const LOG_WIDTH: (f32, f32) = (-9.0, 3.0);
/// Bound of a quantile's distance from the blend, under the hyperbolic sine.
pub(crate) const REACH: f32 = 8.0;
/// Bound of a logit.
pub(crate) const MOST: f32 = 40.0;
/// Bound of what a slope adds to it.
pub(crate) const MOST_BY_SLOPE: f32 = 30.0;

/// Where the levels lie on a line.
#[derive(Debug, Clone)]
pub(crate) struct Levels {
    /// Roughly those of a normal distribution.
    pub(crate) scores: Vec<f32>,
    /// The other level whose score is the opposite, if there is one.
    mirrors: Vec<Option<usize>>,
}

impl Levels {
    pub(crate) fn new(scores: Vec<f32>) -> Self {
        let opposite = |level: usize| {
            let sums_to_zero = |&score: &f32| (score + scores[level]).abs() < 1e-6;
            scores.iter().position(sums_to_zero)
        };
        let mirror = |level: usize| {
            let found = opposite(level)?;
            (found != level && opposite(found) == Some(level)).then_some(found)
        };
        let mirrors = (0..scores.len()).map(mirror).collect();
        Self { scores, mirrors }
    }
}

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
    pub(crate) fn forward(&mut self, raw: &[f32], anchors: &[f32], levels: &Levels, n: usize) {
        self.width.resize(n, 0.0);
        for rows in [&mut self.blends, &mut self.sums, &mut self.quantiles] {
            rows.resize(levels.scores.len() * n, 0.0);
        }
        arch().dispatch(Forward {
            spread: self,
            out: Outputs::of(raw, n),
            anchors,
            levels,
        });
    }

    /// The derivative by `raw`, from that by the quantiles.
    pub(crate) fn backward(
        &self,
        raw: &[f32],
        anchors: &[f32],
        levels: &Levels,
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
                for (level, &score) in levels.scores.iter().enumerate() {
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

#[inline(always)]
fn logit(logit: f32, slope: f32, score: f32) -> f32 {
    logit.clamp(-MOST, MOST) + (score * slope).clamp(-MOST_BY_SLOPE, MOST_BY_SLOPE)
}

/// The way forward in whole registers, each of some neighbouring forecasts.
struct Forward<'a> {
    spread: &'a mut Spread,
    out: Outputs<'a>,
    anchors: &'a [f32],
    levels: &'a Levels,
}

impl WithSimd for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        for column in (0..self.out.width.len()).step_by(S::F32_LANES) {
            self.column(simd, column);
        }
    }
}

impl Forward<'_> {
    #[inline(always)]
    fn column<S: Simd>(&mut self, simd: S, column: usize) {
        let n = self.out.width.len();
        let row =
            |matrix: &[f32], row: usize| lanes::load(simd, &matrix[row * n..(row + 1) * n], column);
        let out = &self.out;
        let one = simd.splat_f32s(1.0);
        let bounded = lanes::clamp(simd, row(out.width, 0), LOG_WIDTH.0, LOG_WIDTH.1);
        let width = lanes::exp(simd, bounded);
        lanes::store(simd, &mut self.spread.width, column, width);
        let mut shares = [one; ANCHORS];
        for (anchor, share) in shares.iter_mut().enumerate() {
            let logit = row(out.logits, anchor);
            *share = lanes::exp(simd, lanes::clamp(simd, logit, -MOST, MOST));
        }
        for (level, &score) in self.levels.scores.iter().enumerate() {
            // The levels are often symmetric: what raises a share at one lowers it at the other.
            let mirror = self.levels.mirrors[level];
            if mirror.is_some_and(|other| other < level) {
                continue;
            }
            let zero = simd.splat_f32s(0.0);
            let (mut up, mut down) = ([zero; 2], [zero; 2]);
            for (anchor, &share) in shares.iter().enumerate() {
                let slope = simd.mul_f32s(row(out.slopes, anchor), simd.splat_f32s(score));
                let slope = lanes::clamp(simd, slope, -MOST_BY_SLOPE, MOST_BY_SLOPE);
                let [rising, falling] = lanes::exp_both(simd, slope);
                let value = row(self.anchors, anchor);
                up = weigh(simd, up, simd.mul_f32s(share, rising), value);
                if mirror.is_some() {
                    down = weigh(simd, down, simd.mul_f32s(share, falling), value);
                }
            }
            for (level, [sum, weighted]) in [(Some(level), up), (mirror, down)] {
                let Some(level) = level else { continue };
                let distance = simd.mul_f32s(row(out.distances, level), width);
                let squashed =
                    lanes::tanh(simd, simd.mul_f32s(distance, simd.splat_f32s(1.0 / REACH)));
                let reached = simd.mul_f32s(squashed, simd.splat_f32s(REACH));
                let [far, near] = lanes::exp_both(simd, reached);
                let sinh = simd.mul_f32s(simd.splat_f32s(0.5), simd.sub_f32s(far, near));
                let blend = simd.div_f32s(weighted, sum);
                let at = level * n..(level + 1) * n;
                lanes::store(simd, &mut self.spread.sums[at.clone()], column, sum);
                lanes::store(simd, &mut self.spread.blends[at.clone()], column, blend);
                let quantile = simd.add_f32s(blend, sinh);
                lanes::store(simd, &mut self.spread.quantiles[at], column, quantile);
            }
        }
    }
}

/// A sum of shares and of the values they weigh, with one more.
#[inline(always)]
fn weigh<S: Simd>(simd: S, sums: [S::f32s; 2], share: S::f32s, value: S::f32s) -> [S::f32s; 2] {
    let [sum, weighted] = sums;
    [
        simd.add_f32s(sum, share),
        simd.mul_add_e_f32s(share, value, weighted),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{arch::tests::on_every_arch, random::Random};

    const N: usize = 19;

    fn levels() -> Levels {
        Levels::new(vec![-1.2, -0.4, 0.0, 0.4, 1.2, 2.7])
    }

    fn numbers(count: usize, seed: u64) -> Vec<f32> {
        let mut random = Random::new(seed, 0);
        (0..count).map(|_| 4.0 * random.unit() - 2.0).collect()
    }

    fn by_the_book(raw: &[f32], anchors: &[f32], level: usize, j: usize) -> f64 {
        let at = |row: usize| f64::from(raw[row * N + j]);
        let score = f64::from(levels().scores[level]);
        let share = |anchor| (at(1 + anchor) + score * at(1 + ANCHORS + anchor)).exp();
        let sum: f64 = (0..ANCHORS).map(share).sum();
        let value = |anchor: usize| f64::from(anchors[anchor * N + j]);
        let blend: f64 = (0..ANCHORS)
            .map(|anchor| share(anchor) * value(anchor))
            .sum();
        let distance = at(1 + 2 * ANCHORS + level) * at(0).exp();
        let reach = f64::from(REACH);
        blend / sum + (reach * (distance / reach).tanh()).sinh()
    }

    #[test]
    fn quantiles_are_blends_and_distances_by_the_book() {
        on_every_arch(|| {
            let levels = levels();
            let rows = 1 + 2 * ANCHORS + levels.scores.len();
            let (raw, anchors) = (numbers(rows * N, 1), numbers(ANCHORS * N, 2));
            let mut spread = Spread::default();
            spread.forward(&raw, &anchors, &levels, N);
            for (index, &found) in spread.quantiles.iter().enumerate() {
                let expected = by_the_book(&raw, &anchors, index / N, index % N);
                let error = (f64::from(found) - expected).abs();
                assert!(error < 5e-6 * expected.abs().max(1.0), "{found} {expected}");
            }
        });
    }

    #[test]
    fn the_way_back_is_the_slope_of_the_way_forward() {
        let levels = levels();
        let rows = 1 + 2 * ANCHORS + levels.scores.len();
        let mut raw = numbers(rows * N, 3);
        raw[..N].fill(-1.0);
        let anchors = numbers(ANCHORS * N, 4);
        let by_quantile = numbers(levels.scores.len() * N, 5);
        let mut spread = Spread::default();
        spread.forward(&raw, &anchors, &levels, N);
        let slopes = spread.backward(&raw, &anchors, &levels, &by_quantile, N);
        let j = 7;
        let objective = |raw: &[f32]| -> f64 {
            (0..levels.scores.len())
                .map(|level| {
                    let by = f64::from(by_quantile[level * N + j]);
                    by * by_the_book(raw, &anchors, level, j)
                })
                .sum()
        };
        for row in 0..rows {
            let moved = |by: f32| {
                let mut raw = raw.clone();
                raw[row * N + j] += by;
                objective(&raw)
            };
            let expected = (moved(1e-3) - moved(-1e-3)) / 2e-3;
            let found = f64::from(slopes[row * N + j]);
            assert!(
                (found - expected).abs() < 2e-3 * expected.abs().max(1.0),
                "{found} {expected}"
            );
        }
    }
}
