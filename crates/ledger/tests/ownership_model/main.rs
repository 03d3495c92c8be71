//! Who owns a shard, as a model of which every state is visited.
//!
//! Replicas claim, renew and release shards in rows of a database and append to the shards' logs
//! under their epochs. The database's clock is the only one that a lease is measured by: a replica
//! may do its next step at any time or never, which is what clocks of any speed, pauses and crashes
//! amount to. A statement that was sent may be carried out at any later time, more than once, or
//! never; its sender finds out by looking for its block.

mod promises;
mod protocol;
mod state;
mod table;

use protocol::{Bug, FENCED, KEPT, KNOWN, ONE_HOLDER, Protocol, READ};
use stateright::{Checker as _, Model as _};

/// Visits all states; how many there are.
fn check(protocol: Protocol) -> usize {
    let checker = protocol.checker().spawn_bfs().join();
    checker.assert_properties();
    assert!(checker.is_done());
    checker.unique_state_count()
}

/// Which promises a bug breaks.
fn broken_by(bug: Bug) -> Vec<&'static str> {
    let protocol = Protocol {
        bug,
        snapshots: true,
        ..Protocol::of(2, 1)
    };
    let checker = protocol.checker().spawn_bfs().join();
    let found = checker.discoveries();
    let mut broken: Vec<_> = found
        .into_keys()
        .filter(|name| !name.starts_with("it happens"))
        .collect();
    broken.sort_unstable();
    broken
}

#[test]
fn two_replicas_keep_their_promises_on_one_shard() {
    let states = check(Protocol {
        instances: 2,
        lease: 2,
        ..Protocol::of(2, 1)
    });
    eprintln!("{states} states");
}

#[test]
fn three_replicas_keep_their_promises_on_one_shard() {
    let states = check(Protocol::of(3, 1));
    eprintln!("{states} states");
}

#[test]
fn two_replicas_keep_their_promises_on_two_shards() {
    let states = check(Protocol {
        most_claims: 2,
        longest_log: 2,
        ..Protocol::of(2, 2)
    });
    eprintln!("{states} states");
}

#[test]
fn two_replicas_keep_their_promises_with_snapshots() {
    let states = check(Protocol {
        snapshots: true,
        longest_log: 4,
        ..Protocol::of(2, 1)
    });
    eprintln!("{states} states");
}

#[test]
fn an_append_that_is_not_fenced_is_found() {
    let broken = broken_by(Bug::NoFence);
    assert!(broken.contains(&FENCED), "{broken:?}");
}

#[test]
fn a_claim_under_the_old_epoch_is_found() {
    let broken = broken_by(Bug::SameEpoch);
    assert!(broken.contains(&FENCED), "{broken:?}");
}

#[test]
fn an_acknowledgement_before_the_append_is_found() {
    let broken = broken_by(Bug::EarlyAnswer);
    assert!(broken.contains(&KEPT), "{broken:?}");
}

#[test]
fn a_log_that_is_read_before_the_claim_is_found() {
    let broken = broken_by(Bug::EarlyRead);
    assert!(broken.contains(&KNOWN), "{broken:?}");
}

#[test]
fn a_repeated_append_without_a_number_is_found() {
    let broken = broken_by(Bug::NoNumber);
    assert!(broken.contains(&ONE_HOLDER), "{broken:?}");
}

#[test]
fn a_late_append_that_is_read_beside_the_snapshot_that_replaced_it_is_found() {
    assert_eq!(broken_by(Bug::NothingPassedOver), [READ]);
}

#[test]
fn without_a_bug_nothing_is_broken() {
    assert_eq!(broken_by(Bug::None), [""; 0]);
}
