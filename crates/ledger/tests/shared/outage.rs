//! The server ends and comes back, or does not answer.

use std::{
    net::{SocketAddr, TcpStream},
    sync::atomic::{AtomicBool, AtomicI64, Ordering},
    thread,
    time::Duration,
};

use foreshadow_ledger::{Ledger, LedgerError, SharedShard};

use crate::{Postgres, Write, event, events, open, own, prepare, prepared, shard};

#[test]
fn no_acknowledged_block_is_lost_and_none_is_there_twice_when_the_server_crashes() {
    let Some(server) = Postgres::start() else {
        return;
    };
    let url = prepared(&server);
    let mut ledger = open(&url, 1);
    let (last, enough) = (AtomicI64::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            while !enough.load(Ordering::SeqCst) {
                let number = last.load(Ordering::SeqCst) + 1;
                ledger.append(&[event(number)]).unwrap();
                last.store(number, Ordering::SeqCst);
            }
        });
        let some_more = || {
            let from = last.load(Ordering::SeqCst);
            while last.load(Ordering::SeqCst) < from + 20 && !writer.is_finished() {
                thread::yield_now();
            }
        };
        for _ in 0..4 {
            some_more();
            server.crash();
            server.begin();
        }
        some_more();
        enough.store(true, Ordering::SeqCst);
    });
    let last = last.load(Ordering::SeqCst);
    assert_eq!(ledger.events().unwrap(), events(1..=last));
    own(&server, &url, 2);
    assert_eq!(open(&url, 2).events().unwrap(), events(1..=last));
}

#[test]
fn documents_and_snapshots_outlive_a_crash_of_the_server() {
    let Some(server) = Postgres::start() else {
        return;
    };
    let url = prepared(&server);
    let mut ledger = open(&url, 1);
    ledger.append(&events(1..=3)).unwrap();
    let crash = || {
        server.crash();
        server.begin();
    };
    crash();
    ledger.put_document("a", b"1").unwrap();
    crash();
    ledger.snapshot(&events(2..=3)).unwrap();
    crash();
    assert_eq!(ledger.document("a").unwrap().unwrap(), b"1");
    crash();
    ledger.remove_document("a").unwrap();
    crash();
    assert_eq!(ledger.events().unwrap(), events(2..=3));
    assert_eq!(ledger.documents("").unwrap(), []);
}

#[test]
fn a_server_that_does_not_answer_stops_the_ledger_when_the_patience_is_over() {
    let Some(server) = Postgres::start() else {
        return;
    };
    let url = prepared(&server);
    let writes: [Write; 3] = [
        |ledger| ledger.append(&events(2..=2)),
        |ledger| ledger.snapshot(&events(1..=1)),
        |ledger| ledger.put_document("a", b"2"),
    ];
    open(&url, 1).append(&events(1..=1)).unwrap();
    for (epoch, write) in (2..).zip(writes) {
        own(&server, &url, epoch);
        let mut ledger = Ledger::open_shared(SharedShard {
            patience: Duration::from_secs(3),
            ..shard(&url, epoch)
        })
        .unwrap();
        server.halt();
        let refused = write(&mut ledger).unwrap_err();
        assert!(
            matches!(refused, LedgerError::Unreachable { .. }),
            "{refused}"
        );
        let refused = ledger.append(&events(9..=9)).unwrap_err();
        assert!(matches!(refused, LedgerError::Stopped { .. }), "{refused}");
        server.go_on();
    }
    // What was not acknowledged may be there, or not.
    own(&server, &url, 5);
    let found = open(&url, 5).events().unwrap();
    assert!(
        found == events(1..=1) || found == events(1..=2),
        "{found:?}"
    );
}

#[test]
fn a_server_that_is_not_there_is_told_when_the_ledger_is_opened() {
    let Some(server) = Postgres::start() else {
        return;
    };
    let url = prepared(&server);
    server.crash();
    let refused = Ledger::open_shared(SharedShard {
        patience: Duration::from_millis(200),
        ..shard(&url, 1)
    });
    let refused = refused.unwrap_err();
    assert!(
        matches!(refused, LedgerError::Unreachable { .. }),
        "{refused}"
    );
    server.begin();
    open(&url, 1).append(&events(1..=1)).unwrap();
}

/// A place that takes no connection and does not say so, as of a machine that is gone; and what keeps
/// it so.
fn silent() -> (SocketAddr, impl Sized) {
    const SOON: Duration = Duration::from_millis(200);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let listener = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        socket.listen(1).unwrap()
    });
    let address = listener.local_addr().unwrap();
    let mut waiting = Vec::new();
    while let Ok(connection) = TcpStream::connect_timeout(&address, SOON) {
        waiting.push(connection);
    }
    (address, (waiting, listener, runtime))
}

#[test]
fn a_host_that_does_not_answer_leaves_time_for_the_next() {
    let Some(server) = Postgres::common() else {
        return;
    };
    let url = prepared(&server);
    let (silent, _kept) = silent();
    let hosts = url.replace('@', &format!("@{silent},"));
    let ledger = Ledger::open_shared(SharedShard {
        patience: Duration::from_secs(6),
        ..shard(&hosts, 1)
    });
    ledger.unwrap().append(&events(1..=1)).unwrap();
    prepare(&hosts).unwrap();
}

#[test]
fn a_server_that_cannot_reclaim_now_stops_nothing() {
    let Some(server) = Postgres::start() else {
        return;
    };
    let url = prepared(&server);
    let mut ledger = Ledger::open_shared(SharedShard {
        patience: Duration::from_secs(3),
        ..shard(&url, 1)
    })
    .unwrap();
    ledger.append(&events(1..=1)).unwrap();
    server.halt();
    // With the connection that there is, and without any.
    ledger.compact().unwrap();
    ledger.compact().unwrap();
    server.go_on();
    ledger.append(&events(2..=2)).unwrap();
    assert_eq!(ledger.events().unwrap(), events(1..=2));
}
