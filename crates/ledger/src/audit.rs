//! Who changed what: every call that changed how the service works, kept for a long while.
//!
//! A file of its own beside the ledger, written through to the disk before the change is answered.

use std::{path::Path, path::PathBuf, time::Duration};

use foreshadow_types::Timestamp;
use rusqlite::{Connection, Row, params};

use crate::{LedgerError, embedded::refused, versioned::migrate};

/// The longest request that is written down, in bytes.
const LONGEST: usize = 16 << 10;

/// The table, and what later releases made of it; a step that was released stays as it is.
const STEPS: &[&str] = &["CREATE TABLE IF NOT EXISTS audit (
         id INTEGER PRIMARY KEY AUTOINCREMENT,
         at INTEGER NOT NULL,
         who TEXT NOT NULL,
         role TEXT NOT NULL,
         peer TEXT NOT NULL,
         action TEXT NOT NULL,
         request TEXT NOT NULL,
         refusal TEXT NOT NULL
     );"];

/// A change and whoever made it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AuditRecord {
    /// Its number, which rises by one; given when it is written down.
    pub id: i64,
    /// When it was made.
    pub at: Timestamp,
    /// Who made it.
    pub who: String,
    /// In which role.
    pub role: String,
    /// From which address.
    pub peer: String,
    /// What was called.
    pub action: String,
    /// With which request, as JSON; cut if it is very long.
    pub request: String,
    /// What came of it: empty if it was done, else why it was refused.
    pub refusal: String,
}

/// Which changes to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditQuery {
    /// Only those with a lower number.
    pub before: Option<i64>,
    /// Only by this caller.
    pub who: Option<String>,
    /// Only of this kind.
    pub action: Option<String>,
    /// At most so many.
    pub limit: usize,
}

/// The log of changes. It is owned by one thread.
#[derive(Debug)]
pub struct AuditLog {
    connection: Connection,
    path: PathBuf,
}

impl AuditLog {
    /// Opens the log of a data folder, which is made if it is not there.
    ///
    /// # Errors
    /// [`LedgerError`] if the file cannot be used.
    pub fn open(folder: &Path) -> Result<Self, LedgerError> {
        std::fs::create_dir_all(folder).map_err(|source| LedgerError::Io {
            path: folder.to_owned(),
            source,
        })?;
        let path = folder.join("audit.sqlite");
        let open = || -> rusqlite::Result<Connection> {
            let connection = Connection::open(&path)?;
            connection.pragma_update(None, "journal_mode", "WAL")?;
            connection.pragma_update(None, "synchronous", "FULL")?;
            // What is struck is not to be read from what a row left behind.
            connection.pragma_update(None, "secure_delete", "ON")?;
            Ok(connection)
        };
        let mut connection = open().map_err(|error| refused(&path, error))?;
        migrate(&mut connection, &path, STEPS)?;
        Ok(Self { connection, path })
    }

    /// Writes a change down; its number is given here.
    ///
    /// # Errors
    /// [`LedgerError::Write`] if the disk does not take it.
    pub fn append(&mut self, record: &AuditRecord) -> Result<(), LedgerError> {
        let sql = "INSERT INTO audit (at, who, role, peer, action, request, refusal)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        let written = self.connection.execute(
            sql,
            params![
                record.at.as_millis(),
                record.who,
                record.role,
                record.peer,
                record.action,
                cut(&record.request),
                record.refusal,
            ],
        );
        written
            .map(|_| ())
            .map_err(|error| refused(&self.path, error))
    }

    /// The latest changes that a query asks for, the latest first.
    ///
    /// # Errors
    /// [`LedgerError`] if the file cannot be read.
    pub fn list(&self, query: &AuditQuery) -> Result<Vec<AuditRecord>, LedgerError> {
        let sql = "SELECT id, at, who, role, peer, action, request, refusal FROM audit
                   WHERE id < ?1 AND (?2 IS NULL OR who = ?2) AND (?3 IS NULL OR action = ?3)
                   ORDER BY id DESC LIMIT ?4";
        let listed = || -> rusqlite::Result<Vec<AuditRecord>> {
            let before = query.before.unwrap_or(i64::MAX);
            let limit = i64::try_from(query.limit).unwrap_or(i64::MAX);
            self.connection
                .prepare_cached(sql)?
                .query_map(params![before, query.who, query.action, limit], read)?
                .collect()
        };
        listed().map_err(|error| refused(&self.path, error))
    }

    /// Forgets what is older than `age`.
    ///
    /// # Errors
    /// [`LedgerError`] if the file cannot be written.
    pub fn prune(&mut self, now: Timestamp, age: Duration) -> Result<(), LedgerError> {
        let before = (now - age).as_millis();
        let sql = "DELETE FROM audit WHERE at < ?1";
        let pruned = self.connection.execute(sql, [before]);
        pruned
            .map(|_| ())
            .map_err(|error| refused(&self.path, error))
    }

    /// Strikes a name from all requests and refusals, where it stands as a word by itself.
    ///
    /// # Errors
    /// [`LedgerError`] if the file cannot be written.
    pub fn strike(&mut self, name: &str) -> Result<(), LedgerError> {
        let quoted = serde_json::Value::from(name).to_string();
        let names = [name, quoted.trim_matches('"')];
        let struck = struck(&mut self.connection, names);
        struck.map_err(|error| refused(&self.path, error))
    }
}

