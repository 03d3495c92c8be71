//! Three replicas on one machine with one `PostgreSQL`: any of them answers any call, and goes on when
//! others do not.

mod calls;
mod faults;
mod guarded;
mod load;
#[path = "../../../crates/ledger/tests/support/postgres.rs"]
mod postgres;
mod replicas;
mod trial;
#[path = "../support/worker.rs"]
mod worker;
