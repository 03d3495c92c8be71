//! What is refused before anything is written.

use std::{thread, time::Duration};

use foreshadow_ledger::{Ledger, LedgerError, SharedShard};

use crate::{Postgres, event, events, history, open, prepare, prepared, shard};

#[test]
fn damage_is_refused_with_the_number_of_the_shard() {
    let Some(server) = Postgres::common() else {
        return;
    };
    for (damage, what) in [
        (
            "UPDATE foreshadow.blocks SET body = substr(body, 2) || '\\x00' WHERE number = 3",
            "block 3: its checksum is wrong",
        ),
        (
            "DELETE FROM foreshadow.blocks WHERE number = 3",
            "block 3 is missing",
        ),
        (
            "DELETE FROM foreshadow.blocks WHERE number = 1",
            "block 1 is missing",
        ),
        (
            "UPDATE foreshadow.blocks SET count = count + 1 WHERE number = 3",
            "block 3: event",
        ),
        (
            "UPDATE foreshadow.blocks SET count = -1 WHERE number = 3",
            "block 3: ",
        ),
    ] {
        let url = prepared(&server);
        let mut ledger = open(&url, 1);
        for group in history::history().1 {
            ledger.append(&group).unwrap();
        }
        server.psql(&url, damage);
        let refused = ledger.events().unwrap_err();
        assert!(matches!(refused, LedgerError::Damaged { .. }), "{refused}");
        let refused = refused.to_string();
        assert!(refused.contains("shard 1 of "), "{refused}");
        assert!(refused.contains(what), "{damage}: {refused}");
    }
}

#[test]
fn another_writer_under_the_same_epoch_is_noticed() {
    let Some(server) = Postgres::common() else {
        return;
    };
    let url = prepared(&server);
    let (mut one, mut two) = (open(&url, 1), open(&url, 1));
    one.append(&[event(1)]).unwrap();
    let refused = two.append(&[event(1)]).unwrap_err();
    let text = "another has written block 1";
    assert!(refused.to_string().contains(text), "{refused}");
    assert_eq!(one.events().unwrap(), events(1..=1));
}

#[test]
fn tables_are_made_by_many_at_once() {
    let Some(server) = Postgres::common() else {
        return;
    };
    let url = server.database();
    thread::scope(|scope| {
        let all: Vec<_> = (0..8).map(|_| scope.spawn(|| prepare(&url))).collect();
        for one in all {
            one.join().unwrap().unwrap();
        }
    });
    let format = server.psql(&url, "SELECT * FROM foreshadow.format");
    assert_eq!(format, "t|1|2");
}

#[test]
fn tables_of_another_release_are_refused() {
    let Some(server) = Postgres::common() else {
        return;
    };
    let url = prepared(&server);
    for (change, is_newer) in [
        ("tables = tables + 98", true),
        ("tables = 0", false),
        ("tables = 1, records = records + 1", true),
        ("records = records - 2", false),
    ] {
        server.psql(&url, &format!("UPDATE foreshadow.format SET {change}"));
        for refused in [
            prepare(&url).unwrap_err(),
            Ledger::open_shared(shard(&url, 1)).unwrap_err(),
        ] {
            let newer = matches!(refused, LedgerError::TooNew { .. });
            let older = matches!(refused, LedgerError::TooOld { .. });
            assert!(newer == is_newer && older != is_newer, "{refused}");
        }
    }
}

#[test]
fn tables_that_are_not_there_are_told() {
    let Some(server) = Postgres::common() else {
        return;
    };
    let refused = Ledger::open_shared(shard(&server.database(), 1)).unwrap_err();
    let text = "the tables of shared ledgers are not there";
    assert!(refused.to_string().contains(text), "{refused}");
}

/// A role that may use the tables and make none.
#[test]
fn a_role_without_rights_to_make_tables_uses_those_that_are_there() {
    let Some(server) = Postgres::common() else {
        return;
    };
    let url = prepared(&server);
    server.psql(
        &url,
        "CREATE ROLE plain LOGIN PASSWORD 'correct-horse';
         GRANT USAGE ON SCHEMA foreshadow TO plain;
         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA foreshadow TO plain",
    );
    let url = url.replace("foreshadow:", "plain:");
    prepare(&url).unwrap();
    let mut ledger = open(&url, 1);
    ledger.append(&[event(1)]).unwrap();
    ledger.snapshot(&[event(2)]).unwrap();
    ledger.compact().unwrap();
    assert_eq!(ledger.events().unwrap(), events(2..=2));
}

#[test]
fn no_text_holds_the_password() {
    let Some(server) = Postgres::common() else {
        return;
    };
    let right = prepared(&server);
    let wrong = right.replace("correct-horse", "hush-hush");
    for url in [
        wrong.clone(),
        wrong.replace("hush-hush", "a?hush-hush"),
        wrong.replace("hush-hush", "a/hush-hush"),
        wrong.replace("hush-hush", "a@hush-hush"),
        wrong.replace("hush-hush", "%zhush-hush"),
        format!("{wrong}?hush-hush"),
        format!("{wrong}?sslmode=hush-hush"),
        "hush-hush".to_owned(),
    ] {
        let asked = SharedShard {
            patience: Duration::from_millis(300),
            ..shard(&url, 1)
        };
        let shown = format!("{asked:?}");
        let refused = Ledger::open_shared(asked).unwrap_err();
        let prepared = prepare_quickly(&url).unwrap_err();
        for text in [
            shown,
            refused.to_string(),
            format!("{refused:?}"),
            prepared.to_string(),
        ] {
            assert!(!text.contains("hush-hush"), "{url}: {text}");
        }
    }
    let ledger = open(&right, 1);
    assert!(!format!("{ledger:?}").contains("correct-horse"));
}

fn prepare_quickly(url: &str) -> Result<(), LedgerError> {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let patience = Duration::from_millis(300);
    let connected = runtime.block_on(foreshadow_ledger::connect_shared(url, patience));
    connected.map(|_| ())
}
