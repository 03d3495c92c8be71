//! The Rust client of Foreshadow, predictive warm pools.
//!
//! ```no_run
//! use foreshadow_client::{Claim, Client};
//!
//! # async fn work(address: &str, token: u64) {}
//! #[tokio::main]
//! async fn main() -> Result<(), foreshadow_client::Error> {
//!     let client = Client::builder("127.0.0.1:7070").connect().await?;
//!     // Waits until an instance is granted, and renews the lease in the background.
//!     let lease = client.lease(Claim::pool("notebook").user("ada")).await?;
//!     // Work that ends at once if the instance is lost.
//!     lease.while_held(work(lease.address(), lease.fencing_token())).await?;
//!     lease.release().await
//! }
//! ```
//!
//! | | |
//! |---|---|
//! | [`Client::lease`], [`Client::claim`] | an instance of a pool, or of any that meets [`Requirements`]; one that is not ready is waited for ([`Waiting`]) or taken back |
//! | [`Lease`] | renewed by itself, tells of its loss, given back when it is dropped |
//! | [`Client::allocate`], [`renew`](Client::renew), [`release`](Client::release), [`cancel`](Client::cancel), [`watch`](Client::watch), [`check_token`](Client::check_token), [`allocations`](Client::allocations) | the same step by step |
//! | [`Client::predict`], [`Client::shadow`] | forecasts and live profiles |
//! | [`Client::report`], [`Client::report_stream`] | measurements, no faster than the server takes them |
//! | [`Client::transport`] | the connection, for what is not wrapped: the generated clients in [`v1`], with the times and durations of [`well_known`] and the requests of [`tonic`] |
//! | [`Client::close`] | waits for what is given back in the background |
//!
//! # When a call fails
//!
//! Each [`Error`] says what failed, where, and how to mend it. Three kinds may pass by themselves
//! ([`Error::may_pass`]); a call that meets one of them is made again for
//! [`retry_for`](ClientBuilder::retry_for), and its caller is told when that time is over:
//!
//! | | what it means | what to do |
//! |---|---|---|
//! | [`Error::Unavailable`] | the server cannot be reached, or is starting or ending | see that it runs; call again later |
//! | [`Error::Timeout`] | there was no answer within [`call_timeout`](ClientBuilder::call_timeout); it may have been done all the same | call again, a claim with the same [`idempotency_key`](Claim::idempotency_key) |
//! | [`Error::Exhausted`] | the server answers that it has no room, or is asked too often; nothing was done | call again after [`retry_after`](Error::retry_after) |
//!
//! Every other error is told at once, for the same call would fail again: it names what is to be changed,
//! or what has ended. So are all errors of measurements, which are never sent twice, and
//! [`Error::Exhausted`] for a claim that [may not wait](Claim::warm_only).
//!
//! A claim keeps its idempotency key while it is made again, so that it gives one allocation however
//! often it had to be made.
//!
//! Clients live in a tokio runtime; leases are kept by tasks in it.

mod address;
mod allocation;
mod builder;
mod call;
mod chance;
mod claim;
mod claiming;
mod client;
mod clock;
mod connect;
mod credentials;
mod details;
mod entity;
mod error;
mod forecast;
mod keeper;
mod lease;
mod list;
mod lost;
mod renewal;
mod requirements;
mod retry;
mod server_time;
mod shadow;
mod steps;
mod telemetry;
mod time;
mod tls;
mod waiting;
mod watch;

pub use allocation::{Allocation, State};
pub use builder::ClientBuilder;
pub use claim::Claim;
pub use client::{Client, Transport};
pub use credentials::Credentials;
pub use entity::Entity;
pub use error::{Error, Failure};
pub use forecast::{Forecast, Predict};
pub use foreshadow_api::{v1, well_known};
pub use lease::Lease;
pub use list::Filter;
pub use lost::Lost;
pub use requirements::Requirements;
pub use telemetry::{Reported, Sample};
pub use tonic::{self, Code};
pub use waiting::{Claimed, Waiting};

#[cfg(doctest)]
#[doc = include_str!("../../../docs/clients.md")]
struct Book;
