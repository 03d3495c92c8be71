//! The fit: lanes of data, the gradient of a chunk on each of two workers, and the optimiser.

mod adam;
mod data;
mod lanes;
mod variety;

use std::thread;

use serde::{Deserialize, Serialize};

pub use data::FitData;
pub use lanes::ChunkSize;
pub use variety::Variety;

use crate::{
    chunk::ChunkGradient,
    device::Compute,
    kernel::{Network, NetworkError},
    network::NetworkSize,
    random::Random,
};
use adam::{Adam, Pace};
use lanes::{Lanes, LanesState};

/// Workers that the lanes are always split over, whatever the machine, so that results are the same.
const SHARDS: usize = 2;

/// Everything that decides the result, beside the data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FitOptions {
    /// The network.
    pub network: NetworkSize,
    /// How the data is cut.
    pub chunk: ChunkSize,
    /// What is made of the data.
    pub variety: Variety,
    /// The highest learning rate.
    pub rate: f32,
    /// Weight decay.
    pub decay: f32,
    /// Steps over which the rate rises at the start.
    pub warm_up: u64,
    /// Steps that the average of the weights spans.
    pub average_over: f32,
    /// The seed of all chance.
    pub seed: u64,
}

/// All that is needed to go on with a fit.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FitState {
    adam: Adam,
    lanes: Vec<LanesState>,
}

/// A fit under way.
#[derive(Debug)]
pub struct Fit {
    options: FitOptions,
    compute: Compute,
    data: FitData,
    adam: Adam,
    lanes: Vec<Lanes>,
}

impl Fit {
    /// Starts with fresh weights.
    ///
    /// # Errors
    /// [`NetworkError`] if the network's size is not valid.
    pub fn new(options: FitOptions, data: FitData, compute: Compute) -> Result<Self, NetworkError> {
        options.network.check().map_err(NetworkError::Size)?;
        let weights = options.network.initial_weights(options.seed);
        Self::from_weights(weights, options, data, compute)
    }

    /// Starts with these weights.
    ///
    /// # Errors
    /// [`NetworkError`] if they are not those of a network of the size that the options say.
    pub fn from_weights(
        weights: Vec<f32>,
        options: FitOptions,
        data: FitData,
        compute: Compute,
    ) -> Result<Self, NetworkError> {
        let network = Network::new(options.network.clone(), weights)?;
        let weights = network.weights().to_vec();
        let rows = options.chunk.lanes.div_ceil(SHARDS).max(1);
        let lanes = (0..SHARDS)
            .map(|shard| {
                let random = Random::new(options.seed, 1 + shard as u64);
                Lanes::new(
                    &data,
                    &options.network,
                    (options.chunk, options.variety),
                    rows,
                    random,
                )
            })
            .collect();
        Ok(Self {
            options,
            compute,
            data,
            adam: Adam::new(weights),
            lanes,
        })
    }

    /// Goes on from a state.
    pub fn resume(options: FitOptions, data: FitData, compute: Compute, state: FitState) -> Self {
        let lanes = state
            .lanes
            .into_iter()
            .map(|held| {
                Lanes::resume(
                    &data,
                    &options.network,
                    (options.chunk, options.variety),
                    held,
                )
            })
            .collect();
        Self {
            options,
            compute,
            data,
            adam: state.adam,
            lanes,
        }
    }

    /// What to keep in order to go on later.
    pub fn state(&self) -> FitState {
        FitState {
            adam: self.adam.clone(),
            lanes: self
                .lanes
                .iter()
                .map(|lanes| lanes.held().clone())
                .collect(),
        }
    }

    /// Steps taken.
    pub fn steps(&self) -> u64 {
        self.adam.steps()
    }

    /// Takes one step and gives the loss; `progress` in 0..1 lowers the rate towards the end.
    pub fn step(&mut self, progress: f32) -> f64 {
        let (options, data, weights) = (&self.options, &self.data, &self.adam.weights);
        let compute = &self.compute;
        let work = |lanes: &mut Lanes| shard(compute, lanes, data, &options.network, weights);
        let parts: Vec<(f64, f64, Vec<f32>)> = thread::scope(|scope| {
            let workers: Vec<_> = self
                .lanes
                .iter_mut()
                .map(|lanes| scope.spawn(move || work(lanes)))
                .collect();
            workers
                .into_iter()
                .map(|worker| {
                    worker
                        .join()
                        .unwrap_or_else(|cause| std::panic::resume_unwind(cause))
                })
                .collect()
        });
        let total = parts
            .iter()
            .map(|(_, weight, _)| weight)
            .sum::<f64>()
            .max(1e-12);
        let mut gradient = vec![0.0_f32; weights.len()];
        for (_, _, part) in &parts {
            for (sum, slope) in gradient.iter_mut().zip(part) {
                *sum += slope / total as f32;
            }
        }
        let pace = self.pace(progress);
        self.adam.step(&gradient, pace);
        parts.iter().map(|(loss, _, _)| loss).sum::<f64>() / total
    }

    /// The averaged weights as a network.
    ///
    /// # Errors
    /// [`NetworkError`] if the fit has diverged.
    pub fn network(&self) -> Result<Network, NetworkError> {
        Network::new(self.options.network.clone(), self.adam.averaged.clone())
    }

    fn pace(&self, progress: f32) -> Pace {
        let rising = ((self.adam.steps() + 1) as f32 / self.options.warm_up.max(1) as f32).min(1.0);
        let falling = 0.5 * (1.0 + (std::f32::consts::PI * progress.clamp(0.0, 1.0)).cos());
        Pace {
            rate: self.options.rate * rising * (0.02 + 0.98 * falling),
            decay: self.options.decay,
            average_over: self.options.average_over,
        }
    }
}

/// One worker's part of a step: loss, total weight and gradient.
fn shard(
    compute: &Compute,
    lanes: &mut Lanes,
    data: &FitData,
    size: &NetworkSize,
    weights: &[f32],
) -> (f64, f64, Vec<f32>) {
    let chunk = lanes.next(data);
    let weight = chunk.weights.iter().map(|&weight| f64::from(weight)).sum();
    let ChunkGradient {
        loss,
        gradient,
        state,
    } = compute.gradient(size, weights, &chunk);
    lanes.carry(data, state);
    (loss, weight, gradient)
}
