//! The tables that servers share, and of which release they are.

use tokio_postgres::{Client, error::SqlState};

use super::failure::told;
use crate::{LedgerError, Place, codec::FORMAT};

/// Version of the tables; raised when they change.
const TABLES: u32 = 1;
const SCHEMA: &str = include_str!("schema.sql");
/// Made when it is first needed and not counted in the version: servers of earlier releases do without it.
const TRAINING: &str = include_str!("training.sql");
/// Held while the tables are made, so that servers that start together make them one after another.
const MAKING: i64 = 0x4653_4844_0001;

/// Makes the tables of ledgers that servers share, if they are not there. Many may do so at once.
///
/// # Errors
/// [`LedgerError::TooNew`] or [`LedgerError::TooOld`] if the tables are of another release;
/// [`LedgerError::Refused`] if the server does not let them be made.
pub async fn prepare_shared(client: &Client) -> Result<(), LedgerError> {
    let place = place();
    let refused = |error: tokio_postgres::Error| LedgerError::Refused {
        place: place.clone(),
        why: told(&error),
    };
    // Whoever may use the tables may not always make any.
    if let Some(found) = found(client).await.map_err(refused)? {
        return check(found, &place);
    }
    // One message is one transaction: all is made, or nothing.
    let make = format!(
        "SELECT pg_advisory_xact_lock({MAKING});
         {SCHEMA}
         INSERT INTO foreshadow.format (tables, records) VALUES ({TABLES}, {FORMAT})
         ON CONFLICT DO NOTHING;"
    );
    client.batch_execute(&make).await.map_err(refused)?;
    let found = found(client).await.map_err(refused)?;
    found.map_or(Ok(()), |found| check(found, &place))
}

/// Makes the table that says who trains, if it is not there: tables that an earlier release has made are
/// without it.
///
/// # Errors
/// [`LedgerError::Refused`] if the server does not let it be made.
pub async fn prepare_training(client: &Client) -> Result<(), LedgerError> {
    let refused = |error: tokio_postgres::Error| LedgerError::Refused {
        place: place(),
        why: told(&error),
    };
    let sql = "SELECT to_regclass('foreshadow.training') IS NOT NULL";
    let found = client.query_one(sql, &[]).await.map_err(refused)?;
    if found.try_get(0).map_err(refused)? {
        return Ok(());
    }
    let make = format!("SELECT pg_advisory_xact_lock({MAKING}); {TRAINING}");
    client.batch_execute(&make).await.map_err(refused)
}

fn place() -> Place {
    Place::Server {
        server: "the shared PostgreSQL".to_owned(),
    }
}

/// Tables and records, as numbers.
pub(super) type Format = (u32, u32);

/// Of which release the tables are; none if there are none.
pub(super) async fn found(client: &Client) -> Result<Option<Format>, tokio_postgres::Error> {
    let sql = "SELECT tables, records FROM foreshadow.format";
    let row = match client.query_opt(sql, &[]).await {
        Err(error) if is_missing(&error) => return Ok(None),
        row => row?,
    };
    let Some(row) = row else { return Ok(None) };
    let number = |column| {
        let number = row.try_get::<_, i32>(column);
        number.map(|number| u32::try_from(number).unwrap_or(u32::MAX))
    };
    Ok(Some((number(0)?, number(1)?)))
}

fn is_missing(error: &tokio_postgres::Error) -> bool {
    let missing = [&SqlState::UNDEFINED_TABLE, &SqlState::INVALID_SCHEMA_NAME];
    error.code().is_some_and(|code| missing.contains(&code))
}

pub(super) fn check((tables, records): Format, place: &Place) -> Result<(), LedgerError> {
    for (found, known) in [(tables, TABLES), (records, FORMAT)] {
        if found > known {
            return Err(LedgerError::TooNew {
                place: place.clone(),
                found,
                known,
            });
        }
        if found < known {
            return Err(LedgerError::TooOld {
                place: place.clone(),
                found,
                known,
            });
        }
    }
    Ok(())
}
