//! Three replicas on one machine with one `PostgreSQL`: any of them answers any call, and goes on when
//! others do not.

#![expect(
    clippy::disallowed_methods,
    reason = "these tests wait for real processes"
)]

mod broken;
mod calls;
#[path = "../support/collector.rs"]
mod collector;
mod elsewhere;
mod faults;
mod gaps;
mod guarded;
mod load;
mod once;
#[expect(clippy::unwrap_used, reason = "it is shared with tests that unwrap")]
#[path = "../../../crates/ledger/tests/support/postgres.rs"]
mod postgres;
mod promises;
#[path = "../support/provider.rs"]
mod provider;
mod proxy;
mod quick_start;
mod replicas;
mod streams;
mod traced;
mod training;
mod trial;
#[path = "../support/worker.rs"]
mod worker;
