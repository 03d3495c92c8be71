//! What a ledger in a shared `PostgreSQL` keeps, and whom it lets write.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]

use std::time::Duration;

use foreshadow_allocator::{Event, EventKind};
use foreshadow_ledger::{Ledger, LedgerError, SharedShard, connect_shared, prepare_shared};
use foreshadow_types::{PoolName, Timestamp};

#[path = "../support/contract.rs"]
mod contract;
mod fence;
#[path = "../support/history.rs"]
mod history;
mod outage;
#[path = "../support/postgres.rs"]
mod postgres;
mod proxy;
mod refused;
mod tls;
mod unknown;

use postgres::Postgres;

/// Long enough for a server that is started anew on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

type Write = fn(&mut Ledger) -> Result<(), LedgerError>;

/// An event that tells its number.
fn event(number: i64) -> Event {
    Event {
        at: Timestamp::from_millis(number),
        kind: EventKind::PoolRetired(PoolName::new("notebook").unwrap()),
    }
}

fn events(numbers: std::ops::RangeInclusive<i64>) -> Vec<Event> {
    numbers.map(event).collect()
}

/// A database with its tables, and shard 1 under epoch 1.
fn prepared(server: &Postgres) -> String {
    let url = server.database();
    prepare(&url).unwrap();
    own(server, &url, 1);
    url
}

fn prepare(url: &str) -> Result<(), LedgerError> {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let (client, connection) = connect_shared(url, PATIENCE).await?;
        tokio::spawn(connection);
        prepare_shared(&client).await
    })
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

/// Opens a shard as its next owner each time.
fn next_owner<'a>(server: &'a Postgres, url: &'a str) -> impl FnMut() -> Ledger + 'a {
    let mut epoch = 1;
    move || {
        epoch += 1;
        own(server, url, epoch);
        open(url, epoch)
    }
}

#[test]
fn what_was_appended_is_there_for_the_next_owner() {
    let Some(server) = Postgres::common() else {
        return;
    };
    let url = prepared(&server);
    contract::what_was_appended_is_there_after_a_restart(next_owner(&server, &url));
}

#[test]
fn a_snapshot_replaces_what_was_before_and_gives_the_same_state() {
    let Some(server) = Postgres::common() else {
        return;
    };
    let url = prepared(&server);
    let open = next_owner(&server, &url);
    contract::a_snapshot_replaces_what_was_before_and_gives_the_same_state(open);
}

#[test]
fn a_long_snapshot_is_kept_whole() {
    let Some(server) = Postgres::common() else {
        return;
    };
    let url = prepared(&server);
    contract::a_long_snapshot_is_kept_whole(next_owner(&server, &url));
}

#[test]
fn what_follows_an_empty_snapshot_is_kept() {
    let Some(server) = Postgres::common() else {
        return;
    };
    let url = prepared(&server);
    contract::what_follows_an_empty_snapshot_is_kept(next_owner(&server, &url));
}

#[test]
fn a_snapshot_replaces_very_many_blocks() {
    let Some(server) = Postgres::common() else {
        return;
    };
    let url = prepared(&server);
    server.psql(
        &url,
        "INSERT INTO foreshadow.blocks (shard, number, epoch, snapshot, count, checksum, body)
         SELECT 1, number, 1, false, 0, 0, '' FROM generate_series(1, 50000) number",
    );
    let mut ledger = open(&url, 1);
    ledger.snapshot(&events(1..=3)).unwrap();
    assert_eq!(ledger.events().unwrap(), events(1..=3));
    let blocks = server.psql(&url, "SELECT count(*), min(number) FROM foreshadow.blocks");
    assert_eq!(blocks, "1|50001");
}

#[test]
fn documents_are_kept_by_name() {
    let Some(server) = Postgres::common() else {
        return;
    };
    let url = prepared(&server);
    contract::documents_are_kept_by_name(next_owner(&server, &url));
}

#[test]
fn shards_know_nothing_of_each_other() {
    let Some(server) = Postgres::common() else {
        return;
    };
    let url = prepared(&server);
    server.psql(
        &url,
        "INSERT INTO foreshadow.shards (shard, epoch) VALUES (2, 7)",
    );
    let mut first = open(&url, 1);
    let other = SharedShard {
        shard: 2,
        ..shard(&url, 7)
    };
    let mut second = Ledger::open_shared(other).unwrap();
    first.append(&events(1..=2)).unwrap();
    second.append(&events(3..=4)).unwrap();
    first.put_document("a", b"1").unwrap();
    second.put_document("a", b"2").unwrap();
    second.snapshot(&events(4..=4)).unwrap();
    second.remove_document("a").unwrap();
    assert_eq!(first.events().unwrap(), events(1..=2));
    assert_eq!(second.events().unwrap(), events(4..=4));
    assert_eq!(first.document("a").unwrap().unwrap(), b"1");
    assert_eq!(second.documents("").unwrap(), []);
}

/// The owner of a ledger calls it from inside a runtime.
#[test]
fn a_ledger_is_used_inside_a_runtime() {
    let Some(server) = Postgres::common() else {
        return;
    };
    let url = prepared(&server);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.unwrap().block_on(async {
        let mut ledger = open(&url, 1);
        ledger.append(&events(1..=3)).unwrap();
        assert_eq!(ledger.events().unwrap(), events(1..=3));
    });
}
