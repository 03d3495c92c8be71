//! The network without the memories of its series: features in, quantiles out. This is the part that
//! another runtime can hold as well, so it is where a comparison with one is made.

use crate::{
    features::{AHEAD, ANCHORS, FIXED, FIXED_ANCHORS, INPUTS},
    kernel::Network,
    network::NetworkSize,
    outlook::SHOWN,
    random::Random,
    served::{HeadRoom, StepFeatures},
};

/// What one tick of some series feeds the network. Feature-major: a row for each feature; the steps
/// ahead of a series are neighbouring columns.
#[derive(Debug, Clone, PartialEq)]
pub struct Features {
    /// Series.
    pub series: usize,
    /// Steps ahead.
    pub steps: usize,
    /// `[inputs, series]`.
    pub inputs: Vec<f32>,
    /// `[features ahead, series · steps]`.
    pub ahead: Vec<f32>,
    /// `[anchors, series · steps]`.
    pub anchors: Vec<f32>,
}

impl Features {
    /// Numbers between -1 and 1, the same for the same seed.
    pub fn random(series: usize, steps: usize, seed: u64) -> Self {
        let mut random = Random::new(seed, 0);
        let mut numbers = |count: usize| (0..count).map(|_| 2.0 * random.unit() - 1.0).collect();
        Self {
            series,
            steps,
            inputs: numbers(INPUTS * series),
            ahead: numbers(AHEAD * series * steps),
            anchors: numbers(ANCHORS * series * steps),
        }
    }
}

impl Network {
    /// Advances `state` by one step and gives the quantiles `[levels, series · steps]` in units of
    /// each series' scale, neither sorted nor bounded. `state` is, for each layer,
    /// `h [hidden, series]` and `c [hidden, series]`.
    ///
    /// # Panics
    /// If a slice is not of the size that `features` says.
    pub fn tick(&self, features: &Features, state: &mut [f32]) -> Vec<f32> {
        let (size, series) = (self.size(), features.series);
        assert_eq!(state.len(), size.state() * series, "the state's size");
        let (served, mut room) = (self.served(), HeadRoom::default());
        served.step(state, &features.inputs, series, &mut Vec::new());
        let unit = size.hidden * series;
        let hidden = &state[2 * (size.layers - 1) * unit..][..unit];
        served.read_state(hidden, None, series, &mut room);
        let steps = features.steps;
        let (mut ahead, mut anchors) = (Vec::new(), Vec::new());
        let mut all = vec![0.0; size.levels.len() * series * steps];
        for column in 0..series {
            let own = column * steps..(column + 1) * steps;
            for (out, rows) in [
                (&mut ahead, &features.ahead),
                (&mut anchors, &features.anchors),
            ] {
                out.clear();
                for row in rows.chunks_exact(series * steps) {
                    out.extend_from_slice(&row[own.clone()]);
                }
            }
            let shown = StepFeatures::All(&ahead);
            let quantiles = served.quantiles(column, shown, &anchors, steps, &mut room);
            let rows = all.chunks_exact_mut(series * steps);
            for (row, level) in rows.zip(quantiles.chunks_exact(steps)) {
                row[own.clone()].copy_from_slice(level);
            }
        }
        all
    }
}

impl NetworkSize {
    /// Numbers of one series in [`Features`]: inputs, features of a step ahead, anchors.
    pub fn widths() -> [usize; 3] {
        [INPUTS, AHEAD, ANCHORS]
    }

    /// Numbers of one series that a graphics card is sent at a tick with `steps` steps ahead, and those that
    /// it sends back: the state there and back, what the recurrence and the head are shown, the quantiles.
    pub fn traffic(&self, steps: usize) -> [usize; 2] {
        let head = self.hidden + FIXED.len() + FIXED_ANCHORS.len() + steps * SHOWN;
        let quantiles = steps * self.levels.len();
        [self.state() + INPUTS + head, self.state() + quantiles]
    }

    /// Multiplications in the matrix products of one step of one series, with the quantiles of
    /// `steps` steps ahead.
    pub fn multiplications(&self, steps: usize) -> usize {
        let layout = self.layout();
        let area = |matrices: &[crate::network::Matrix]| -> usize {
            matrices.iter().map(|m| m.rows * m.columns).sum()
        };
        let cells: usize = layout
            .cells
            .iter()
            .map(|cell| area(&[cell.input, cell.recurrent]))
            .sum();
        cells
            + area(&[layout.head_state])
            + steps * area(&[layout.head_ahead, layout.inner, layout.out])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_do_not_depend_on_their_neighbours() {
        let size = NetworkSize {
            hidden: 8,
            layers: 2,
            head: 6,
            head_inner: 5,
            levels: vec![0.1, 0.5, 0.9],
        };
        let network = Network::new(size.clone(), size.initial_weights(3)).unwrap();
        let pair = Features::random(2, 3, 1);
        let second = |values: &[f32], columns: usize| -> Vec<f32> {
            values
                .chunks_exact(2 * columns)
                .flat_map(|row| row[columns..].to_vec())
                .collect()
        };
        let alone = Features {
            series: 1,
            steps: 3,
            inputs: second(&pair.inputs, 1),
            ahead: second(&pair.ahead, 3),
            anchors: second(&pair.anchors, 3),
        };
        let (mut states, mut state) = (vec![0.1; 2 * size.state()], vec![0.1; size.state()]);
        let both = network.tick(&pair, &mut states);
        let one = network.tick(&alone, &mut state);
        for (a, b) in second(&both, 3).iter().zip(&one) {
            assert!((a - b).abs() < 1e-6, "{a} {b}");
        }
        assert_eq!(second(&states, 1).len(), state.len());
    }

    #[test]
    fn multiplications_are_counted_by_hand() {
        let size = NetworkSize {
            hidden: 2,
            layers: 1,
            head: 3,
            head_inner: 4,
            levels: vec![0.5],
        };
        let [inputs, ahead, anchors] = NetworkSize::widths();
        let cell = 8 * inputs + 8 * 2;
        let head = 3 * ahead + 4 * 3 + (1 + 2 * anchors + 1) * 4;
        assert_eq!(size.multiplications(7), cell + 3 * 2 + 7 * head);
    }
}
