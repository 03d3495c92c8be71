//! Which replica owns which shard, agreed on in `PostgreSQL`.
//!
//! Each shard has a row with an epoch, an owner and a time until which the owner has it, by the
//! database's clock. A replica renews what it owns, claims what nobody has while it has less than
//! its share, and gives one back when it has more. Each claim raises the epoch, under which the
//! shard's ledger takes writes: whoever lost a shard without noticing can write nothing to it.
//!
//! Training is a matter of turns of the same kind, [`TrainingTurns`]: one goes on at a time.
//!
//! [`ownership`] decides and [`Membership`] asks the database; running what is owned is up to the
//! caller.

mod error;
mod link;
mod membership;
pub mod ownership;
mod training;

pub use error::ClusterError;
pub use foreshadow_ledger::LedgerError;
pub use membership::{Membership, Observed};
pub use training::{TrainingTurn, TrainingTurns};
