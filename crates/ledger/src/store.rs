//! The `SQLite` file.

use std::{
    fs,
    path::{Path, PathBuf},
};

use foreshadow_allocator::Event;
use rayon::prelude::*;
use rusqlite::{Connection, OptionalExtension, params};

use crate::{
    LedgerError,
    codec::{checksum, decode, encode},
    file::{check_ours, check_readable, prepare, refused},
    lock::FolderLock,
};

/// Events in each block of a snapshot.
const SNAPSHOT_BLOCK: usize = 10_000;

/// What a write survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// The machine: each append waits until the disk has it.
    Fsync,
    /// The process, but not the machine: an append waits for the operating system only. After a
    /// power failure the last moments may be missing; the file stays whole.
    Memory,
}

/// The durable log. It is owned by one thread; see the crate's documentation.
#[derive(Debug)]
pub struct Ledger {
    connection: Connection,
    path: PathBuf,
    durability: Durability,
    next_block: i64,
    tail_events: u64,
    stopped: bool,
    _lock: FolderLock,
}

impl Ledger {
    /// Opens the ledger of a data folder, which is made if it is not there.
    ///
    /// # Errors
    /// [`LedgerError`] if another process owns it, or the file is foreign, damaged or too new.
    pub fn open(folder: &Path, durability: Durability) -> Result<Self, LedgerError> {
        fs::create_dir_all(folder).map_err(|source| LedgerError::Io {
            path: folder.to_owned(),
            source,
        })?;
        let lock = FolderLock::take(folder)?;
        let path = folder.join("ledger.sqlite");
        check_readable(&path)?;
        let connection = Connection::open(&path).map_err(|error| refused(&path, error))?;
        check_ours(&connection, &path)?;
        prepare(&connection, durability).map_err(|error| refused(&path, error))?;
        let mut ledger = Self {
            connection,
            path,
            durability,
            next_block: 1,
            tail_events: 0,
            stopped: false,
            _lock: lock,
        };
        ledger.find_end()?;
        Ok(ledger)
    }

    /// What an append survives.
    pub fn durability(&self) -> Durability {
        self.durability
    }

    /// Events since the last snapshot: when there are many, it is time for another.
    pub fn tail_events(&self) -> u64 {
        self.tail_events
    }

    /// Makes events durable, all or none, in one transaction.
    ///
    /// # Errors
    /// [`LedgerError`] if the disk does not take them. None of them may be acknowledged, and the
    /// ledger takes nothing more.
    pub fn append(&mut self, events: &[Event]) -> Result<(), LedgerError> {
        if events.is_empty() {
            return Ok(());
        }
        let number = self.next_block;
        self.write(|connection| insert_block(connection, number, false, events))?;
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
        let blocks = events.chunks(SNAPSHOT_BLOCK);
        let next = first + blocks.len() as i64;
        self.write(|connection| {
            let transaction = connection.unchecked_transaction()?;
            for (number, block) in (first..).zip(blocks) {
                insert_block(connection, number, true, block)?;
            }
            connection.execute("DELETE FROM blocks WHERE number < ?1", [first])?;
            transaction.commit()
        })?;
        self.next_block = next;
        self.tail_events = 0;
        Ok(())
    }

    /// Leaves nothing on disk of what was removed or replaced: takes up to seconds, and as much room
    /// again as the ledger.
    ///
    /// # Errors
    /// [`LedgerError`] if there is no room; nothing has changed then, and the ledger goes on.
    pub fn compact(&mut self) -> Result<(), LedgerError> {
        self.refuse_if_stopped()?;
        let compacted = self
            .connection
            .execute_batch("VACUUM; PRAGMA wal_checkpoint(TRUNCATE);");
        compacted.map_err(|source| LedgerError::Write {
            path: self.path.clone(),
            source,
        })
    }

    /// All events, in order: the last snapshot and what came after. Blocks are read in order and
    /// decoded on all cores.
    ///
    /// # Errors
    /// [`LedgerError::Damaged`] at the first block that is missing or not as it was written.
    pub fn events(&self) -> Result<Vec<Event>, LedgerError> {
        let blocks = self.blocks()?;
        let decoded: Vec<_> = blocks.into_par_iter().map(Block::decode).collect();
        let mut events = Vec::with_capacity(decoded.iter().flatten().map(Vec::len).sum());
        for block in decoded {
            events.extend(block.map_err(|what| self.damaged(what))?);
        }
        Ok(events)
    }

    fn blocks(&self) -> Result<Vec<Block>, LedgerError> {
        let sql = "SELECT number, snapshot, count, checksum, body FROM blocks ORDER BY number";
        let read = || -> rusqlite::Result<Vec<Block>> {
            let mut statement = self.connection.prepare(sql)?;
            let rows = statement.query_map([], Block::read)?;
            rows.collect()
        };
        let blocks = read().map_err(|error| refused(&self.path, error))?;
        let mut expected = None;
        for block in &blocks {
            let follows = match expected {
                Some(expected) => expected == block.number,
                None => block.snapshot || block.number == 1,
            };
            if !follows {
                return Err(self.damaged(format!("block {} is missing", block.number - 1)));
            }
            expected = Some(block.number + 1);
        }
        Ok(blocks)
    }

