//! What the ledger keeps, and what it refuses.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]

use std::{fs, path::Path};

use foreshadow_allocator::Event;
use foreshadow_ledger::{Durability, Ledger, LedgerError};

#[path = "support/contract.rs"]
mod contract;
#[path = "support/history.rs"]
mod history;

use history::history;

fn open(folder: &Path) -> Result<Ledger, LedgerError> {
    Ledger::open(folder, Durability::Fsync)
}

#[test]
fn what_was_appended_is_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    contract::what_was_appended_is_there_after_a_restart(|| open(folder.path()).unwrap());
}

#[test]
fn a_snapshot_replaces_what_was_before_and_gives_the_same_state() {
    let folder = tempfile::tempdir().unwrap();
    let open = || open(folder.path()).unwrap();
    contract::a_snapshot_replaces_what_was_before_and_gives_the_same_state(open);
}

#[test]
fn a_long_snapshot_is_kept_whole() {
    let folder = tempfile::tempdir().unwrap();
    contract::a_long_snapshot_is_kept_whole(|| open(folder.path()).unwrap());
}

#[test]
fn what_follows_an_empty_snapshot_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    contract::what_follows_an_empty_snapshot_is_kept(|| open(folder.path()).unwrap());
}

#[test]
fn documents_are_kept_by_name() {
    let folder = tempfile::tempdir().unwrap();
    contract::documents_are_kept_by_name(|| open(folder.path()).unwrap());
}

#[test]
fn one_process_owns_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let first = open(folder.path()).unwrap();
    let refused = open(folder.path()).unwrap_err();
    let message = refused.to_string();
    assert!(
        message.contains(&format!("process {}", std::process::id())),
        "{message}"
    );
    drop(first);
    assert!(open(folder.path()).is_ok());
}

#[test]
fn a_foreign_file_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.sqlite");
    fs::write(
        &path,
        b"these are my holiday photographs, all of them".repeat(9),
    )
    .unwrap();
    let before = fs::read(&path).unwrap();
    assert!(matches!(
        open(folder.path()),
        Err(LedgerError::Foreign { .. })
    ));
    assert_eq!(fs::read(&path).unwrap(), before);

    fs::remove_file(&path).unwrap();
    let other = rusqlite::Connection::open(&path).unwrap();
    other
        .execute_batch("CREATE TABLE photographs (name TEXT)")
        .unwrap();
    drop(other);
    assert!(matches!(
        open(folder.path()),
        Err(LedgerError::Foreign { .. })
    ));
}

#[test]
fn a_file_of_a_later_release_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()).unwrap());
    let other = rusqlite::Connection::open(folder.path().join("ledger.sqlite")).unwrap();
    other.pragma_update(None, "user_version", 99).unwrap();
    assert!(matches!(
        open(folder.path()),
        Err(LedgerError::TooNew { found: 99, .. })
    ));
    other.pragma_update(None, "user_version", 0).unwrap();
    assert!(matches!(
        open(folder.path()),
        Err(LedgerError::TooOld { found: 0, .. })
    ));
}

#[test]
fn damage_in_the_middle_is_refused() {
    for damage in [
        "UPDATE blocks SET body = zeroblob(length(body)) WHERE number = 3",
        "DELETE FROM blocks WHERE number = 3",
        "DELETE FROM blocks WHERE number = 1",
        "UPDATE blocks SET count = count + 1 WHERE number = 3",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let mut ledger = open(folder.path()).unwrap();
        for group in history().1 {
            ledger.append(&group).unwrap();
        }
        drop(ledger);
        let other = rusqlite::Connection::open(folder.path().join("ledger.sqlite")).unwrap();
        other.execute_batch(damage).unwrap();
        drop(other);
        let refused = open(folder.path()).unwrap().events().unwrap_err();
        assert!(
            matches!(refused, LedgerError::Damaged { .. }),
            "{damage}: {refused}"
        );
    }
}

#[test]
fn a_torn_tail_is_cut_at_the_last_whole_append() {
    let folder = tempfile::tempdir().unwrap();
    let (_, groups) = history();
    let mut ledger = open(folder.path()).unwrap();
    for group in &groups {
        ledger.append(group).unwrap();
    }
    let crashed = tempfile::tempdir().unwrap();
    for name in ["ledger.sqlite", "ledger.sqlite-wal"] {
        fs::copy(folder.path().join(name), crashed.path().join(name)).unwrap();
    }
    let wal = crashed.path().join("ledger.sqlite-wal");
    let bytes = fs::read(&wal).unwrap();
    fs::write(&wal, &bytes[..bytes.len() - 100]).unwrap();
    let events = open(crashed.path()).unwrap().events().unwrap();
    let expected: Vec<Event> = groups[..groups.len() - 1].concat();
    assert_eq!(events, expected);
}
