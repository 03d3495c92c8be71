//! Singular spectrum analysis: the strongest patterns of a series, and how they go on.
//!
//! Basic SSA with recurrent forecasting (Golyandina, Nekrutkin & Zhigljavsky, *Analysis of Time
//! Series Structure*, 2001, ch. 1 and 2): the eigenvectors of the trajectory matrix `X Xᵀ` that hold
//! most of the energy span the signal, and a linear recurrence that they satisfy continues it.

/// Eigenvectors are found to this many; later ones are noise in practice.
const LARGEST_RANK: usize = 12;

/// The share of the energy that the patterns kept hold together.
const ENERGY_KEPT: f64 = 0.9;

/// Rounds of the subspace iteration; the energy of the leading patterns settles long before.
const ITERATIONS: usize = 25;

/// Patterns of a series and the recurrence that continues them.
#[derive(Debug, Clone)]
pub(crate) struct Spectrum {
    length: usize,
    /// Orthonormal patterns, each of `length`.
    patterns: Vec<Vec<f64>>,
    /// Weights of the last `length − 1` values, oldest first.
    recurrence: Vec<f64>,
    /// No forecast is above this.
    ceiling: f64,
}

impl Spectrum {
    /// Decomposes a series into windows of `length`; needs at least two windows' worth of values.
    pub(crate) fn fit(series: &[f64], length: usize) -> Option<Self> {
        if length < 2 || series.len() < 2 * length {
            return None;
        }
        let moments = trajectory_moments(series, length);
        let patterns = leading_patterns(&moments, length);
        let recurrence = recurrence(&patterns, length)?;
        let largest = series.iter().copied().fold(0.0, f64::max);
        Some(Self {
            length,
            patterns,
            recurrence,
            ceiling: 2.0 * largest,
        })
    }

    /// How many trailing values a forecast needs.
    pub(crate) fn length(&self) -> usize {
        self.length
    }

    /// The next `steps` values after `recent`, which holds the last [`length`](Self::length) values.
    pub(crate) fn forecast(&self, recent: &[f64], steps: usize) -> Vec<f64> {
        let mut path = self.signal(recent);
        for _ in 0..steps {
            let tail = &path[path.len() + 1 - self.length..];
            let next = dot(&self.recurrence, tail).clamp(0.0, self.ceiling);
            path.push(next);
        }
        path.split_off(self.length)
    }

    /// The part of a window that lies in the span of the patterns.
    fn signal(&self, window: &[f64]) -> Vec<f64> {
        let mut signal = vec![0.0; self.length];
        for pattern in &self.patterns {
            let weight = dot(pattern, window);
            for (value, &part) in signal.iter_mut().zip(pattern) {
                *value += weight * part;
            }
        }
        signal
    }
}

/// `X Xᵀ` row-major, each diagonal built from its first entry by one addition and one subtraction.
fn trajectory_moments(series: &[f64], length: usize) -> Vec<f64> {
    let windows = series.len() - length + 1;
    let mut moments = vec![0.0; length * length];
    for lag in 0..length {
        let mut sum = dot(&series[..windows], &series[lag..lag + windows]);
        for row in 0..length - lag {
            moments[row * length + row + lag] = sum;
            moments[(row + lag) * length + row] = sum;
            if row + lag + 1 < length {
                sum += series[row + windows] * series[row + lag + windows]
                    - series[row] * series[row + lag];
            }
        }
    }
    moments
}

/// The eigenvectors with the largest eigenvalues, by subspace iteration, cut where they hold
/// [`ENERGY_KEPT`] of the energy.
fn leading_patterns(moments: &[f64], length: usize) -> Vec<Vec<f64>> {
    let rank = LARGEST_RANK.min(length - 1);
    let mut basis: Vec<Vec<f64>> = (0..rank).map(|k| cosine(k, length)).collect();
    orthonormalise(&mut basis);
    for _ in 0..ITERATIONS {
        for vector in &mut basis {
            *vector = product(moments, vector);
        }
        orthonormalise(&mut basis);
    }
    let total: f64 = (0..length).map(|i| moments[i * length + i]).sum();
    let mut by_energy: Vec<(f64, Vec<f64>)> = basis
        .into_iter()
        .map(|vector| (dot(&vector, &product(moments, &vector)), vector))
        .collect();
    by_energy.sort_by(|one, two| two.0.total_cmp(&one.0));
    let mut held = 0.0;
    let mut patterns = Vec::new();
    for (energy, vector) in by_energy {
        if held >= ENERGY_KEPT * total {
            break;
        }
        held += energy;
        patterns.push(vector);
    }
    patterns
}

