//! Pools, instances, leases, merging and the queue as one synchronous state machine.
