//! The `SQLite` file of a data folder.

mod file;
mod lock;
mod upgrade;

use std::{
    fs,
    path::{Path, PathBuf},
};

use rusqlite::{Connection, OptionalExtension, params};

pub(crate) use file::refused;
use file::{check_ours, check_readable, prepare};
use lock::FolderLock;
use upgrade::upgrade;

use crate::{
    Durability, LedgerError, Place,
    block::Block,
    codec::FORMAT,
    store::{End, Store},
};

/// A ledger in a file, and the lock on its folder.
#[derive(Debug)]
pub(crate) struct Embedded {
    connection: Connection,
    path: PathBuf,
    durability: Durability,
    _lock: FolderLock,
}

impl Embedded {
    pub(crate) fn open(folder: &Path, durability: Durability) -> Result<Self, LedgerError> {
        fs::create_dir_all(folder).map_err(|source| LedgerError::Io {
            path: folder.to_owned(),
            source,
        })?;
        let lock = FolderLock::take(folder)?;
        let path = folder.join("ledger.sqlite");
        check_readable(&path)?;
        let mut connection = Connection::open(&path).map_err(|error| refused(&path, error))?;
        let format = check_ours(&connection, &path)?;
        if let Some(former) = format.filter(|&format| format != FORMAT) {
            upgrade(&mut connection, former, &path)?;
        }
        prepare(&connection, durability).map_err(|error| refused(&path, error))?;
        Ok(Self {
            connection,
            path,
            durability,
            _lock: lock,
        })
    }

    fn read<T>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, LedgerError> {
        read(&self.connection).map_err(|error| refused(&self.path, error))
    }

    fn write(
        &self,
        change: impl FnOnce(&Connection) -> rusqlite::Result<()>,
    ) -> Result<(), LedgerError> {
        change(&self.connection).map_err(|source| LedgerError::Write {
            path: self.path.clone(),
            source,
        })
    }
}

impl Store for Embedded {
    fn place(&self) -> Place {
        Place::File(self.path.clone())
    }

    fn durability(&self) -> Durability {
        self.durability
    }

    fn end(&self) -> Result<End, LedgerError> {
        let sql = "SELECT coalesce(max(number), 0), \
                   coalesce(sum(CASE WHEN snapshot THEN 0 ELSE count END), 0) FROM blocks";
        self.read(|connection| {
            connection.query_row(sql, [], |row| {
                Ok(End {
                    last: row.get(0)?,
                    tail_events: row.get::<_, i64>(1)? as u64,
                })
            })
        })
    }

    fn append(&mut self, block: Block) -> Result<(), LedgerError> {
        self.write(|connection| insert(connection, &block))
    }

    fn replace(&mut self, first: i64, blocks: Vec<Block>) -> Result<(), LedgerError> {
        self.write(|connection| {
            let transaction = connection.unchecked_transaction()?;
            for block in &blocks {
                insert(connection, block)?;
            }
            connection.execute("DELETE FROM blocks WHERE number < ?1", [first])?;
            transaction.commit()
        })
    }

    fn blocks(&self) -> Result<Vec<Block>, LedgerError> {
        let sql = "SELECT number, snapshot, count, checksum, body FROM blocks ORDER BY number";
        self.read(|connection| {
            let mut statement = connection.prepare(sql)?;
            let rows = statement.query_map([], found)?;
            rows.collect()
        })
    }

    fn put_document(&mut self, name: &str, body: &[u8]) -> Result<(), LedgerError> {
        self.write(|connection| {
            connection.execute(
                "INSERT OR REPLACE INTO documents (name, body) VALUES (?1, ?2)",
                params![name, body],
            )?;
            Ok(())
        })
    }

    fn remove_document(&mut self, name: &str) -> Result<(), LedgerError> {
        self.write(|connection| {
            connection.execute("DELETE FROM documents WHERE name = ?1", [name])?;
            Ok(())
        })
    }

    fn document(&self, name: &str) -> Result<Option<Vec<u8>>, LedgerError> {
        let sql = "SELECT body FROM documents WHERE name = ?1";
        self.read(|connection| {
            let found = connection.query_row(sql, [name], |row| row.get(0));
            found.optional()
        })
    }

    fn documents(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, LedgerError> {
        let sql = "SELECT name, body FROM documents ORDER BY name";
        let mut documents: Vec<(String, Vec<u8>)> = self.read(|connection| {
            let mut statement = connection.prepare(sql)?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect()
        })?;
        documents.retain(|(name, _)| name.starts_with(prefix));
        Ok(documents)
    }

    fn compact(&mut self) -> Result<(), LedgerError> {
        self.write(|connection| {
            connection.execute_batch("VACUUM; PRAGMA wal_checkpoint(TRUNCATE);")
        })
    }
}

fn insert(connection: &Connection, block: &Block) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO blocks (number, snapshot, count, checksum, body)
             VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![
            block.number,
            block.snapshot,
            block.count,
            block.checksum,
            block.body
        ])?;
    Ok(())
}

fn found(row: &rusqlite::Row<'_>) -> rusqlite::Result<Block> {
    Ok(Block {
        number: row.get(0)?,
        snapshot: row.get(1)?,
        count: row.get::<_, i64>(2)?.clamp(0, u32::MAX.into()) as u32,
        checksum: row.get(3)?,
        body: row.get(4)?,
    })
}

#[cfg(test)]
mod tests {
    use foreshadow_allocator::{Event, EventKind};
    use foreshadow_types::{PoolName, Timestamp};

    use super::*;
    use crate::Ledger;

    #[test]
    fn a_full_disk_stops_acknowledgements_and_keeps_what_was_acknowledged() {
        let folder = tempfile::tempdir().unwrap();
        let store = Embedded::open(folder.path(), Durability::Fsync).unwrap();
        let small = store.connection.pragma_update(None, "max_page_count", 40);
        small.unwrap();
        let mut ledger = Ledger::of(Box::new(store)).unwrap();
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
