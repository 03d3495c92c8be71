//! Turns to train, with a real `PostgreSQL`.

#[expect(clippy::unwrap_used, reason = "it is shared with tests that unwrap")]
#[path = "../../ledger/tests/support/postgres.rs"]
mod postgres;

use std::time::Duration;

use foreshadow_cluster::{TrainingTurn, TrainingTurns};
use tokio::time::timeout;

use self::postgres::Postgres;

/// How long a turn is held without renewal: long enough for machines that have much to do.
const TIME: Duration = Duration::from_secs(3);
/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_mins(1);

fn of(database: &str, replica: &str) -> TrainingTurns {
    TrainingTurns::new(database.to_owned(), replica.to_owned(), TIME)
}

async fn next(turns: &TrainingTurns) -> TrainingTurn {
    let turn = timeout(PATIENCE, turns.next()).await;
    turn.expect("it is free in time").expect("it can be taken")
}

/// Who has the turn, as the database says.
fn owner(server: &Postgres, database: &str) -> String {
    server.psql(database, "SELECT owner FROM foreshadow.training")
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_one_replicas_turn_at_a_time_for_as_long_as_it_renews_it() {
    let Some(server) = Postgres::common() else {
        return;
    };
    let database = server.database();
    let (a, b) = (of(&database, "a"), of(&database, "b"));
    let mut first = next(&a).await;
    assert_eq!(owner(&server, &database), "a");
    let waiting = tokio::spawn(async move { b.next().await });
    // Twice as long as a turn is held that nobody renews.
    let kept = timeout(TIME * 2, first.lost()).await;
    assert!(kept.is_err(), "the turn was lost though it was renewed");
    assert!(!waiting.is_finished(), "two have the turn");
    assert!(first.confirm().await.expect("it can be asked"));
    let before = first.epoch();
    assert_eq!(first.since_last(), None);
    first.give_back(true).await;
    let second = timeout(PATIENCE, waiting).await.expect("it is free");
    let second = second.expect("it does not panic").expect("it can be taken");
    assert_eq!(owner(&server, &database), "b");
    assert_eq!(second.epoch(), before + 1);
    let ago = second.since_last().expect("one is done");
    assert!(ago < PATIENCE, "{ago:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_that_was_not_renewed_is_anothers_and_is_lost() {
    let Some(server) = Postgres::common() else {
        return;
    };
    let database = server.database();
    let mut stood_still = next(&of(&database, "a")).await;
    // Nobody polls it, as in a process that stands still.
    let second = next(&of(&database, "b")).await;
    assert!(second.epoch() > stood_still.epoch());
    assert!(!stood_still.confirm().await.expect("it can be asked"));
    let lost = timeout(PATIENCE, stood_still.lost()).await;
    assert!(lost.is_ok(), "it is not told that its turn is lost");
    // Giving it back takes nothing from whoever has it now.
    stood_still.give_back(false).await;
    assert_eq!(owner(&server, &database), "b");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_is_lost_when_the_database_cannot_be_asked_in_its_time() {
    let Some(server) = Postgres::start() else {
        return;
    };
    let database = server.database();
    let mut turn = next(&of(&database, "a")).await;
    server.crash();
    let lost = timeout(PATIENCE, turn.lost()).await;
    assert!(lost.is_ok(), "it goes on though others may train by now");
    server.begin();
}

#[tokio::test(flavor = "multi_thread")]
async fn engines_of_one_replica_come_one_after_the_other_and_one_that_ends_keeps_nobody_waiting() {
    let Some(server) = Postgres::common() else {
        return;
    };
    let database = server.database();
    // As an earlier release has left it.
    let turns = of(&database, "a");
    let before = next(&turns).await;
    let last = before.epoch();
    before.give_back(false).await;
    // A second later: the first epoch is the time.
    tokio::time::sleep(Duration::from_secs(1)).await;
    server.psql(&database, "DROP TABLE foreshadow.training");
    let first = next(&turns).await;
    let epoch = first.epoch();
    assert!(epoch > last, "{epoch} is not after {last}");
    assert!(timeout(TIME, turns.next()).await.is_err(), "two at once");
    drop(first);
    let second = next(&turns).await;
    assert_eq!(second.epoch(), epoch + 1);
}
