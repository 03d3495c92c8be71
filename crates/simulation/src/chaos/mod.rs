//! The allocator under faults: a seeded workload over virtual time drives the real core through a
//! driver, a ledger and a provider that fail in every way known, and a small reference model
//! watches what was promised. One seed gives one history, byte for byte.

mod action;
mod bug;
mod check;
mod driver;
mod faults;
mod model;
mod provider;
mod shapes;
mod warm;
mod world;

pub use bug::Bug;
pub use faults::{Fault, FaultCounts};
pub use world::{Options, Outcome, run};
