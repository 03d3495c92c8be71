//! Pools, instances, leases, merging and the queue as one synchronous state machine.
//!
//! `Allocator` owns all pools. It reads no clock, does no I/O and draws no lots: a driver tells it
//! what happened and when, and carries out what it decides.
//!
//! ```text
//! let reply = allocator.handle(input, now);               // Result<Reply, AllocatorError>
//! let events = drain(|| allocator.poll_event());          // what was decided
//! ledger.append(&events)?;                                // durable; a failure ends the driver
//! send(reply);                                            // only now
//! for effect in drain(|| allocator.poll_effect()) { … }   // and only now
//! sleep_until(allocator.next_deadline());                 // then allocator.handle_timeout(now)
//! ```
//!
//! Several inputs may be handled before one append (group commit); their replies wait for it, and
//! all events drained together must become durable together. After a restart
//! `Allocator::recover(config, events)` applies the events and decides nothing; the pools are then
//! defined again (the same definition changes nothing), and `resume(now)` finishes what a crash
//! interrupted and gives the effects to be carried out again: start what was starting, stop what
//! was stopping, verify the rest.

mod allocation;
mod allocator;
mod audit;
mod config;
mod decide;
mod effect;
mod error;
mod eta;
mod event;
mod input;
mod invariant;
mod keys;
mod plan;
mod pool;
mod priority;
mod quota;
mod ranked;
mod record;
mod request;
mod startup;
mod state;
mod table;
mod timers;
mod touched;
mod view;

pub use allocation::{Allocation, AllocationState, InstanceRef, ListFilter, Page, Served};
pub use allocator::{Allocator, RecoverError};
pub use config::AllocatorConfig;
pub use effect::Effect;
pub use error::AllocatorError;
pub use event::{Event, EventKind, StopCause};
pub use input::{Input, Reply};
pub use invariant::{Invariant, Violation};
pub use plan::{AdoptedPlan, PoolPlan, Reservation};
pub use pool::{HoldMode, MAX_POOL, MAX_QUEUE, PoolSpec, PoolSpecError, PoolStatus, Recycle};
pub use priority::{MAX_USAGE, PriorityWeights};
pub use quota::{MAX_RATE, MAX_WARM_QUOTAS, QuotaError, RequestRate, TenantQuota, WarmQuota};
pub use record::{AllocationRecord, Binding, Counters, Hold, InstanceRecord, Phase, PoolRecord};
pub use request::{
    AllocationRequest, AllocationRequestBuilder, MAX_KEY_BYTES, MAX_SPAN, RequestError, Target,
};
pub use startup::{Startups, remember as remember_startup};
pub use state::ApplyError;
