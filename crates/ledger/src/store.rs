//! What a place must do to hold a ledger.

use std::fmt::Debug;

use crate::{LedgerError, Place, block::Block};

/// What a write survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// The machine: each append waits until the disk has it.
    Fsync,
    /// The process, but not the machine: an append waits for the operating system only. After a
    /// power failure the last moments may be missing; the file stays whole.
    Memory,
}

/// Where a ledger ends.
pub(crate) struct End {
    /// The number of its last block, zero if there is none.
    pub(crate) last: i64,
    /// Events since the last snapshot.
    pub(crate) tail_events: u64,
}

/// A place that holds a ledger's blocks and documents. Each change is made whole or not at all.
pub(crate) trait Store: Debug + Send {
    fn place(&self) -> Place;

    fn durability(&self) -> Durability;

    fn end(&self) -> Result<End, LedgerError>;

    fn append(&mut self, block: Block) -> Result<(), LedgerError>;

    /// Adds the blocks of a snapshot, at least one, the first with this number, and removes all before.
    fn replace(&mut self, first: i64, blocks: Vec<Block>) -> Result<(), LedgerError>;

    /// All blocks, in order of their numbers.
    fn blocks(&self) -> Result<Vec<Block>, LedgerError>;

    fn put_document(&mut self, name: &str, body: &[u8]) -> Result<(), LedgerError>;

    fn remove_document(&mut self, name: &str) -> Result<(), LedgerError>;

    fn document(&self, name: &str) -> Result<Option<Vec<u8>>, LedgerError>;

    /// Documents whose names start so, in order of their names' bytes.
    fn documents(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, LedgerError>;

    fn compact(&mut self) -> Result<(), LedgerError>;
}
