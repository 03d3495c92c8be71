//! The durable log of the allocator's decisions.
//!
//! Decisions are appended in blocks, one transaction each, so that all that was decided together
//! becomes durable together (group commit). A snapshot is a short list of events that rebuilds the
//! state; it replaces all blocks before it. Beside the events there is room for small named
//! documents, such as configuration versions.
//!
//! A [`Ledger`] lies in one of two places. A data folder holds one `SQLite` file in WAL mode, which
//! one process at a time owns. With the feature `postgres`, several servers share one `PostgreSQL`:
//! each of its shards is a ledger of its own, owned under an epoch, and every write is checked
//! against the epoch in its own transaction, so that a server whose shard has passed on can write
//! nothing more.
//!
//! [`PlanLog`] and [`AuditLog`] keep, each in a file of its own, why each pool had the size it had and
//! who changed what.
//!
//! A file that an earlier release wrote is brought to the present format when it is opened, all of it or
//! nothing; the tables that servers share are refused unless they are of the present one.
//! What is not a ledger, is damaged or was written by a later release is refused and left as it is.
//! After a write that failed nothing more is taken: what was not acknowledged may be lost, what was
//! is there on the next opening.

mod audit;
mod block;
mod codec;
mod embedded;
mod error;
mod ledger;
mod plans;
mod record;
#[cfg(feature = "postgres")]
mod shared;
mod store;
mod versioned;

pub use audit::{AuditLog, AuditQuery, AuditRecord};
pub use error::{LedgerError, Place};
pub use ledger::Ledger;
pub use plans::{PlanAndNext, PlanBasis, PlanLog, PlanRecord};
#[cfg(feature = "postgres")]
pub use shared::{SharedShard, connect_shared, prepare_shared, prepare_training};
pub use store::Durability;
