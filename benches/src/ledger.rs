//! Group commits of the ledger, beside a file that is appended to and synced.

use std::{fs::File, io::Write as _};

use foreshadow_allocator::{Event, EventKind};
use foreshadow_ledger::{Durability, Ledger};
use foreshadow_types::{InstanceId, PoolName, Timestamp};

use crate::{
    clock::seconds,
    report::{Row, median},
};

/// Events in one group.
const GROUP: usize = 64;
/// Groups in one run.
const GROUPS: usize = 200;
const RUNS: usize = 5;
/// About what one event takes in the ledger.
const EVENT_BYTES: usize = 48;

/// Events a second in each mode, beside a plain file with the same durability.
pub(crate) fn rows() -> anyhow::Result<Vec<Row>> {
    let modes = [
        ("append_fsync", Durability::Fsync, "file_fdatasync"),
        ("append_memory", Durability::Memory, "file_write"),
    ];
    let mut rows = Vec::new();
    for (name, durability, peer) in modes {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..RUNS {
            ours.push(ledger_rate(durability)?);
            theirs.push(file_rate(durability == Durability::Fsync)?);
        }
        rows.push(Row {
            name,
            value: median(ours),
            unit: "events/s",
            peer,
            peer_value: median(theirs),
        });
    }
    Ok(rows)
}

fn ledger_rate(durability: Durability) -> anyhow::Result<f64> {
    let folder = tempfile::tempdir()?;
    let mut ledger = Ledger::open(folder.path(), durability)?;
    let pool = PoolName::new("bench")?;
    let events: Vec<Event> = (0..GROUP as u64)
        .map(|instance| Event {
            at: Timestamp::from_millis(0),
            kind: EventKind::InstanceStarted {
                instance: InstanceId(instance),
                pool: pool.clone(),
                deadline: Timestamp::from_millis(1),
            },
        })
        .collect();
    let mut outcome = Ok(());
    let took = seconds(|| outcome = (0..GROUPS).try_for_each(|_| ledger.append(&events)));
    outcome?;
    Ok((GROUP * GROUPS) as f64 / took)
}

fn file_rate(sync: bool) -> anyhow::Result<f64> {
    let folder = tempfile::tempdir()?;
    let mut file = File::create(folder.path().join("log"))?;
    let block = [7_u8; GROUP * EVENT_BYTES];
    let mut outcome = Ok(());
    let took = seconds(|| {
        outcome = (0..GROUPS).try_for_each(|_| {
            file.write_all(&block)?;
            if sync { file.sync_data() } else { Ok(()) }
        });
    });
    outcome?;
    Ok((GROUP * GROUPS) as f64 / took)
}
