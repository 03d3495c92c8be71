//! Who may write: the owner under the latest epoch, and nobody else.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    thread,
};

use foreshadow_ledger::{Ledger, LedgerError};

use crate::{Postgres, Write, event, events, open, own, prepared};

/// What nobody but the owner may do.
const WRITES: [Write; 4] = [
    |ledger| ledger.append(&[event(66)]),
    |ledger| ledger.snapshot(&[event(66)]),
    |ledger| ledger.put_document("a", b"old"),
    |ledger| ledger.remove_document("a"),
];

#[test]
fn whose_shard_has_passed_on_writes_nothing() {
    let Some(server) = Postgres::common() else {
        return;
    };
    let url = prepared(&server);
    let mut last = open(&url, 1);
    last.put_document("a", b"first").unwrap();
    for (epoch, write) in (2..).zip(WRITES) {
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
    assert_eq!(last.events().unwrap(), events(2..=5));
    assert_eq!(last.document("a").unwrap().unwrap(), b"5");
}

#[test]
fn whose_shard_has_passed_on_writes_nothing_before_the_next_owner_has_either() {
    let Some(server) = Postgres::common() else {
        return;
    };
    let url = prepared(&server);
    open(&url, 1).put_document("a", b"first").unwrap();
    for (epoch, write) in (1..).zip(WRITES) {
        let mut ledger = open(&url, epoch);
        own(&server, &url, epoch + 1);
        let refused = write(&mut ledger).unwrap_err();
        assert!(matches!(refused, LedgerError::Fenced { .. }), "{refused}");
        let refused = ledger.events().unwrap_err();
        assert!(matches!(refused, LedgerError::Fenced { .. }), "{refused}");
    }
    let ledger = open(&url, 5);
    assert_eq!(ledger.events().unwrap(), []);
    let documents = [("a".to_owned(), b"first".to_vec())];
    assert_eq!(ledger.documents("").unwrap(), documents);
}

#[test]
fn a_shard_is_opened_under_its_own_epoch_alone() {
    let Some(server) = Postgres::common() else {
        return;
    };
    let url = prepared(&server);
    own(&server, &url, 5);
    for epoch in [0, 4, 6] {
        let refused = Ledger::open_shared(crate::shard(&url, epoch)).unwrap_err();
        let text = format!("shard 1 is not owned under epoch {epoch} any more");
        assert!(refused.to_string().contains(&text), "{refused}");
    }
}

/// Owners follow each other while they write: what was acknowledged before is there for the next,
/// and nothing comes after.
#[test]
fn an_owner_finds_all_that_the_one_before_acknowledged_and_nothing_comes_later() {
    const OWNERS: u64 = 8;
    const ENOUGH: i64 = 20;
    const MOST_WRITES: i64 = 20_000;
    let Some(server) = Postgres::common() else {
        return;
    };
    let url = prepared(&server);
    let mut acknowledged: i64 = 0;
    for epoch in 1..=OWNERS {
        let mut ledger = open(&url, epoch);
        assert_eq!(ledger.events().unwrap(), events(1..=acknowledged));
        let last = AtomicI64::new(acknowledged);
        let (found, refused) = thread::scope(|scope| {
            let writer = scope.spawn(|| {
                for number in acknowledged + 1..acknowledged + MOST_WRITES {
                    if let Err(error) = ledger.append(&[event(number)]) {
                        return error;
                    }
                    last.store(number, Ordering::SeqCst);
                }
                panic!("an owner whose shard has passed on goes on writing");
            });
            while last.load(Ordering::SeqCst) < acknowledged + ENOUGH && !writer.is_finished() {
                thread::yield_now();
            }
            own(&server, &url, epoch + 1);
            let found = open(&url, epoch + 1).events().unwrap();
            (found, writer.join().unwrap())
        });
        assert!(matches!(refused, LedgerError::Fenced { .. }), "{refused}");
        acknowledged = last.load(Ordering::SeqCst);
        assert_eq!(found, events(1..=acknowledged));
    }
}