/// `R = Σ πᵢ Uᵢ / (1 − ν²)`, with `πᵢ` the last entry of pattern i, `Uᵢ` the rest and `ν² = Σ πᵢ²`.
fn recurrence(patterns: &[Vec<f64>], length: usize) -> Option<Vec<f64>> {
    let mut weights = vec![0.0; length - 1];
    let mut verticality = 0.0;
    for pattern in patterns {
        let last = pattern[length - 1];
        verticality += last * last;
        for (weight, &part) in weights.iter_mut().zip(pattern) {
            *weight += last * part;
        }
    }
    if patterns.is_empty() || verticality > 0.999 {
        return None;
    }
    for weight in &mut weights {
        *weight /= 1.0 - verticality;
    }
    Some(weights)
}

/// A start of the iteration that no smooth pattern is orthogonal to.
fn cosine(k: usize, length: usize) -> Vec<f64> {
    let step = std::f64::consts::PI * k as f64 / length as f64;
    (0..length)
        .map(|i| (step * (i as f64 + 0.5)).cos() + 1e-3 * ((i * i + k) % 7) as f64)
        .collect()
}

/// Gram and Schmidt's method, each vector cleaned twice for accuracy.
fn orthonormalise(basis: &mut [Vec<f64>]) {
    for index in 0..basis.len() {
        let (done, rest) = basis.split_at_mut(index);
        let vector = &mut rest[0];
        for _ in 0..2 {
            for other in done.iter() {
                let overlap = dot(other, vector);
                for (value, &part) in vector.iter_mut().zip(other) {
                    *value -= overlap * part;
                }
            }
        }
        let norm = dot(vector, vector).sqrt();
        let scale = if norm > 1e-150 { 1.0 / norm } else { 0.0 };
        for value in vector.iter_mut() {
            *value *= scale;
        }
    }
}

fn product(matrix: &[f64], vector: &[f64]) -> Vec<f64> {
    matrix
        .chunks_exact(vector.len())
        .map(|row| dot(row, vector))
        .collect()
}

/// In eight lanes, which compilers turn into vector instructions.
fn dot(one: &[f64], two: &[f64]) -> f64 {
    let mut lanes = [0.0; 8];
    let (chunks, other) = (one.chunks_exact(8), two.chunks_exact(8));
    let tail: f64 = chunks
        .remainder()
        .iter()
        .zip(other.remainder())
        .map(|(a, b)| a * b)
        .sum();
    for (a, b) in chunks.zip(other) {
        for lane in 0..8 {
            lanes[lane] += a[lane] * b[lane];
        }
    }
    lanes.iter().sum::<f64>() + tail
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wave_on_a_level_goes_on() {
        let wave = |i: usize| 10.0 + 10.0 * (i as f64 * std::f64::consts::TAU / 24.0).sin();
        let series: Vec<f64> = (0..240).map(wave).collect();
        let spectrum = Spectrum::fit(&series, 48).unwrap();
        let ahead = spectrum.forecast(&series[240 - 48..], 12);
        for (step, value) in ahead.iter().enumerate() {
            assert!((value - wave(240 + step)).abs() < 1.0, "{step}: {value}");
        }
    }

    #[test]
    fn the_moments_are_those_of_the_trajectory_matrix() {
        let series = [1.0, 4.0, 2.0, 8.0, 5.0, 7.0];
        let moments = trajectory_moments(&series, 3);
        for row in 0..3 {
            for column in 0..3 {
                let direct: f64 = (0..4).map(|k| series[row + k] * series[column + k]).sum();
                assert!((moments[row * 3 + column] - direct).abs() < 1e-9);
            }
        }
    }

    #[test]
    fn a_silent_or_short_series_has_no_spectrum() {
        assert!(Spectrum::fit(&[0.0; 100], 10).is_none());
        assert!(Spectrum::fit(&[1.0; 10], 10).is_none());
    }
}
