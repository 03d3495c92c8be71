//! Files of SQL tables that carry the number of their version.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use crate::{LedgerError, embedded::refused};

/// Brings a file to the present version, which is how many steps there are: those that it has not seen
/// are taken, all of them or none. A new file, and one from before versions were counted, has seen none,
/// so the first step finds the tables made or makes them.
///
/// # Errors
/// [`LedgerError::TooNew`] if the file has seen more steps than there are here, and other
/// [`LedgerError`]s if it cannot be used.
pub(crate) fn migrate(
    connection: &mut Connection,
    path: &Path,
    steps: &[&str],
) -> Result<(), LedgerError> {
    let failed = |error| refused(path, error);
    let version = |connection: &Connection| {
        connection.pragma_query_value(None, "user_version", |row| row.get::<_, u32>(0))
    };
    let known = steps.len() as u32;
    let found = version(connection).map_err(failed)?;
    if found > known {
        return Err(LedgerError::TooNew {
            place: path.into(),
            found,
            known,
        });
    }
    let migrated = |connection: &mut Connection| -> rusqlite::Result<()> {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for step in &steps[found as usize..] {
            transaction.execute_batch(step)?;
        }
        transaction.pragma_update(None, "user_version", known)?;
        transaction.commit()
    };
    if found == known {
        return Ok(());
    }
    migrated(connection).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEPS: [&str; 2] = [
        "CREATE TABLE IF NOT EXISTS names (name TEXT);",
        "ALTER TABLE names ADD COLUMN age INTEGER NOT NULL DEFAULT 7;",
    ];

    fn ages(connection: &Connection) -> Vec<i64> {
        let mut all = connection.prepare("SELECT age FROM names").unwrap();
        let rows = all.query_map([], |row| row.get(0)).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    }

    #[test]
    fn a_file_of_any_version_before_takes_the_steps_that_it_has_not_seen_once() {
        let path = Path::new("names.sqlite");
        let mut connection = Connection::open_in_memory().unwrap();
        // Before versions were counted.
        connection
            .execute_batch("CREATE TABLE names (name TEXT); INSERT INTO names VALUES ('ada');")
            .unwrap();
        migrate(&mut connection, path, &STEPS[..1]).unwrap();
        migrate(&mut connection, path, &STEPS).unwrap();
        migrate(&mut connection, path, &STEPS).unwrap();
        assert_eq!(ages(&connection), [7]);
        let refused = migrate(&mut connection, path, &STEPS[..1]).unwrap_err();
        let newer = "names.sqlite has format 2, this release knows up to 1";
        assert!(refused.to_string().starts_with(newer), "{refused}");
    }

    #[test]
    fn a_step_that_fails_leaves_the_file_as_it_was() {
        let mut connection = Connection::open_in_memory().unwrap();
        let steps = [STEPS[0], "CREATE TABLE other (a); nonsense"];
        let path = Path::new("names.sqlite");
        assert!(migrate(&mut connection, path, &steps).is_err());
        migrate(&mut connection, path, &STEPS).unwrap();
        assert_eq!(ages(&connection), Vec::<i64>::new());
    }
}
