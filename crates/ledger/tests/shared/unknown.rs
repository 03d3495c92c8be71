//! The connection is cut, and whether the last message was carried out is not known.

use std::{sync::Arc, time::Duration};

use foreshadow_ledger::{Ledger, LedgerError, SharedShard};

use crate::{
    PATIENCE, Postgres, event, events, open, own, prepared,
    proxy::{Last, Proxy},
    shard,
};

const ALL: [Last; 3] = [Last::Lost, Last::Unanswered, Last::Late];
/// More than any write sends on the connection it has.
const MOST_MESSAGES: usize = 40;
/// The server keeps what a lost connection holds for a part of the patience.
const LESS_PATIENCE: Duration = Duration::from_secs(6);

/// A server, its URL, a relay in front of it, and a ledger that goes through there.
fn behind_proxy(patience: Duration) -> Option<(Arc<Postgres>, String, Proxy, Ledger)> {
    let server = Postgres::common()?;
    let url = prepared(&server);
    let proxy = Proxy::before(server.port());
    let ledger = Ledger::open_shared(SharedShard {
        patience,
        ..shard(&proxy.through(&url, server.port()), 1)
    });
    Some((server, url, proxy, ledger.unwrap()))
}

#[test]
fn an_append_whose_answer_is_lost_is_there_once() {
    let Some((_server, _, proxy, mut ledger)) = behind_proxy(PATIENCE) else {
        return;
    };
    let mut written = 0;
    for last in ALL {
        for _ in 0..3 {
            proxy.cut_after(0, last);
            written += 1;
            ledger.append(&[event(written)]).unwrap();
            assert!(!proxy.call_off());
            assert_eq!(proxy.deliver_late(), usize::from(last == Last::Late));
            assert_eq!(ledger.events().unwrap(), events(1..=written));
        }
    }
}

/// Cuts at each message that a write sends; another write follows before what is late comes.
fn cut_everywhere(
    write: impl Fn(&mut Ledger, i64) -> Result<(), LedgerError>,
    check: impl Fn(&Ledger, i64),
) {
    let Some((_server, _, proxy, mut ledger)) = behind_proxy(LESS_PATIENCE) else {
        return;
    };
    let mut written = 0;
    for last in ALL {
        for messages in 0..MOST_MESSAGES {
            proxy.cut_after(messages, last);
            written += 1;
            write(&mut ledger, written).unwrap();
            let over = proxy.call_off();
            written += 1;
            write(&mut ledger, written).unwrap();
            let late = proxy.deliver_late();
            assert_eq!(late, usize::from(last == Last::Late && !over));
            check(&ledger, written);
            if over {
                break;
            }
            assert!(messages + 1 < MOST_MESSAGES, "writes have no end");
        }
    }
}

#[test]
fn a_document_is_the_last_that_was_put_wherever_the_connection_is_cut() {
    cut_everywhere(
        |ledger, number| ledger.put_document("a", number.to_string().as_bytes()),
        |ledger, number| {
            let found = ledger.document("a").unwrap().unwrap();
            assert_eq!(found, number.to_string().as_bytes());
        },
    );
}

#[test]
fn a_document_that_was_removed_stays_removed_wherever_the_connection_is_cut() {
    cut_everywhere(
        |ledger, number| match number % 2 {
            0 => ledger.remove_document("a"),
            _ => ledger.put_document("a", b"1"),
        },
        |ledger, _| assert_eq!(ledger.document("a").unwrap(), None),
    );
}

#[test]
fn a_document_that_was_put_again_stays_wherever_its_removal_is_cut() {
    cut_everywhere(
        |ledger, number| match number % 2 {
            0 => ledger.put_document("a", b"1"),
            _ => ledger.remove_document("a"),
        },
        |ledger, _| assert_eq!(ledger.document("a").unwrap().unwrap(), b"1"),
    );
}

#[test]
fn a_snapshot_is_there_once_and_whole_wherever_the_connection_is_cut() {
    cut_everywhere(
        |ledger, number| {
            ledger.append(&[event(0)])?;
            ledger.snapshot(&events(number..=number + 11_000))?;
            ledger.append(&[event(number + 11_001)])
        },
        |ledger, number| {
            let expected = events(number..=number + 11_001);
            assert!(ledger.events().unwrap() == expected, "after {number}");
        },
    );
}

/// The statement was repeated and replaced by a snapshot, and comes only then.
#[test]
fn an_append_that_comes_after_the_snapshot_that_replaced_it_is_passed_over() {
    let Some((server, url, proxy, mut ledger)) = behind_proxy(PATIENCE) else {
        return;
    };
    ledger.append(&events(1..=1)).unwrap();
    proxy.cut_after(0, Last::Late);
    ledger.append(&events(2..=2)).unwrap();
    ledger.snapshot(&events(1..=2)).unwrap();
    ledger.append(&events(3..=3)).unwrap();
    assert_eq!(proxy.deliver_late(), 1);
    let blocks = "SELECT count(*) FROM foreshadow.blocks";
    assert_eq!(server.psql(&url, blocks), "3");
    assert_eq!(ledger.events().unwrap(), events(1..=3));
    own(&server, &url, 2);
    let mut next = open(&url, 2);
    assert_eq!(next.events().unwrap(), events(1..=3));
    next.snapshot(&events(1..=3)).unwrap();
    assert_eq!(server.psql(&url, blocks), "1");
}

/// The statement was on its way when the shard passed on.
#[test]
fn an_append_that_comes_after_the_shard_has_passed_on_writes_nothing() {
    let Some((server, url, proxy, mut ledger)) = behind_proxy(PATIENCE) else {
        return;
    };
    ledger.append(&events(1..=1)).unwrap();
    proxy.cut_after(0, Last::Late);
    ledger.append(&events(2..=2)).unwrap();
    own(&server, &url, 2);
    let mut next = open(&url, 2);
    server.psql(&url, "DELETE FROM foreshadow.blocks");
    assert_eq!(proxy.deliver_late(), 1);
    assert_eq!(
        server.psql(&url, "SELECT count(*) FROM foreshadow.blocks"),
        "0"
    );
    next.snapshot(&events(1..=2)).unwrap();
    assert_eq!(next.events().unwrap(), events(1..=2));
}

#[test]
fn a_cut_append_of_a_former_owner_is_refused() {
    let Some((server, url, proxy, mut ledger)) = behind_proxy(PATIENCE) else {
        return;
    };
    ledger.append(&events(1..=1)).unwrap();
    own(&server, &url, 2);
    let mut next = open(&url, 2);
    next.append(&events(2..=2)).unwrap();
    proxy.cut_after(0, Last::Lost);
    let refused = ledger.append(&events(66..=66)).unwrap_err();
    assert!(matches!(refused, LedgerError::Fenced { .. }), "{refused}");
    assert_eq!(next.events().unwrap(), events(1..=2));
}
