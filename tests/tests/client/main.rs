//! The Rust client against the real server: leases, waiting, outages, callers that are known, and what
//! is known of users.

#![expect(
    clippy::disallowed_methods,
    reason = "these tests wait for real processes"
)]

mod guarded;
mod knowledge;
mod leases;
mod outages;
mod proxy;
mod support;
mod waiting;
