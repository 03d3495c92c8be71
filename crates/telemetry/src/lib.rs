//! Telemetry receivers: reports become observations, checked once and refused with reasons.

mod refusals;
mod report;

pub use refusals::Refusals;
pub use report::{Batch, IntakeLimits, batch_from_report};
