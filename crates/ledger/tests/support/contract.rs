//! What a ledger does, wherever it lies. Each check is given how to open the ledger anew.

use foreshadow_allocator::{Allocator, AllocatorConfig, Event, Input};
use foreshadow_ledger::Ledger;

use crate::history::{history, plan, second};

fn recovered(ledger: &Ledger) -> Allocator {
    Allocator::recover(AllocatorConfig::default(), ledger.events().unwrap()).unwrap()
}

pub(crate) fn what_was_appended_is_there_after_a_restart(mut open: impl FnMut() -> Ledger) {
    let (allocator, groups) = history();
    let mut ledger = open();
    for group in &groups {
        ledger.append(group).unwrap();
    }
    drop(ledger);
    let ledger = open();
    assert_eq!(ledger.events().unwrap(), groups.concat());
    assert_eq!(recovered(&ledger).digest(), allocator.digest());
}

pub(crate) fn a_snapshot_replaces_what_was_before_and_gives_the_same_state(
    mut open: impl FnMut() -> Ledger,
) {
    let (mut allocator, groups) = history();
    let mut ledger = open();
    ledger.append(&groups.concat()).unwrap();
    let snapshot = allocator.snapshot();
    ledger.snapshot(&snapshot).unwrap();
    assert_eq!(ledger.tail_events(), 0);
    assert_eq!(ledger.events().unwrap(), snapshot);
    allocator
        .handle(Input::AdoptPlan(Box::new(plan(3))), second(6_000))
        .unwrap();
    let tail: Vec<Event> = std::iter::from_fn(|| allocator.poll_event()).collect();
    ledger.append(&tail).unwrap();
    drop(ledger);
    let mut ledger = open();
    assert_eq!(ledger.tail_events(), tail.len() as u64);
    assert_eq!(recovered(&ledger).digest(), allocator.digest());
    ledger.compact().unwrap();
    assert_eq!(recovered(&ledger).digest(), allocator.digest());
}

/// Of several blocks, over an earlier one of several blocks.
pub(crate) fn a_long_snapshot_is_kept_whole(mut open: impl FnMut() -> Ledger) {
    let (_, groups) = history();
    let long: Vec<Event> = groups.concat().into_iter().cycle().take(25_000).collect();
    let mut ledger = open();
    ledger.append(&long[..10]).unwrap();
    ledger.snapshot(&long).unwrap();
    ledger.append(&long[..3]).unwrap();
    ledger.snapshot(&long[..24_000]).unwrap();
    ledger.append(&long[..5]).unwrap();
    drop(ledger);
    let ledger = open();
    let events = ledger.events().unwrap();
    assert_eq!(events.len(), 24_005);
    assert!(events == [&long[..24_000], &long[..5]].concat());
}

pub(crate) fn what_follows_an_empty_snapshot_is_kept(mut open: impl FnMut() -> Ledger) {
    let (_, groups) = history();
    let mut ledger = open();
    ledger.append(&groups[0]).unwrap();
    ledger.snapshot(&[]).unwrap();
    assert_eq!(ledger.events().unwrap(), []);
    ledger.append(&groups[1]).unwrap();
    drop(ledger);
    let mut ledger = open();
    assert_eq!(ledger.tail_events(), groups[1].len() as u64);
    assert_eq!(ledger.events().unwrap(), groups[1]);
    ledger.snapshot(&[]).unwrap();
    drop(ledger);
    let mut ledger = open();
    assert_eq!(ledger.events().unwrap(), []);
    ledger.append(&groups[2]).unwrap();
    assert_eq!(ledger.events().unwrap(), groups[2]);
}

pub(crate) fn documents_are_kept_by_name(mut open: impl FnMut() -> Ledger) {
    let mut ledger = open();
    ledger.put_document("config/2", b"two").unwrap();
    ledger.put_document("config/1", b"one").unwrap();
    ledger.put_document("config/\u{e9}", b"e").unwrap();
    ledger.put_document("config/Z", b"z").unwrap();
    ledger.put_document("other", b"").unwrap();
    ledger.put_document("config/1", b"uno").unwrap();
    ledger.remove_document("config/2").unwrap();
    ledger.remove_document("never there").unwrap();
    drop(ledger);
    let ledger = open();
    assert_eq!(ledger.document("config/1").unwrap().unwrap(), b"uno");
    assert_eq!(ledger.document("config/2").unwrap(), None);
    let names = |prefix| -> Vec<String> {
        let found = ledger.documents(prefix).unwrap().into_iter();
        found.map(|(name, _)| name).collect()
    };
    assert_eq!(names("config/"), ["config/1", "config/Z", "config/\u{e9}"]);
    assert_eq!(names("").len(), 4);
    assert_eq!(names("c%").len(), 0);
}
