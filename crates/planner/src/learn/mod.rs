//! Learning what each further warm instance is worth.
//!
//! The `k`-th unpromised instance brings a hit each time a request comes while `k − 1` requests lie
//! in the last start-up time, and idles while fewer than `k` do. Boosted trees learn its expected
//! hits per idle tick, given what is known when it must be started: a Poisson regression of hits
//! with idle time as the exposure.

mod boost;
mod codec;
mod grid;
mod grow;
mod model;
mod rows;
mod samples;
mod tree;

pub(crate) use grid::Grid;
pub(crate) use model::ModelOf;
pub use model::{DemandModel, ModelError};
pub(crate) use samples::{Sample, Samples};
pub(crate) use tree::scaled;
