//! The ledger, wherever it lies.

use std::path::Path;

use foreshadow_allocator::Event;

use crate::{
    Durability, LedgerError,
    block::{self, Block},
    embedded::Embedded,
    store::Store,
};

/// The durable log. It is owned by one thread; see the crate's documentation.
#[derive(Debug)]
pub struct Ledger {
    store: Box<dyn Store>,
    next_block: i64,
    tail_events: u64,
    stopped: bool,
}

impl Ledger {
    /// Opens the ledger of a data folder, which is made if it is not there.
    ///
    /// # Errors
    /// [`LedgerError`] if another process owns it, or the file is foreign, damaged or too new.
    pub fn open(folder: &Path, durability: Durability) -> Result<Self, LedgerError> {
        Self::of(Box::new(Embedded::open(folder, durability)?))
    }

    /// Opens a shard of a ledger that several servers share. It is for an owner that has just claimed
    /// the shard: one epoch, one opening.
    ///
    /// # Errors
    /// [`LedgerError::Fenced`] if the shard is not owned under this epoch;
    /// [`LedgerError::Unreachable`] if the server is not there for as long as the shard's patience;
    /// other [`LedgerError`]s if its tables are not there, or of another release.
    #[cfg(feature = "postgres")]
    pub fn open_shared(shard: crate::SharedShard) -> Result<Self, LedgerError> {
        Self::of(Box::new(crate::shared::Shared::open(shard)?))
    }

    pub(crate) fn of(store: Box<dyn Store>) -> Result<Self, LedgerError> {
        let end = store.end()?;
        Ok(Self {
            store,
            next_block: end.last + 1,
            tail_events: end.tail_events,
            stopped: false,
        })
    }

    /// What an append survives.
    pub fn durability(&self) -> Durability {
        self.store.durability()
    }

    /// Events since the last snapshot: when there are many, it is time for another.
    pub fn tail_events(&self) -> u64 {
        self.tail_events
    }

    /// Makes events durable, all or none, in one transaction.
    ///
    /// # Errors
    /// [`LedgerError`] if they cannot be made durable, or the shard has passed on
    /// ([`LedgerError::Fenced`]). None of them may be acknowledged, and the ledger takes nothing more.
    pub fn append(&mut self, events: &[Event]) -> Result<(), LedgerError> {
        if events.is_empty() {
            return Ok(());
        }
        let number = self.next_block;
        self.write(|store| store.append(Block::of(number, events)?))?;
        self.next_block += 1;
        self.tail_events += events.len() as u64;
        Ok(())
    }

    /// Replaces all events so far by a list that rebuilds the same state.
    ///
    /// # Errors
    /// As [`Self::append`]; the events so far then stay.
    pub fn snapshot(&mut self, events: &[Event]) -> Result<(), LedgerError> {
        let first = self.next_block;
        let mut next = first;
        self.write(|store| {
            let blocks = Block::of_snapshot(first, events)?;
            next += blocks.len() as i64;
            store.replace(first, blocks)
        })?;
        self.next_block = next;
        self.tail_events = 0;
        Ok(())
    }

    /// Leaves nothing on disk of what was removed or replaced: takes up to seconds, and as much room
    /// again as the ledger. A shared server is asked to reclaim it, which stops nobody; it does so by
    /// itself later where it cannot now. Its archives and copies are its operator's.
    ///
    /// # Errors
    /// [`LedgerError`] if there is no room; nothing has changed then, and the ledger goes on.
    pub fn compact(&mut self) -> Result<(), LedgerError> {
        self.refuse_if_stopped()?;
        self.store.compact()
    }

    /// All events, in order: the last snapshot and what came after. Blocks are read in order and
    /// decoded on all cores.
    ///
    /// # Errors
    /// [`LedgerError::Damaged`] at the first block that is missing or not as it was written;
    /// [`LedgerError::Fenced`] if the shard has passed on.
    pub fn events(&self) -> Result<Vec<Event>, LedgerError> {
        block::events(self.store.blocks()?).map_err(|what| LedgerError::Damaged {
            place: self.store.place(),
            what,
        })
    }

    /// Keeps a small document under a name, in the place of an earlier one.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub fn put_document(&mut self, name: &str, body: &[u8]) -> Result<(), LedgerError> {
        self.write(|store| store.put_document(name, body))
    }

    /// Forgets a document.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub fn remove_document(&mut self, name: &str) -> Result<(), LedgerError> {
        self.write(|store| store.remove_document(name))
    }

    /// The document of this name.
    ///
    /// # Errors
    /// [`LedgerError`] if it cannot be read.
    pub fn document(&self, name: &str) -> Result<Option<Vec<u8>>, LedgerError> {
        self.store.document(name)
    }

    /// All documents whose names start so, in order of their names.
    ///
    /// # Errors
    /// [`LedgerError`] if they cannot be read.
    pub fn documents(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, LedgerError> {
        self.store.documents(prefix)
    }

    /// Writes, or stops for good.
    fn write(
        &mut self,
        change: impl FnOnce(&mut dyn Store) -> Result<(), LedgerError>,
    ) -> Result<(), LedgerError> {
        self.refuse_if_stopped()?;
        let written = change(self.store.as_mut());
        self.stopped = written.is_err();
        written
    }

    fn refuse_if_stopped(&self) -> Result<(), LedgerError> {
        if self.stopped {
            return Err(LedgerError::Stopped {
                place: self.store.place(),
            });
        }
        Ok(())
    }
}
