//! The durable log of the allocator's decisions.
