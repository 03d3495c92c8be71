//! What earlier releases wrote is read, and lies in the present format afterwards.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]

use std::{fs, path::Path};

use foreshadow_allocator::{
    AllocationState, Allocator, AllocatorConfig, Binding, Target, TenantQuota,
};
use foreshadow_ledger::{AuditLog, AuditQuery, Durability, Ledger, LedgerError, PlanLog};
use foreshadow_types::{PoolName, Timestamp};
use rusqlite::Connection;
use tempfile::TempDir;

const FILES: [&str; 3] = ["ledger.sqlite", "plans.sqlite", "audit.sqlite"];

/// A copy of the data of the last release with format 1.
fn former() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/format-1");
    for name in FILES {
        fs::copy(kept.join(name), folder.path().join(name)).unwrap();
    }
    folder
}

fn open(folder: &TempDir) -> Result<Ledger, LedgerError> {
    Ledger::open(folder.path(), Durability::Fsync)
}

fn recovered(ledger: &Ledger) -> Allocator {
    Allocator::recover(AllocatorConfig::default(), ledger.events().unwrap()).unwrap()
}

fn version(folder: &TempDir, name: &str) -> u32 {
    let connection = Connection::open(folder.path().join(name)).unwrap();
    let read = connection.pragma_query_value(None, "user_version", |row| row.get(0));
    read.unwrap()
}

/// Users, states and instances of all allocations, in order.
fn held(allocator: &Allocator) -> Vec<(String, AllocationState, Option<u64>)> {
    let allocations = allocator.allocations();
    let shown = allocations.map(|record| {
        let user = record.request.user().unwrap().to_string();
        let hold = record.binding.hold();
        (user, record.binding.state(), hold.map(|hold| hold.token.0))
    });
    shown.collect()
}

#[test]
fn a_ledger_of_format_1_keeps_its_leases_queue_bookings_and_quotas() {
    let folder = former();
    assert_eq!(version(&folder, "ledger.sqlite"), 1);
    let allocator = recovered(&open(&folder).unwrap());
    let expected = [
        ("ada", AllocationState::Granted, Some(1)),
        ("bob", AllocationState::Granted, Some(2)),
        ("eve", AllocationState::Queued, None),
        ("dan", AllocationState::Queued, None),
        ("mia", AllocationState::Queued, None),
        ("kim", AllocationState::Queued, None),
        ("lea", AllocationState::Queued, None),
    ]
    .map(|(user, state, token)| (user.to_owned(), state, token));
    assert_eq!(held(&allocator), expected);

    let mia = allocator.allocations().nth(4).unwrap();
    let booked = matches!(mia.binding, Binding::Booked { firm: false, .. });
    assert!(booked, "{mia:?}");
    let lea = allocator.allocations().last().unwrap();
    assert_eq!(lea.rank, 6, "it ranks by its priority");
    let bob = allocator.allocations().nth(1).unwrap();
    let Target::Requirements(asked) = bob.request.target() else {
        panic!("{bob:?}");
    };
    assert_eq!(asked.shape.vcpus.thousandths(), 1_000);
    assert!(asked.dependencies.contains("python3.12"), "{asked:?}");
    let pool = PoolName::new("notebook").unwrap();
    let spec = allocator.pool_spec(&pool).unwrap();
    assert_eq!((spec.shape.gpus, spec.shape.memory.0), (0, 1 << 30));
    assert_eq!(allocator.pool_status(&pool).unwrap().target, 2);
    assert_eq!(allocator.plan_generation(), 2);
    let quotas: Vec<_> = allocator.quotas().collect();
    let live = TenantQuota {
        live: Some(50),
        ..TenantQuota::default()
    };
    assert_eq!(quotas.len(), 1);
    assert_eq!((quotas[0].0.as_str(), &quotas[0].1), ("acme", &live));
}

#[test]
fn an_upgraded_ledger_is_of_the_present_format_and_goes_on() {
    let folder = former();
    let first = recovered(&open(&folder).unwrap());
    assert_eq!(version(&folder, "ledger.sqlite"), 2);
    let mut ledger = open(&folder).unwrap();
    let again = recovered(&ledger);
    assert_eq!(again.digest(), first.digest(), "upgraded once, not twice");
    ledger.snapshot(&again.snapshot()).unwrap();
    drop(ledger);
    let after = recovered(&open(&folder).unwrap());
    assert_eq!(after.digest(), first.digest());
}

#[test]
fn a_damaged_ledger_of_format_1_is_refused_and_left_as_it_is() {
    let folder = former();
    let path = folder.path().join("ledger.sqlite");
    let last = "(SELECT max(number) FROM blocks)";
    let damage = format!("UPDATE blocks SET checksum = checksum + 1 WHERE number = {last}");
    let other = Connection::open(&path).unwrap();
    other.execute_batch(&damage).unwrap();
    let bodies = |connection: &Connection| -> Vec<Vec<u8>> {
        let mut query = connection.prepare("SELECT body FROM blocks").unwrap();
        let rows = query.query_map([], |row| row.get(0)).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    };
    let before = bodies(&other);
    let refused = open(&folder).unwrap_err();
    assert!(matches!(refused, LedgerError::Damaged { .. }), "{refused}");
    assert_eq!(bodies(&other), before);
    assert_eq!(version(&folder, "ledger.sqlite"), 1);
}

#[test]
fn plans_and_changes_from_before_versions_were_counted_are_kept() {
    let folder = former();
    assert_eq!(version(&folder, "plans.sqlite"), 0);
    let plans = PlanLog::open(folder.path()).unwrap();
    let pool = PoolName::new("notebook").unwrap();
    let at = Timestamp::from_millis(1_790_000_004_000);
    let (plan, _) = plans.at(&pool, at).unwrap().unwrap();
    assert_eq!(
        (plan.target, plan.basis.reasons),
        (2, vec!["a plan".into()])
    );
    let changes = AuditLog::open(folder.path()).unwrap();
    let all = AuditQuery {
        limit: 9,
        ..AuditQuery::default()
    };
    assert_eq!(changes.list(&all).unwrap()[0].who, "eve");
    drop((plans, changes));
    assert_eq!(version(&folder, "plans.sqlite"), 1);
    assert_eq!(version(&folder, "audit.sqlite"), 1);
}

#[test]
fn plans_and_changes_of_a_later_release_are_refused() {
    let folder = former();
    for name in ["plans.sqlite", "audit.sqlite"] {
        let other = Connection::open(folder.path().join(name)).unwrap();
        other.pragma_update(None, "user_version", 99).unwrap();
    }
    let plans = PlanLog::open(folder.path()).map(|_| ());
    let changes = AuditLog::open(folder.path()).map(|_| ());
    for refused in [plans, changes] {
        assert!(matches!(
            refused,
            Err(LedgerError::TooNew { found: 99, .. })
        ));
    }
}