fn struck(connection: &mut Connection, names: [&str; 2]) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    let named: Vec<(i64, String, String)> = transaction
        .prepare(
            "SELECT id, request, refusal FROM audit
             WHERE instr(request, ?1) OR instr(request, ?2) OR instr(refusal, ?1)",
        )?
        .query_map(names, |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<Result<_, _>>()?;
    for (id, request, refusal) in named {
        let without = |text: &str| {
            names
                .iter()
                .fold(text.to_owned(), |text, name| strike_word(&text, name))
        };
        transaction.execute(
            "UPDATE audit SET request = ?2, refusal = ?3 WHERE id = ?1",
            params![id, without(&request), without(&refusal)],
        )?;
    }
    transaction.commit()?;
    connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE);")
}

/// A text without a word: where letters, digits, `-`, `_` or `.` go on beside it, it is another.
fn strike_word(text: &str, word: &str) -> String {
    let goes_on = |c: char| c.is_alphanumeric() || "-_.".contains(c);
    let mut struck = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(word).filter(|_| !word.is_empty()) {
        let (before, from) = rest.split_at(at);
        let after = &from[word.len()..];
        struck.push_str(before);
        let part = struck.ends_with(goes_on) || after.starts_with(goes_on);
        struck.push_str(if part { word } else { "deleted" });
        rest = after;
    }
    struck + rest
}

fn read(row: &Row<'_>) -> rusqlite::Result<AuditRecord> {
    Ok(AuditRecord {
        id: row.get(0)?,
        at: Timestamp::from_millis(row.get(1)?),
        who: row.get(2)?,
        role: row.get(3)?,
        peer: row.get(4)?,
        action: row.get(5)?,
        request: row.get(6)?,
        refusal: row.get(7)?,
    })
}

/// At most so much of a text, ending at a character.
fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(LONGEST)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(second: i64, who: &str, action: &str) -> AuditRecord {
        AuditRecord {
            at: Timestamp::from_millis(second * 1_000),
            who: who.to_owned(),
            action: action.to_owned(),
            request: r#"{"user_id":"ada","reason":"of \"ada\""}"#.to_owned(),
            ..AuditRecord::default()
        }
    }

    fn filled(folder: &Path) -> AuditLog {
        let mut log = AuditLog::open(folder).unwrap();
        for (second, who, action) in [
            (10, "eve", "SetOverride"),
            (20, "bob", "DrainPool"),
            (30, "eve", "DrainPool"),
        ] {
            log.append(&record(second, who, action)).unwrap();
        }
        log
    }

    fn found(log: &AuditLog, query: &AuditQuery) -> Vec<i64> {
        let listed = log.list(query).unwrap();
        listed.iter().map(|record| record.id).collect()
    }

    #[test]
    fn changes_are_listed_from_the_latest_by_page_caller_and_kind() {
        let folder = tempfile::tempdir().unwrap();
        drop(filled(folder.path()));
        let log = AuditLog::open(folder.path()).unwrap();
        let all = AuditQuery {
            limit: 10,
            ..AuditQuery::default()
        };
        assert_eq!(found(&log, &all), [3, 2, 1]);
        let page = |before| AuditQuery {
            before,
            limit: 2,
            ..AuditQuery::default()
        };
        assert_eq!(found(&log, &page(None)), [3, 2]);
        assert_eq!(found(&log, &page(Some(2))), [1]);
        let eve = AuditQuery {
            who: Some("eve".to_owned()),
            ..all.clone()
        };
        assert_eq!(found(&log, &eve), [3, 1]);
        let drains = AuditQuery {
            action: Some("DrainPool".to_owned()),
            ..eve
        };
        assert_eq!(found(&log, &drains), [3]);
    }

    #[test]
    fn old_changes_are_forgotten_and_numbers_are_not_given_twice() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = filled(folder.path());
        let now = Timestamp::from_millis(40_000);
        log.prune(now, Duration::from_secs(5)).unwrap();
        log.append(&record(40, "eve", "DrainPool")).unwrap();
        let all = AuditQuery {
            limit: 10,
            ..AuditQuery::default()
        };
        assert_eq!(found(&log, &all), [4]);
    }

    #[test]
    fn a_name_is_struck_and_a_long_request_is_cut() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = filled(folder.path());
        log.append(&AuditRecord {
            request: "é".repeat(LONGEST),
            ..AuditRecord::default()
        })
        .unwrap();
        log.strike("ada").unwrap();
        let listed = log.list(&AuditQuery {
            limit: 2,
            ..AuditQuery::default()
        });
        let listed = listed.unwrap();
        assert_eq!(listed[0].request.len(), LONGEST);
        let expected = r#"{"user_id":"deleted","reason":"of \"deleted\""}"#;
        assert_eq!(listed[1].request, expected);
    }

    #[test]
    fn a_word_is_struck_and_no_part_of_another() {
        for (text, expected) in [
            (
                "no override `notebook/ada`",
                "no override `notebook/deleted`",
            ),
            ("ada", "deleted"),
            ("adam and ada-1", "adam and ada-1"),
            ("armada, ada", "armada, deleted"),
        ] {
            assert_eq!(strike_word(text, "ada"), expected);
        }
        assert_eq!(strike_word("é", ""), "é");
    }
}
