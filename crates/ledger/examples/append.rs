//! Blocks and events a second that a shared ledger takes, beside a file of the same machine.
//!
//! `cargo run --release -p foreshadow-ledger --features postgres --example append -- URL`, with the
//! URL of a database in which shard 0 may be written over.

use std::{error::Error, time::Duration};

use foreshadow_allocator::{Event, EventKind};
use foreshadow_ledger::{Durability, Ledger, SharedShard, connect_shared, prepare_shared};
use foreshadow_types::{PoolName, Timestamp};
use tokio::time::Instant;

const BLOCKS: u32 = 2_000;
const GROUPS: [usize; 3] = [1, 64, 1_024];
const PATIENCE: Duration = Duration::from_secs(10);

fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1).ok_or("the URL of a database")?;
    let folder = tempfile::tempdir()?;
    let mut file = Ledger::open(folder.path(), Durability::Fsync)?;
    let mut shared = Ledger::open_shared(SharedShard {
        epoch: claimed(&url)?,
        shard: 0,
        url,
        patience: PATIENCE,
    })?;
    for events in GROUPS {
        let (file, shared) = (rate(&mut file, events)?, rate(&mut shared, events)?);
        for (name, blocks) in [("file", file), ("shared", shared)] {
            let events_a_second = blocks * events as f64;
            eprintln!(
                "{events:>5} events a block, {name:>6}: {blocks:>7.0} blocks/s, {events_a_second:>9.0} events/s"
            );
        }
    }
    shared.snapshot(&[])?;
    Ok(())
}

/// Claims shard 0; its new epoch.
fn claimed(url: &str) -> Result<u64, Box<dyn Error>> {
    let claim = "INSERT INTO foreshadow.shards (shard, epoch) VALUES (0, 1)
        ON CONFLICT (shard) DO UPDATE SET epoch = shards.epoch + 1 RETURNING epoch";
    tokio::runtime::Runtime::new()?.block_on(async {
        let (client, connection) = connect_shared(url, PATIENCE).await?;
        tokio::spawn(connection);
        prepare_shared(&client).await?;
        let row = client.query_one(claim, &[]).await?;
        Ok(u64::try_from(row.try_get::<_, i64>(0)?)?)
    })
}

/// Blocks a second.
fn rate(ledger: &mut Ledger, events: usize) -> Result<f64, Box<dyn Error>> {
    let event = Event {
        at: Timestamp::from_millis(1),
        kind: EventKind::PoolRetired(PoolName::new("a-pool-with-a-name-of-usual-length")?),
    };
    let block = vec![event; events];
    ledger.append(&block)?;
    let begin = Instant::now();
    for _ in 0..BLOCKS {
        ledger.append(&block)?;
    }
    Ok(f64::from(BLOCKS) / begin.elapsed().as_secs_f64())
}
