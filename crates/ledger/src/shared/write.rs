//! What is written, each under the fence.
//!
//! A statement whose answer does not come may still be carried out later, when it was repeated long
//! ago. An append carries its number, so that it is carried out once. All else is sent in two parts:
//! what is changed, which is then locked, and the commit. Whoever repeats it waits until the first
//! sender's transaction has ended, one way or the other.

use tokio_postgres::Transaction;

use super::{
    failure::Failure,
    patience::Patience,
    session::{Fence, Parameter, Session},
};
use crate::block::Block;

/// Blocks removed with one statement.
const REMOVED_AT_ONCE: i64 = 20_000;

/// The row of the shard is held until the transaction ends: whoever raises the epoch waits for us,
/// or we see it and write nothing.
pub(super) const APPEND: &str = "
    WITH held AS (
        SELECT shard FROM foreshadow.shards WHERE shard = $1 AND epoch = $2 FOR SHARE
    )
    INSERT INTO foreshadow.blocks (shard, epoch, number, snapshot, count, checksum, body)
    SELECT shard, $2, $3, $4, $5, $6, $7 FROM held";
const INSERT: &str = "
    INSERT INTO foreshadow.blocks (shard, epoch, number, snapshot, count, checksum, body)
    VALUES ($1, $2, $3, $4, $5, $6, $7)";
const LOWEST: &str = "SELECT min(number) FROM foreshadow.blocks WHERE shard = $1";
const REMOVE_BEFORE: &str = "DELETE FROM foreshadow.blocks WHERE shard = $1 AND number < $2";
const HOLD: &str = "
    SELECT FROM foreshadow.shards WHERE shard = $1 AND epoch = $2 FOR SHARE";
const PUT: &str = "
    INSERT INTO foreshadow.documents (shard, name, body) VALUES ($1, $2, $3)
    ON CONFLICT (shard, name) DO UPDATE SET body = excluded.body";
const REMOVE: &str = "DELETE FROM foreshadow.documents WHERE shard = $1 AND name = $2";

impl Session {
    /// Writes a block, in one round trip.
    pub(super) async fn append(&self, block: &Block) -> Result<(), Failure> {
        let row = Row::of(self.fence, block);
        let parameters = row.parameters(block);
        match self.client.execute(&self.append, &parameters).await? {
            0 => Err(self.fence.broken()),
            _ => Ok(()),
        }
    }

    /// Writes the blocks of a snapshot and removes those before.
    pub(super) async fn replace(
        &mut self,
        first: i64,
        blocks: &[Block],
        patience: &mut Patience,
    ) -> Result<(), Failure> {
        let fence = self.fence;
        patience.wait(self.check_owned()).await?;
        let transaction = patience.wait(self.client.transaction()).await?;
        // The row is held at the end alone: whoever renews it should not wait for a long write.
        let insert = patience.wait(transaction.prepare(INSERT)).await?;
        for block in blocks {
            let row = Row::of(fence, block);
            let parameters = row.parameters(block);
            patience
                .wait(transaction.execute(&insert, &parameters))
                .await?;
            patience.heard();
        }
        remove_before(&transaction, fence, first, patience).await?;
        commit(transaction, fence, patience).await
    }

    pub(super) async fn put_document(
        &mut self,
        name: &str,
        body: &[u8],
        patience: &mut Patience,
    ) -> Result<(), Failure> {
        let fence = self.fence;
        let parameters: [Parameter<'_>; 3] = [&fence.shard, &name, &body];
        self.change(PUT, &parameters, patience).await
    }

    pub(super) async fn remove_document(
        &mut self,
        name: &str,
        patience: &mut Patience,
    ) -> Result<(), Failure> {
        let fence = self.fence;
        let parameters: [Parameter<'_>; 2] = [&fence.shard, &name];
        self.change(REMOVE, &parameters, patience).await
    }

    /// Has the server take away the rows that are gone, without stopping others.
    pub(super) async fn compact(&self) -> Result<(), tokio_postgres::Error> {
        let tables = "VACUUM (SKIP_LOCKED) foreshadow.blocks, foreshadow.documents";
        self.client.batch_execute(tables).await
    }

    async fn change(
        &mut self,
        statement: &str,
        parameters: &[Parameter<'_>],
        patience: &mut Patience,
    ) -> Result<(), Failure> {
        let fence = self.fence;
        let transaction = patience.wait(self.client.transaction()).await?;
        patience
            .wait(transaction.execute(statement, parameters))
            .await?;
        commit(transaction, fence, patience).await
    }
}

/// In steps, each of which the server does within the time that a statement has.
async fn remove_before(
    transaction: &Transaction<'_>,
    fence: Fence,
    first: i64,
    patience: &mut Patience,
) -> Result<(), Failure> {
    let parameters: [Parameter<'_>; 1] = [&fence.shard];
    let lowest = transaction.query_one(LOWEST, &parameters);
    let lowest: Option<i64> = patience.wait(lowest).await?.try_get(0)?;
    let mut done = lowest.unwrap_or(first);
    while done < first {
        done = first.min(done.saturating_add(REMOVED_AT_ONCE));
        let parameters: [Parameter<'_>; 2] = [&fence.shard, &done];
        let removed = transaction.execute(REMOVE_BEFORE, &parameters);
        patience.wait(removed).await?;
        patience.heard();
    }
    Ok(())
}

/// Commits if the shard is still owned under the epoch; otherwise nothing was written.
async fn commit(
    transaction: Transaction<'_>,
    fence: Fence,
    patience: &Patience,
) -> Result<(), Failure> {
    let parameters: [Parameter<'_>; 2] = [&fence.shard, &fence.epoch];
    let held = patience.wait(transaction.query_opt(HOLD, &parameters));
    if held.await?.is_none() {
        return Err(fence.broken());
    }
    patience.wait(transaction.commit()).await
}

/// What a block's row holds beside the block itself, in the types of its columns.
struct Row {
    fence: Fence,
    count: i32,
}

impl Row {
    fn of(fence: Fence, block: &Block) -> Self {
        let count = block.count as i32;
        Self { fence, count }
    }

    fn parameters<'a>(&'a self, block: &'a Block) -> [Parameter<'a>; 7] {
        [
            &self.fence.shard,
            &self.fence.epoch,
            &block.number,
            &block.snapshot,
            &self.count,
            &block.checksum,
            &block.body,
        ]
    }
}
