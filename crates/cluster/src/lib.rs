//! Which replica owns which shard, agreed on in `PostgreSQL`.
//!
//! Each shard has a row with an epoch, an owner and a time until which the owner has it, by the
//! database's clock. A replica renews what it owns, claims what nobody has while it has less than
//! its share, and gives one back when it has more. Each claim raises the epoch, under which the
//! shard's ledger takes writes: whoever lost a shard without noticing can write nothing to it.
//!
//! [`ownership`] decides and [`Membership`] asks the database; running what is owned is up to the
//! caller.

mod membership;
pub mod ownership;

pub use foreshadow_ledger::LedgerError;
pub use membership::{ClusterError, Membership, Observed};
