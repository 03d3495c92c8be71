//! Quantiles of a stream in fixed memory: the extended P² algorithm (Jain & Chlamtac 1985,
//! Raatikainen 1987), made to forget.

/// The quantile levels that are tracked for each metric.
pub const TRACKED_LEVELS: [f64; 4] = [0.1, 0.5, 0.9, 0.99];

/// Two markers for each level and three for the ends and the middle between them.
const MARKERS: usize = 2 * TRACKED_LEVELS.len() + 3;

/// Beyond this many samples the marker positions are halved, so that the past fades.
const MEMORY: f32 = 4096.0;

/// Heights of markers at `TRACKED_LEVELS`, at the middles between them and at both ends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Quantiles {
    heights: [f32; MARKERS],
    /// How many samples are at or below each marker.
    positions: [f32; MARKERS],
    seen: u32,
}

impl Default for Quantiles {
    fn default() -> Self {
        Self {
            heights: [0.0; MARKERS],
            positions: std::array::from_fn(|i| (i + 1) as f32),
            seen: 0,
        }
    }
}

/// The level of each marker: 0, the levels with the middles between them, 1.
fn marker_level(marker: usize) -> f64 {
    let known = |i: usize| match i {
        0 => 0.0,
        i if i <= TRACKED_LEVELS.len() => TRACKED_LEVELS[i - 1],
        _ => 1.0,
    };
    if marker.is_multiple_of(2) {
        known(marker / 2)
    } else {
        f64::midpoint(known(marker / 2), known(marker / 2 + 1))
    }
}

impl Quantiles {
    pub(crate) fn add(&mut self, value: f32) {
        let seen = self.seen as usize;
        self.seen = self.seen.saturating_add(1);
        if seen < MARKERS {
            self.insert_first(seen, value);
            return;
        }
        self.count(value);
        self.adjust();
        if self.positions[MARKERS - 1] > MEMORY {
            self.fade();
        }
    }

    /// The quantile at `TRACKED_LEVELS[level]`; none before the first sample.
    pub(crate) fn at(&self, level: usize) -> Option<f32> {
        let seen = self.seen as usize;
        if seen == 0 {
            return None;
        }
        if seen >= MARKERS {
            return Some(self.heights[2 * (level + 1)]);
        }
        let rank = (TRACKED_LEVELS[level] * (seen - 1) as f64).round() as usize;
        Some(self.heights[rank.min(seen - 1)])
    }

    fn insert_first(&mut self, seen: usize, value: f32) {
        let place = self.heights[..seen].partition_point(|&height| height <= value);
        self.heights.copy_within(place..seen, place + 1);
        self.heights[place] = value;
    }

    /// Moves the ends if the value lies beyond them and counts it at every marker above it.
    fn count(&mut self, value: f32) {
        let last = MARKERS - 1;
        self.heights[0] = self.heights[0].min(value);
        self.heights[last] = self.heights[last].max(value);
        let above = self.heights[1..last].partition_point(|&height| height <= value) + 1;
        for position in &mut self.positions[above..] {
            *position += 1.0;
        }
    }

    /// Moves each inner marker one step towards where its level wants it.
    fn adjust(&mut self) {
        let total = self.positions[MARKERS - 1];
        for marker in 1..MARKERS - 1 {
            let wanted = 1.0 + (f64::from(total) - 1.0) * marker_level(marker);
            let off = wanted as f32 - self.positions[marker];
            let room_up = self.positions[marker + 1] - self.positions[marker];
            let room_down = self.positions[marker] - self.positions[marker - 1];
            if off >= 1.0 && room_up > 1.0 {
                self.shift(marker, 1.0);
            } else if off <= -1.0 && room_down > 1.0 {
                self.shift(marker, -1.0);
            }
        }
    }

    /// Moves a marker by one sample: along a parabola, or a line if that would break the order.
    fn shift(&mut self, marker: usize, step: f32) {
        let [low, here, high] = [marker - 1, marker, marker + 1].map(|i| self.heights[i]);
        let [n_low, n, n_high] = [marker - 1, marker, marker + 1].map(|i| self.positions[i]);
        let parabola = here
            + step / (n_high - n_low)
                * ((n - n_low + step) * (high - here) / (n_high - n)
                    + (n_high - n - step) * (here - low) / (n - n_low));
        self.heights[marker] = if low < parabola && parabola < high {
            parabola
        } else if step > 0.0 {
            here + (high - here) / (n_high - n)
        } else {
            here - (low - here) / (n_low - n)
        };
        self.positions[marker] += step;
    }

    /// Halves all counts, keeping at least one sample between markers, and lets the ends come in.
    fn fade(&mut self) {
        let mut least = 1.0;
        for position in &mut self.positions {
            *position = (*position / 2.0).round().max(least);
            least = *position + 1.0;
        }
        let last = MARKERS - 1;
        self.heights[0] = f32::midpoint(self.heights[0], self.heights[1]);
        self.heights[last] = f32::midpoint(self.heights[last], self.heights[last - 1]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values 0…n−1 in an order that looks random and is the same every time.
    fn shuffled(n: u32) -> impl Iterator<Item = f32> {
        (0..n).map(move |i| (u64::from(i) * 7_919 % u64::from(n)) as f32)
    }

    #[test]
    fn quantiles_of_a_uniform_stream_are_close() {
        let mut quantiles = Quantiles::default();
        shuffled(10_007).for_each(|value| quantiles.add(value / 10_007.0));
        for (i, level) in TRACKED_LEVELS.iter().enumerate() {
            let found = f64::from(quantiles.at(i).unwrap());
            assert!((found - level).abs() < 0.03, "{level}: {found}");
        }
    }

    #[test]
    fn few_samples_give_their_own_ranks() {
        let mut quantiles = Quantiles::default();
        assert_eq!(quantiles.at(1), None);
        for value in [3.0, 1.0, 2.0] {
            quantiles.add(value);
        }
        assert_eq!(quantiles.at(1), Some(2.0));
        assert_eq!(quantiles.at(3), Some(3.0));
    }

    #[test]
    fn quantiles_stay_sorted_and_follow_a_change_of_level() {
        let mut quantiles = Quantiles::default();
        shuffled(5_003).for_each(|value| quantiles.add(value));
        shuffled(20_011).for_each(|value| quantiles.add(1e6 + value));
        let found: Vec<f32> = (0..TRACKED_LEVELS.len())
            .map(|i| quantiles.at(i).unwrap())
            .collect();
        assert!(found.is_sorted(), "{found:?}");
        assert!(found[1] > 1e6, "the old level is forgotten: {found:?}");
    }

    #[test]
    fn equal_values_do_no_harm() {
        let mut quantiles = Quantiles::default();
        (0..10_000).for_each(|_| quantiles.add(4.0));
        assert!((0..TRACKED_LEVELS.len()).all(|i| quantiles.at(i) == Some(4.0)));
    }
}
