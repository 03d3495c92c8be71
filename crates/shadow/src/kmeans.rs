//! k-means on fingerprints: k-means++ seeding (Arthur & Vassilvitskii 2007) and Lloyd's steps.
//!
//! Deterministic: the seed is fixed and ties go to the lower index.

use crate::fingerprint::{FINGERPRINT_DIMENSIONS, Fingerprint};

const STEPS: usize = 30;
/// A dimension that hardly varies is scaled by this, not blown up.
pub(crate) const LEAST_SCALE: f32 = 0.05;

/// Centres and the scale of each dimension they were found with.
#[derive(Debug, Clone, Default)]
pub(crate) struct Clusters {
    pub(crate) centres: Vec<Fingerprint>,
    pub(crate) scale: Fingerprint,
    /// The mean over all points, by which centres are told apart in words.
    pub(crate) mean: Fingerprint,
}

impl Clusters {
    /// Fits at most `k` centres, starting from those of `previous` so that a category keeps its
    /// number while its members do.
    pub(crate) fn fit(
        points: &[Fingerprint],
        k: usize,
        previous: &[Fingerprint],
        seed: u64,
    ) -> Self {
        let (mean, scale) = moments(points);
        let mut centres = seeded(points, k, previous, &scale, seed);
        for _ in 0..STEPS {
            let next = moved(points, &centres, &scale);
            if next == centres {
                break;
            }
            centres = next;
        }
        Self {
            centres,
            scale,
            mean,
        }
    }

    /// The nearest centre with a confidence from 0 (as near to another) to 1 (on the centre).
    pub(crate) fn nearest(&self, point: &Fingerprint) -> Option<(usize, f64)> {
        let mut ranked: Vec<(f32, usize)> = self
            .centres
            .iter()
            .enumerate()
            .map(|(i, centre)| (point.distance(centre, &self.scale), i))
            .collect();
        ranked.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let &(first, index) = ranked.first()?;
        let confidence = match ranked.get(1) {
            Some(&(second, _)) if second > 0.0 => 1.0 - f64::from(first / second).sqrt(),
            Some(_) => 0.0,
            None => 1.0,
        };
        Some((index, confidence))
    }
}

/// Mean and standard deviation of each dimension.
fn moments(points: &[Fingerprint]) -> (Fingerprint, Fingerprint) {
    let count = points.len().max(1) as f32;
    let each = |f: &dyn Fn(usize) -> f32| Fingerprint(std::array::from_fn(f));
    let mean = each(&|d| points.iter().map(|p| p.0[d]).sum::<f32>() / count);
    let scale = each(&|d| {
        let squares: f32 = points.iter().map(|p| (p.0[d] - mean.0[d]).powi(2)).sum();
        (squares / count).sqrt().max(LEAST_SCALE)
    });
    (mean, scale)
}

fn seeded(
    points: &[Fingerprint],
    k: usize,
    previous: &[Fingerprint],
    scale: &Fingerprint,
    seed: u64,
) -> Vec<Fingerprint> {
    let mut centres: Vec<Fingerprint> = previous.iter().take(k).copied().collect();
    let mut state = seed;
    if centres.is_empty() {
        centres.extend(points.first());
    }
    while centres.len() < k {
        let gaps: Vec<f32> = points
            .iter()
            .map(|p| {
                centres
                    .iter()
                    .map(|c| p.distance(c, scale))
                    .fold(f32::MAX, f32::min)
            })
            .collect();
        let total: f32 = gaps.iter().sum();
        if total <= f32::EPSILON {
            break;
        }
        let mut left = unit(&mut state) * total;
        let chosen = gaps.iter().position(|gap| {
            left -= gap;
            left <= 0.0
        });
        centres.push(points[chosen.unwrap_or(points.len() - 1)]);
    }
    centres
}

/// Each centre moved to the mean of the points nearest to it; one without points stays.
fn moved(points: &[Fingerprint], centres: &[Fingerprint], scale: &Fingerprint) -> Vec<Fingerprint> {
    let mut sums = vec![[0.0_f32; FINGERPRINT_DIMENSIONS]; centres.len()];
    let mut counts = vec![0.0_f32; centres.len()];
    for point in points {
        let distances = centres.iter().map(|centre| point.distance(centre, scale));
        let Some((nearest, _)) = distances.enumerate().min_by(|a, b| a.1.total_cmp(&b.1)) else {
            continue;
        };
        counts[nearest] += 1.0;
        sums[nearest]
            .iter_mut()
            .zip(&point.0)
            .for_each(|(sum, value)| *sum += value);
    }
    let mean = |i: usize| sums[i].map(|sum| sum / counts[i]);
    (0..centres.len())
        .map(|i| {
            if counts[i] > 0.0 {
                Fingerprint(mean(i))
            } else {
                centres[i]
            }
        })
        .collect()
}

/// The next number of `SplitMix64` in [0, 1).
fn unit(state: &mut u64) -> f32 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((z ^ (z >> 31)) >> 40) as f32 / (1_u64 << 24) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blobs() -> Vec<Fingerprint> {
        (0..60)
            .map(|i| {
                let mut vector = [0.0; FINGERPRINT_DIMENSIONS];
                vector[0] = (i % 3) as f32 * 5.0 + (i / 3) as f32 * 0.01;
                Fingerprint(vector)
            })
            .collect()
    }

    #[test]
    fn clear_groups_are_found() {
        let points = blobs();
        let clusters = Clusters::fit(&points, 3, &[], 7);
        let of = |i: usize| clusters.nearest(&points[i]).unwrap();
        assert_eq!(of(0).0, of(3).0);
        assert_ne!(of(0).0, of(1).0);
        assert_ne!(of(1).0, of(2).0);
        assert!(of(0).1 > 0.8, "{}", of(0).1);
    }

    #[test]
    fn a_second_fit_keeps_the_numbers() {
        let points = blobs();
        let first = Clusters::fit(&points, 3, &[], 7);
        let second = Clusters::fit(&points[3..], 3, &first.centres, 99);
        for point in &points[3..] {
            assert_eq!(
                first.nearest(point).unwrap().0,
                second.nearest(point).unwrap().0
            );
        }
    }

    #[test]
    fn equal_points_give_one_centre_and_none_give_none() {
        let clusters = Clusters::fit(&[Fingerprint::default(); 9], 4, &[], 7);
        assert_eq!(clusters.centres.len(), 1);
        assert!(
            Clusters::fit(&[], 4, &[], 7)
                .nearest(&Fingerprint::default())
                .is_none()
        );
    }
}
