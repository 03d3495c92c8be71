//! What the ledger keeps, and what it refuses.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]

use std::{collections::BTreeMap, fs, path::Path, sync::Arc, time::Duration};

use foreshadow_allocator::{
    AdoptedPlan, AllocationRequest, Allocator, AllocatorConfig, Event, Input, PoolPlan, PoolSpec,
    RequestRate, Reservation, Target, TenantQuota, WarmQuota,
};
use foreshadow_ledger::{Durability, Ledger, LedgerError};
use foreshadow_types::{
    Bytes, EntityId, InstanceCount, InstanceId, PoolName, Requirements, Shape, TenantId, Timestamp,
    UserId, Vcpus,
};

fn open(folder: &Path) -> Result<Ledger, LedgerError> {
    Ledger::open(folder, Durability::Fsync)
}

fn second(second: i64) -> Timestamp {
    Timestamp::from_millis(second * 1_000)
}

fn spec() -> PoolSpec {
    let mut spec = PoolSpec::new(PoolName::new("small").unwrap());
    spec.max = InstanceCount(3);
    spec.shape = Shape {
        vcpus: Vcpus::new(2.5).unwrap(),
        memory: Bytes(1 << 30),
        ..Shape::default()
    };
    spec.dependencies.insert("python3.12".to_owned());
    spec.labels.insert("zone".to_owned(), "a".to_owned());
    spec.max_age = Some(Duration::from_micros(3_600_000_001));
    spec
}

fn plan(generation: u64) -> AdoptedPlan {
    let entity = EntityId::new("ada").unwrap();
    let pool = PoolPlan {
        pool: PoolName::new("small").unwrap(),
        target: InstanceCount(2),
        reservations: vec![Reservation {
            entity,
            count: InstanceCount(1),
        }],
        predicted_demand: vec![(second(60), 1), (second(120), 3)],
    };
    AdoptedPlan {
        generation,
        pools: vec![pool],
    }
}

fn request(number: usize) -> AllocationRequest {
    let target = if number.is_multiple_of(2) {
        Target::Pool(PoolName::new("small").unwrap())
    } else {
        let shape = Shape {
            vcpus: Vcpus::new(1.0).unwrap(),
            memory: Bytes(1),
            ..Shape::default()
        };
        let mut asked = Requirements {
            shape,
            ..Requirements::default()
        };
        asked.dependencies.insert("python3.12".to_owned());
        asked.labels.insert("zone".to_owned(), "a".to_owned());
        asked.preferences = vec![asked.labels.clone()];
        Target::Requirements(Arc::new(asked))
    };
    AllocationRequest::builder(TenantId::new("acme").unwrap(), target)
        .user(UserId::new("ada").unwrap())
        .merge_key((number == 3).then_some("m"))
        .idempotency_key(&*format!("key {number}"))
        .availability_time((number == 4).then_some(second(500)))
        .lease_duration(Duration::from_secs(77))
        .build()
        .unwrap()
}

/// A small history in which nearly every kind of event occurs, and the allocator at its end.
fn history() -> (Allocator, Vec<Vec<Event>>) {
    let mut allocator = Allocator::new(AllocatorConfig::default());
    let mut inputs = vec![
        Input::DefinePool(Box::new(spec())),
        Input::LimitTenant {
            tenant: TenantId::new("acme").unwrap(),
            quota: TenantQuota {
                live: Some(50),
                rate: Some(RequestRate {
                    per_second: 100,
                    burst: 100,
                }),
                ..TenantQuota::default()
            },
        },
        Input::LimitTenant {
            tenant: TenantId::new("umbrella").unwrap(),
            quota: TenantQuota {
                warm: BTreeMap::from([(
                    spec().name,
                    WarmQuota {
                        floor: 1,
                        cap: Some(3),
                    },
                )]),
                ..TenantQuota::default()
            },
        },
        Input::AdoptPlan(Box::new(plan(1))),
        Input::Ready {
            instance: InstanceId(1),
            address: "127.0.0.1:1".into(),
        },
        Input::Failed {
            instance: InstanceId(2),
        },
    ];
    inputs.extend((0..8).map(|number| Input::Allocate(Arc::new(request(number)))));
    inputs.push(Input::Given {
        instance: InstanceId(3),
        address: "10.9.9.9:1".into(),
    });
    inputs.push(Input::AdoptPlan(Box::new(plan(2))));
    inputs.push(Input::Drain {
        instance: InstanceId(1),
    });
    let mut groups = Vec::new();
    for (at, input) in (0..).zip(inputs) {
        allocator.handle(input, second(at)).unwrap();
        groups.push(std::iter::from_fn(|| allocator.poll_event()).collect());
    }
    allocator.handle_timeout(second(5_000));
    groups.push(std::iter::from_fn(|| allocator.poll_event()).collect());
    (allocator, groups)
}

fn recovered(ledger: &Ledger) -> Allocator {
    Allocator::recover(AllocatorConfig::default(), ledger.events().unwrap()).unwrap()
}

#[test]
fn what_was_appended_is_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let (allocator, groups) = history();
    let mut ledger = open(folder.path()).unwrap();
    for group in &groups {
        ledger.append(group).unwrap();
    }
    drop(ledger);
    let ledger = open(folder.path()).unwrap();
    assert_eq!(ledger.events().unwrap(), groups.concat());
    assert_eq!(recovered(&ledger).digest(), allocator.digest());
}

#[test]
fn a_snapshot_replaces_what_was_before_and_gives_the_same_state() {
    let folder = tempfile::tempdir().unwrap();
    let (mut allocator, groups) = history();
    let mut ledger = open(folder.path()).unwrap();
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
    let ledger = open(folder.path()).unwrap();
    assert_eq!(ledger.tail_events(), tail.len() as u64);
    assert_eq!(recovered(&ledger).digest(), allocator.digest());
}

#[test]
fn documents_are_kept_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = open(folder.path()).unwrap();
    ledger.put_document("config/2", b"two").unwrap();
    ledger.put_document("config/1", b"one").unwrap();
    ledger.put_document("other", b"").unwrap();
    ledger.put_document("config/1", b"uno").unwrap();
    ledger.remove_document("config/2").unwrap();
    drop(ledger);
    let ledger = open(folder.path()).unwrap();
    assert_eq!(
        ledger.document("config/1").unwrap().as_deref(),
        Some(&b"uno"[..])
    );
    assert_eq!(ledger.document("config/2").unwrap(), None);
    let found = ledger.documents("config/").unwrap();
    assert_eq!(found, [("config/1".to_owned(), b"uno".to_vec())]);
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
    other.pragma_update(None, "user_version", 1).unwrap();
    assert!(matches!(
        open(folder.path()),
        Err(LedgerError::TooOld { found: 1, .. })
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
