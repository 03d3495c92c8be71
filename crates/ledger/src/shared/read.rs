//! What is read.

use tokio_postgres::{IsolationLevel, Row};

use super::{
    failure::Failure,
    patience::Patience,
    session::{Fence, Parameter, Session},
};
use crate::{block::Block, store::End};

/// Blocks read with one statement.
const PAGE: i64 = 64;

const OWNED: &str = "SELECT FROM foreshadow.shards WHERE shard = $1 AND epoch = $2";
const END: &str = "
    SELECT coalesce(max(number), 0), coalesce(sum(count) FILTER (WHERE NOT snapshot), 0)::bigint
    FROM foreshadow.blocks WHERE shard = $1";
const BLOCKS: &str = "
    SELECT number, snapshot, count, checksum, body FROM foreshadow.blocks
    WHERE shard = $1 AND number > $2 ORDER BY number LIMIT $3";
const WRITTEN: &str = "
    SELECT epoch, checksum FROM foreshadow.blocks WHERE shard = $1 AND number = $2";
const DOCUMENT: &str = "SELECT body FROM foreshadow.documents WHERE shard = $1 AND name = $2";
const DOCUMENTS: &str = r#"
    SELECT name, body FROM foreshadow.documents
    WHERE shard = $1 AND starts_with(name, $2) ORDER BY name COLLATE "C""#;

impl Session {
    /// Refuses if the shard is not owned under our epoch.
    pub(super) async fn check_owned(&self) -> Result<(), Failure> {
        let Fence { shard, epoch } = self.fence;
        let owned = self.client.query_opt(OWNED, &[&shard, &epoch]).await?;
        owned.map(|_| ()).ok_or_else(|| self.fence.broken())
    }

    pub(super) async fn end_of_blocks(&self) -> Result<End, Failure> {
        self.check_owned().await?;
        let row = self.client.query_one(END, &[&self.fence.shard]).await?;
        Ok(End {
            last: row.try_get(0)?,
            tail_events: row.try_get::<_, i64>(1)?.max(0) as u64,
        })
    }

    /// All blocks, as they are at one moment.
    pub(super) async fn blocks(&mut self, patience: &mut Patience) -> Result<Vec<Block>, Failure> {
        patience.wait(self.check_owned()).await?;
        let shard = self.fence.shard;
        let moment = self.client.build_transaction();
        let moment = moment
            .isolation_level(IsolationLevel::RepeatableRead)
            .read_only(true);
        let transaction = patience.wait(moment.start()).await?;
        let statement = patience.wait(transaction.prepare(BLOCKS)).await?;
        let mut blocks: Vec<Block> = Vec::new();
        loop {
            let last = blocks.last().map_or(i64::MIN, |block| block.number);
            let parameters: [Parameter<'_>; 3] = [&shard, &last, &PAGE];
            let page = patience
                .wait(transaction.query(&statement, &parameters))
                .await?;
            patience.heard();
            if page.is_empty() {
                break;
            }
            for row in &page {
                blocks.push(block(row)?);
            }
        }
        patience.wait(transaction.commit()).await?;
        Ok(blocks)
    }

    /// Whether this very block is there, written under our epoch.
    pub(super) async fn holds(&self, block: &Block) -> Result<bool, Failure> {
        let parameters: [Parameter<'_>; 2] = [&self.fence.shard, &block.number];
        let Some(row) = self.client.query_opt(WRITTEN, &parameters).await? else {
            return Ok(false);
        };
        let written = (row.try_get::<_, i64>(0)?, row.try_get::<_, i64>(1)?);
        if written == (self.fence.epoch, block.checksum) {
            return Ok(true);
        }
        Err(self.written_by_another(block).await)
    }

    /// Another block with this number is there: of the next owner, or of nobody who should write.
    pub(super) async fn written_by_another(&self, block: &Block) -> Failure {
        let number = block.number;
        match self.check_owned().await {
            Ok(()) => Failure::Wrong(format!("another has written block {number}")),
            Err(failure) => failure,
        }
    }

    pub(super) async fn document(&self, name: &str) -> Result<Option<Vec<u8>>, Failure> {
        let parameters: [Parameter<'_>; 2] = [&self.fence.shard, &name];
        let found = self.client.query_opt(DOCUMENT, &parameters).await?;
        Ok(found.map(|row| row.try_get(0)).transpose()?)
    }

    pub(super) async fn documents(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, Failure> {
        let parameters: [Parameter<'_>; 2] = [&self.fence.shard, &prefix];
        let found = self.client.query(DOCUMENTS, &parameters).await?;
        let read = |row: &Row| Ok((row.try_get(0)?, row.try_get(1)?));
        found.iter().map(read).collect()
    }
}

fn block(row: &Row) -> Result<Block, tokio_postgres::Error> {
    Ok(Block {
        number: row.try_get(0)?,
        snapshot: row.try_get(1)?,
        count: row.try_get::<_, i32>(2)?.max(0) as u32,
        checksum: row.try_get(3)?,
        body: row.try_get(4)?,
    })
}
