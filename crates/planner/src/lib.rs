//! From forecasts and inventory to a plan with reasons.

mod policy;

pub use policy::{Arrival, Inventory, Outcome, TargetPolicy};
