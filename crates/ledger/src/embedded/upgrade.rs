//! A file of an earlier release becomes one of this release.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use super::{found, refused};
use crate::{LedgerError, block::Block, codec::FORMAT};

/// Writes every block anew in the present format: all of them or, if one is damaged or the disk is full,
/// none. Block by block, so that it takes no more memory than one of them.
pub(super) fn upgrade(
    connection: &mut Connection,
    former: u32,
    path: &Path,
) -> Result<(), LedgerError> {
    let failed = |error| refused(path, error);
    let damaged = |what| LedgerError::Damaged {
        place: path.into(),
        what,
    };
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(failed)?;
    let mut last = 0;
    while let Some(block) = next(&transaction, last).map_err(failed)? {
        last = block.number;
        let block = block.upgraded(former).map_err(damaged)?;
        write(&transaction, &block).map_err(failed)?;
    }
    transaction
        .pragma_update(None, "user_version", FORMAT)
        .map_err(failed)?;
    transaction.commit().map_err(failed)
}

fn next(connection: &Connection, last: i64) -> rusqlite::Result<Option<Block>> {
    connection
        .prepare_cached(
            "SELECT number, snapshot, count, checksum, body FROM blocks
             WHERE number > ?1 ORDER BY number LIMIT 1",
        )?
        .query_row([last], found)
        .optional()
}

fn write(connection: &Connection, block: &Block) -> rusqlite::Result<()> {
    connection
        .prepare_cached("UPDATE blocks SET checksum = ?2, body = ?3 WHERE number = ?1")?
        .execute(params![block.number, block.checksum, block.body])
        .map(|_| ())
}
