//! The network ready to run: a batch of series one step on, and their quantiles ahead.

use std::sync::Arc;
#[cfg(any(test, feature = "gpu"))]
use std::sync::OnceLock;

#[cfg(any(test, feature = "gpu"))]
use crate::{card::Card, live::tried};
use crate::{
    device::Compute,
    network::NetworkSize,
    outlook::Outlook,
    served::{HeadRoom, Served},
};

/// A network's weights, shared by all who run it.
#[derive(Debug, Clone)]
pub struct Network {
    size: NetworkSize,
    weights: Arc<[f32]>,
    served: Arc<Served>,
    compute: Compute,
    /// Its weights on a graphics card, once they are asked for.
    #[cfg(any(test, feature = "gpu"))]
    card: Arc<OnceLock<Option<Card>>>,
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
    pub(crate) gates: Vec<f32>,
    /// Features of the steps ahead that are the same for all, `[FIXED, rows]`.
    pub(crate) fixed: Vec<f32>,
    /// The top layer's output, `[hidden, rows]`.
    pub(crate) hidden: Vec<f32>,
    pub(crate) outlook: Outlook,
    pub(crate) head: HeadRoom,
    /// One series' quantiles, `[horizon, levels]`.
    pub(crate) answer: Vec<f32>,
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
            served: Arc::new(Served::new(&size, &layout, &weights)),
            size,
            weights: weights.into(),
            compute: Compute::cpu(),
            #[cfg(any(test, feature = "gpu"))]
            card: Arc::default(),
        })
    }

    /// The same network, which a [`crate::LiveBatch`] computes there: what it does at a tick for all of
    /// its series. Its weights go to a graphics card when they are first needed, once for all clones.
    #[must_use]
    pub fn on(self, compute: &Compute) -> Self {
        Self {
            compute: compute.clone(),
            #[cfg(any(test, feature = "gpu"))]
            card: Arc::default(),
            ..self
        }
    }

    /// Where it is computed.
    pub fn compute(&self) -> &Compute {
        &self.compute
    }

    /// The card that computes so many series; `None` where the CPU does.
    #[cfg(any(test, feature = "gpu"))]
    pub(crate) fn card(&self, series: usize) -> Option<&Card> {
        let adapter = self.compute.serving(series)?;
        let upload = || tried(Card::new(adapter, &self.size, &self.weights)?, self);
        self.card.get_or_init(upload).as_ref()
    }

    /// Its size.
    pub fn size(&self) -> &NetworkSize {
        &self.size
    }

    /// All weights in one vector.
    pub fn weights(&self) -> &[f32] {
        &self.weights
    }

    /// The weights laid out for serving.
    pub(crate) fn served(&self) -> &Served {
        &self.served
    }
}
