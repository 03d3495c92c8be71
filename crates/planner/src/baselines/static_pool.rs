//! A constant pool.

use foreshadow_types::Timestamp;

use crate::{Arrival, Inventory, Outcome, TargetPolicy};

/// The same target at every tick: what most pools are run with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StaticPool {
    size: u32,
}

impl StaticPool {
    /// A pool of `size` instances.
    pub fn new(size: u32) -> Self {
        Self { size }
    }
}

impl TargetPolicy for StaticPool {
    fn observe(&mut self, _: &Arrival, _: Outcome) {}

    fn observe_merged(&mut self, _: &Arrival, _: Outcome) {}

    fn target(&mut self, _: Timestamp, _: &Inventory) -> u32 {
        self.size
    }
}
