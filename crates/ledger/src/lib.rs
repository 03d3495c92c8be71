//! The durable log of the allocator's decisions.
//!
//! A data folder holds one `SQLite` file in WAL mode. Decisions are appended in blocks, one
//! transaction each, so that all that was decided together becomes durable together (group commit).
//! A snapshot is a short list of events that rebuilds the state; it replaces all blocks before it.
//! Beside the events there is room for small named documents, such as configuration versions.
//!
//! [`PlanLog`] and [`AuditLog`] keep, each in a file of its own, why each pool had the size it had and
//! who changed what.
//!
//! One process at a time owns the folder. A file that is not a ledger, is damaged or was written by
//! a later release is refused and left as it is. After an error of the disk nothing more is taken:
//! what was not acknowledged may be lost, what was is there on the next opening.

mod audit;
mod codec;
mod error;
mod file;
mod lock;
mod plans;
mod record;
mod store;

pub use audit::{AuditLog, AuditQuery, AuditRecord};
pub use error::LedgerError;
pub use plans::{PlanAndNext, PlanBasis, PlanLog, PlanRecord};
pub use store::{Durability, Ledger};
