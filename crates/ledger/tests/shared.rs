//! What a ledger in a shared `PostgreSQL` keeps, and whom it lets write.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]

use std::time::Duration;

use foreshadow_allocator::{Event, EventKind};
use foreshadow_ledger::{Ledger, LedgerError, SharedShard, connect_shared, prepare_shared};
use foreshadow_types::{PoolName, Timestamp};

#[path = "support/postgres.rs"]
mod postgres;

use postgres::Postgres;

const PATIENCE: Duration = Duration::from_secs(10);

type Write = fn(&mut Ledger) -> Result<(), LedgerError>;

/// An event that tells its number.
fn event(number: i64) -> Event {
    Event {
        at: Timestamp::from_millis(number),
        kind: EventKind::PoolRetired(PoolName::new("notebook").unwrap()),
    }
}

/// A database with its tables and shard 1 under epoch 1.
fn prepared(server: &Postgres) -> String {
    let url = server.database();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let (client, connection) = connect_shared(&url, PATIENCE).await.unwrap();
        tokio::spawn(connection);
        prepare_shared(&client).await.unwrap();
    });
    own(server, &url, 1);
    url
}

fn own(server: &Postgres, url: &str, epoch: u64) {
    server.psql(
        url,
        &format!(
            "INSERT INTO foreshadow.shards (shard, epoch) VALUES (1, {epoch})
             ON CONFLICT (shard) DO UPDATE SET epoch = {epoch}"
        ),
    );
}

fn shard(url: &str, epoch: u64) -> SharedShard {
    SharedShard {
        url: url.to_owned(),
        shard: 1,
        epoch,
        patience: PATIENCE,
    }
}

fn open(url: &str, epoch: u64) -> Ledger {
    Ledger::open_shared(shard(url, epoch)).unwrap()
}

#[test]
fn what_was_written_is_there_for_the_next_owner() {
    let Some(server) = Postgres::start() else {
        return;
    };
    let url = prepared(&server);
    let mut ledger = open(&url, 1);
    ledger.append(&[event(1), event(2)]).unwrap();
    ledger.append(&[event(3)]).unwrap();
    ledger.put_document("config/1", b"one").unwrap();
    drop(ledger);
    own(&server, &url, 2);
    let mut ledger = open(&url, 2);
    assert_eq!(ledger.tail_events(), 3);
    assert_eq!(ledger.events().unwrap(), [event(1), event(2), event(3)]);
    assert_eq!(ledger.document("config/1").unwrap().unwrap(), b"one");
    ledger.snapshot(&[event(9)]).unwrap();
    ledger.append(&[event(10)]).unwrap();
    drop(ledger);
    own(&server, &url, 3);
    let ledger = open(&url, 3);
    assert_eq!(ledger.tail_events(), 1);
    assert_eq!(ledger.events().unwrap(), [event(9), event(10)]);
}

#[test]
fn whose_shard_has_passed_on_writes_nothing() {
    let Some(server) = Postgres::start() else {
        return;
    };
    let url = prepared(&server);
    let writes: [Write; 4] = [
        |ledger| ledger.append(&[event(66)]),
        |ledger| ledger.snapshot(&[event(66)]),
        |ledger| ledger.put_document("a", b"old"),
        |ledger| ledger.remove_document("a"),
    ];
    let mut last = open(&url, 1);
    last.put_document("a", b"first").unwrap();
    for (epoch, write) in (2..).zip(writes) {
        own(&server, &url, epoch);
        let mut next = open(&url, epoch);
        next.append(&[event(epoch as i64)]).unwrap();
        let refused = write(&mut last).unwrap_err();
        let old = epoch - 1;
        assert!(
            matches!(refused, LedgerError::Fenced { shard: 1, epoch } if epoch == old),
            "{refused}"
        );
        let refused = last.append(&[event(66)]).unwrap_err();
        assert!(matches!(refused, LedgerError::Stopped { .. }), "{refused}");
        next.put_document("a", epoch.to_string().as_bytes())
            .unwrap();
        last = next;
    }
    assert_eq!(
        last.events().unwrap(),
        [event(2), event(3), event(4), event(5)]
    );
    assert_eq!(last.document("a").unwrap().unwrap(), b"5");
}