    /// Keeps a small document under a name, in the place of an earlier one.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub fn put_document(&mut self, name: &str, body: &[u8]) -> Result<(), LedgerError> {
        self.write(|connection| {
            connection.execute(
                "INSERT OR REPLACE INTO documents (name, body) VALUES (?1, ?2)",
                params![name, body],
            )?;
            Ok(())
        })
    }

    /// Forgets a document.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub fn remove_document(&mut self, name: &str) -> Result<(), LedgerError> {
        self.write(|connection| {
            connection.execute("DELETE FROM documents WHERE name = ?1", [name])?;
            Ok(())
        })
    }

    /// The document of this name.
    ///
    /// # Errors
    /// [`LedgerError`] if the file cannot be read.
    pub fn document(&self, name: &str) -> Result<Option<Vec<u8>>, LedgerError> {
        self.connection
            .query_row(
                "SELECT body FROM documents WHERE name = ?1",
                [name],
                |row| row.get(0),
            )
            .optional()
            .map_err(|error| refused(&self.path, error))
    }

    /// All documents whose names start so, in order of their names.
    ///
    /// # Errors
    /// [`LedgerError`] if the file cannot be read.
    pub fn documents(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, LedgerError> {
        let read = || -> rusqlite::Result<Vec<(String, Vec<u8>)>> {
            let sql = "SELECT name, body FROM documents ORDER BY name";
            let mut statement = self.connection.prepare(sql)?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect()
        };
        let mut documents = read().map_err(|error| refused(&self.path, error))?;
        documents.retain(|(name, _)| name.starts_with(prefix));
        Ok(documents)
    }

    /// Writes, or stops for good.
    fn write(
        &mut self,
        change: impl FnOnce(&Connection) -> rusqlite::Result<()>,
    ) -> Result<(), LedgerError> {
        self.refuse_if_stopped()?;
        change(&self.connection).map_err(|source| {
            self.stopped = true;
            LedgerError::Write {
                path: self.path.clone(),
                source,
            }
        })
    }

    fn refuse_if_stopped(&self) -> Result<(), LedgerError> {
        if self.stopped {
            return Err(LedgerError::Stopped {
                path: self.path.clone(),
            });
        }
        Ok(())
    }

    fn find_end(&mut self) -> Result<(), LedgerError> {
        let sql = "SELECT coalesce(max(number), 0), \
                   coalesce(sum(CASE WHEN snapshot THEN 0 ELSE count END), 0) FROM blocks";
        let (last, tail): (i64, i64) = self
            .connection
            .query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))
            .map_err(|error| refused(&self.path, error))?;
        self.next_block = last + 1;
        self.tail_events = tail as u64;
        Ok(())
    }

    fn damaged(&self, what: String) -> LedgerError {
        LedgerError::Damaged {
            path: self.path.clone(),
            what,
        }
    }
}

fn insert_block(
    connection: &Connection,
    number: i64,
    snapshot: bool,
    events: &[Event],
) -> rusqlite::Result<()> {
    let body =
        encode(events).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
    connection
        .prepare_cached(
            "INSERT INTO blocks (number, snapshot, count, checksum, body)
             VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![
            number,
            snapshot,
            events.len() as i64,
            checksum(&body),
            body
        ])?;
    Ok(())
}

/// A block as it lies in the file.
struct Block {
    number: i64,
    snapshot: bool,
    count: usize,
    checksum: i64,
    body: Vec<u8>,
}

impl Block {
    fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            number: row.get(0)?,
            snapshot: row.get(1)?,
            count: row.get::<_, i64>(2)?.max(0) as usize,
            checksum: row.get(3)?,
            body: row.get(4)?,
        })
    }

    /// Its events, or what is wrong with it.
    fn decode(self) -> Result<Vec<Event>, String> {
        let number = self.number;
        if checksum(&self.body) != self.checksum {
            return Err(format!("block {number}: its checksum is wrong"));
        }
        decode(&self.body, self.count).map_err(|what| format!("block {number}: {what}"))
    }
}

#[cfg(test)]
mod tests {
    use foreshadow_allocator::EventKind;
    use foreshadow_types::{PoolName, Timestamp};

    use super::*;

    #[test]
    fn a_full_disk_stops_acknowledgements_and_keeps_what_was_acknowledged() {
        let folder = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::open(folder.path(), Durability::Fsync).unwrap();
        ledger
            .connection
            .pragma_update(None, "max_page_count", 40)
            .unwrap();
        let kind = EventKind::PoolRetired(PoolName::new(&"x".repeat(200)).unwrap());
        let group = vec![
            Event {
                at: Timestamp::from_millis(1),
                kind
            };
            20
        ];
        let mut acknowledged = 0;
        let refused = loop {
            match ledger.append(&group) {
                Ok(()) => acknowledged += 1,
                Err(error) => break error,
            }
        };
        assert!(matches!(refused, LedgerError::Write { .. }), "{refused}");
        assert!(matches!(
            ledger.append(&group),
            Err(LedgerError::Stopped { .. })
        ));
        assert!(matches!(
            ledger.put_document("a", b"b"),
            Err(LedgerError::Stopped { .. })
        ));
        drop(ledger);
        let ledger = Ledger::open(folder.path(), Durability::Fsync).unwrap();
        assert_eq!(ledger.events().unwrap().len(), acknowledged * group.len());
    }
}
