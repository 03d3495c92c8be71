//! The file before its contents: whose it is, of which format, and how it is set up.

use std::{fs, path::Path};

use rusqlite::{Connection, ErrorCode};

use crate::{
    Durability, LedgerError,
    codec::{FORMAT, OLDEST},
};

/// The file's mark: `FSHD`.
const APPLICATION_ID: i32 = 0x4653_4844;

/// A file that cannot be read at all is told from one that is not a ledger.
pub(crate) fn check_readable(path: &Path) -> Result<(), LedgerError> {
    match fs::metadata(path) {
        Ok(found) if found.is_file() => Ok(()),
        Ok(_) => Err(LedgerError::Foreign {
            path: path.to_owned(),
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(LedgerError::Io {
            path: path.to_owned(),
            source,
        }),
    }
}

/// Reads the mark and the format before anything is written: the format, or none of a new file.
pub(crate) fn check_ours(connection: &Connection, path: &Path) -> Result<Option<u32>, LedgerError> {
    let read = || -> rusqlite::Result<(i32, u32, i64)> {
        Ok((
            connection.pragma_query_value(None, "application_id", |row| row.get(0))?,
            connection.pragma_query_value(None, "user_version", |row| row.get(0))?,
            connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?,
        ))
    };
    let (mark, format, tables) = read().map_err(|error| refused(path, error))?;
    let new = mark == 0 && tables == 0;
    if !new && mark != APPLICATION_ID {
        return Err(LedgerError::Foreign {
            path: path.to_owned(),
        });
    }
    if format > FORMAT {
        return Err(LedgerError::TooNew {
            place: path.into(),
            found: format,
            known: FORMAT,
        });
    }
    if !new && format < OLDEST {
        return Err(LedgerError::TooOld {
            place: path.into(),
            found: format,
            known: OLDEST,
        });
    }
    Ok((!new).then_some(format))
}

pub(crate) fn prepare(connection: &Connection, durability: Durability) -> rusqlite::Result<()> {
    connection.pragma_update(None, "journal_mode", "WAL")?;
    let synchronous = match durability {
        Durability::Fsync => "FULL",
        Durability::Memory => "NORMAL",
    };
    connection.pragma_update(None, "synchronous", synchronous)?;
    connection.execute_batch(&format!(
        "BEGIN;
         CREATE TABLE IF NOT EXISTS blocks (
             number INTEGER PRIMARY KEY,
             snapshot INTEGER NOT NULL,
             count INTEGER NOT NULL,
             checksum INTEGER NOT NULL,
             body BLOB NOT NULL
         );
         CREATE TABLE IF NOT EXISTS documents (name TEXT PRIMARY KEY, body BLOB NOT NULL);
         PRAGMA application_id = {APPLICATION_ID};
         PRAGMA user_version = {FORMAT};
         COMMIT;"
    ))
}

/// What an error of `SQLite` on reading means to whoever runs the server.
pub(crate) fn refused(path: &Path, error: rusqlite::Error) -> LedgerError {
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => LedgerError::Foreign {
            path: path.to_owned(),
        },
        Some(ErrorCode::DatabaseCorrupt) => LedgerError::Damaged {
            place: path.into(),
            what: error.to_string(),
        },
        _ => LedgerError::Write {
            path: path.to_owned(),
            source: error,
        },
    }
}
