//! The LSTM: features, definition in burn, training step and batched inference.

mod arch;
mod average;
mod bare;
mod block;
#[cfg(any(test, feature = "gpu"))]
mod card;
mod cell;
mod chunk;
mod clock;
mod device;
mod extremes;
mod features;
mod fit;
mod forecaster;
mod gradient;
#[cfg(any(test, feature = "gpu"))]
mod graph;
mod head;
mod kernel;
mod lanes;
mod live;
mod matmul;
mod memory;
mod network;
mod outlook;
mod packed;
#[cfg(test)]
mod parity;
mod pointwise;
mod random;
mod served;
mod spread;
mod tensors;

pub use bare::Features;
pub use device::{Compute, DeviceChoice, DeviceError};
pub use fit::{ChunkSize, Fit, FitData, FitOptions, FitState, Variety};
pub use forecaster::{LONGEST_HORIZON, LstmForecaster};
pub use kernel::{Network, NetworkError};
pub use live::{LiveBatch, Slot};
pub use network::NetworkSize;
pub use random::Random;
pub use tensors::WeightsError;
