//! The network ready to run: a batch of series one step on, and their quantiles ahead.

use std::sync::Arc;

use crate::{
    cell::{activate, gate_sums},
    head::{Head, HeadInput},
    network::{Layout, NetworkSize},
};

/// A network's weights, shared by all who run it.
#[derive(Debug, Clone)]
pub struct Network {
    size: NetworkSize,
    layout: Layout,
    weights: Arc<[f32]>,
}

/// Why weights were refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// The number of weights is not that of the size.
    #[error("the network has {expected} weights, but {found} were given")]
    Count {
        /// What the size needs.
        expected: usize,
        /// What was given.
        found: usize,
    },
    /// A weight is not a finite number.
    #[error("weight {index} is not a finite number")]
    NotFinite {
        /// Its place in the flat vector.
        index: usize,
    },
    /// The sizes or levels are out of range.
    #[error("the network's size is not valid: {0}")]
    Size(&'static str),
}

/// Room for one batch's intermediate results.
#[derive(Debug, Clone, Default)]
pub(crate) struct Scratch {
    pub(crate) inputs: Vec<f32>,
    gates: Vec<f32>,
    pub(crate) head: Head,
}

impl Network {
    /// Checks the weights.
    ///
    /// # Errors
    /// [`NetworkError`] if they do not fit the size or are not finite.
    pub fn new(size: NetworkSize, weights: Vec<f32>) -> Result<Self, NetworkError> {
        size.check().map_err(NetworkError::Size)?;
        let layout = size.layout();
        if layout.total != weights.len() {
            return Err(NetworkError::Count {
                expected: layout.total,
                found: weights.len(),
            });
        }
        if let Some(index) = weights.iter().position(|weight| !weight.is_finite()) {
            return Err(NetworkError::NotFinite { index });
        }
        Ok(Self {
            size,
            layout,
            weights: weights.into(),
        })
    }

    /// Its size.
    pub fn size(&self) -> &NetworkSize {
        &self.size
    }

    /// All weights in one vector.
    pub fn weights(&self) -> &[f32] {
        &self.weights
    }

    /// Advances the state of `rows` series by one step of `scratch.inputs`.
    pub(crate) fn step(&self, state: &mut [f32], rows: usize, scratch: &mut Scratch) {
        let unit = self.size.hidden * rows;
        scratch.gates.resize(4 * unit, 0.0);
        for layer in 0..self.size.layers {
            let (below, here) = state.split_at_mut(2 * layer * unit);
            let (h, rest) = here.split_at_mut(unit);
            let input = match layer.checked_sub(1) {
                Some(under) => &below[2 * under * unit..][..unit],
                None => &scratch.inputs,
            };
            gate_sums(
                &mut scratch.gates,
                &self.weights,
                &self.layout.cells[layer],
                input,
                h,
                rows,
            );
            activate(&mut scratch.gates, h, &mut rest[..unit]);
        }
    }

    /// Quantiles `[levels, forecasts]` into `scratch.head`.
    pub(crate) fn quantiles(&self, input: HeadInput<'_>, scratch: &mut Scratch) {
        scratch.head.forward(&self.weights, &self.layout, input);
    }
}
