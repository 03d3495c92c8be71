//! Group commits of the ledger, beside a file that is appended to and synced, and the recovery of a
//! million leases, beside reading the file and nothing more.

use std::{fs::File, io::Write as _, path::Path, sync::Arc};

use foreshadow_allocator::{
    AllocationRecord, AllocationRequest, Allocator, AllocatorConfig, Binding, Counters, Event,
    EventKind, Hold, InstanceRecord, Phase, PoolRecord, PoolSpec, Served, Target,
};
use foreshadow_ledger::{Durability, Ledger};
use foreshadow_types::{
    AllocationId, FencingToken, InstanceCount, InstanceId, PoolName, TenantId, Timestamp,
};

use crate::{
    clock::seconds,
    report::{Row, median},
};

/// Events in one group.
const GROUP: usize = 64;
/// Groups in one run.
const GROUPS: usize = 200;
const RUNS: usize = 5;
/// About what one event takes in the ledger.
const EVENT_BYTES: usize = 48;
/// Leases that are recovered.
const LEASES: u64 = 1_000_000;
const POOLS: u64 = 100;

/// Events a second in each mode, beside a plain file with the same durability.
pub(crate) fn rows() -> anyhow::Result<Vec<Row>> {
    let modes = [
        ("append_fsync", Durability::Fsync, "file_fdatasync"),
        ("append_memory", Durability::Memory, "file_write"),
    ];
    let mut rows = Vec::new();
    for (name, durability, peer) in modes {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..RUNS {
            ours.push(ledger_rate(durability)?);
            theirs.push(file_rate(durability == Durability::Fsync)?);
        }
        rows.push(Row {
            name,
            value: median(ours),
            unit: "events/s",
            peer,
            peer_value: median(theirs),
        });
    }
    rows.push(recovery()?);
    Ok(rows)
}

/// Leases recovered a second: the file read, its events decoded, the state with its indices built.
fn recovery() -> anyhow::Result<Row> {
    let folder = tempfile::tempdir()?;
    let mut ledger = Ledger::open(folder.path(), Durability::Memory)?;
    ledger.snapshot(&snapshot()?)?;
    drop(ledger);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let mut outcome = Ok(());
        let took = seconds(|| outcome = recover(folder.path()));
        outcome?;
        ours.push(LEASES as f64 / took);
        let mut outcome = Ok(Vec::new());
        let took = seconds(|| outcome = std::fs::read(folder.path().join("ledger.sqlite")));
        outcome?;
        theirs.push(LEASES as f64 / took);
    }
    eprintln!(
        "recovery of {LEASES} leases: {:.2} s",
        LEASES as f64 / median(&ours)
    );
    Ok(Row {
        name: "recover_1m",
        value: median(&ours),
        unit: "leases/s",
        peer: "file_read",
        peer_value: median(&theirs),
    })
}

fn recover(folder: &Path) -> anyhow::Result<()> {
    let ledger = Ledger::open(folder, Durability::Memory)?;
    let recovered = Allocator::recover(AllocatorConfig::default(), ledger.events()?)?;
    let found = recovered.allocations().count() as u64;
    anyhow::ensure!(found == LEASES, "{found} leases were recovered");
    Ok(())
}

/// The state of a server with a million leases, each on an instance of its own.
fn snapshot() -> anyhow::Result<Vec<Event>> {
    let names: Vec<PoolName> = (0..POOLS)
        .map(|pool| PoolName::new(&format!("pool-{pool}")))
        .collect::<Result<_, _>>()?;
    let mut kinds = vec![EventKind::CountersRestored(Counters {
        next_instance: LEASES + 1,
        next_allocation: LEASES + 1,
        next_token: LEASES + 1,
        plan_generation: 1,
    })];
    for name in &names {
        let mut spec = PoolSpec::new(name.clone());
        spec.max = InstanceCount((LEASES / POOLS) as u32);
        kinds.push(EventKind::PoolRestored(Box::new(PoolRecord::new(
            Arc::new(spec),
        ))));
    }
    let pool = |number: u64| &names[(number % POOLS) as usize];
    kinds.extend(
        (1..=LEASES)
            .map(|number| EventKind::InstanceRestored(Box::new(instance(number, pool(number))))),
    );
    for number in 1..=LEASES {
        kinds.push(EventKind::AllocationRestored(lease(number, pool(number))?));
    }
    let at = Timestamp::MIN;
    Ok(kinds.into_iter().map(|kind| Event { at, kind }).collect())
}

fn instance(number: u64, pool: &PoolName) -> InstanceRecord {
    let since = Timestamp::from_millis(number as i64);
    InstanceRecord {
        id: InstanceId(number),
        pool: pool.clone(),
        revision: 0,
        requested_at: since,
        phase: Phase::Ready { since },
        address: Some("127.0.0.1:41234".into()),
        token: FencingToken(number),
        used: true,
        draining: false,
    }
}

fn lease(number: u64, pool: &PoolName) -> anyhow::Result<Box<AllocationRecord>> {
    let created_at = Timestamp::from_millis(number as i64);
    let tenant = TenantId::new(&format!("tenant-{}", number % 1_000))?;
    let request = AllocationRequest::builder(tenant, Target::Pool(pool.clone()))
        .idempotency_key(&*format!("request-{number}"))
        .build()?;
    let hold = Hold {
        instance: InstanceId(number),
        token: FencingToken(number),
    };
    Ok(Box::new(AllocationRecord {
        id: AllocationId(number),
        request: Arc::new(request),
        pool: pool.clone(),
        rank: 0,
        created_at,
        served: Served::Ready,
        merged: false,
        binding: Binding::Granted {
            hold,
            expires_at: created_at + std::time::Duration::from_hours(1),
        },
    }))
}

fn ledger_rate(durability: Durability) -> anyhow::Result<f64> {
    let folder = tempfile::tempdir()?;
    let mut ledger = Ledger::open(folder.path(), durability)?;
    let pool = PoolName::new("bench")?;
    let events: Vec<Event> = (0..GROUP as u64)
        .map(|instance| Event {
            at: Timestamp::from_millis(0),
            kind: EventKind::InstanceStarted {
                instance: InstanceId(instance),
                pool: pool.clone(),
                deadline: Timestamp::from_millis(1),
            },
        })
        .collect();
    let mut outcome = Ok(());
    let took = seconds(|| outcome = (0..GROUPS).try_for_each(|_| ledger.append(&events)));
    outcome?;
    Ok((GROUP * GROUPS) as f64 / took)
}

fn file_rate(sync: bool) -> anyhow::Result<f64> {
    let folder = tempfile::tempdir()?;
    let mut file = File::create(folder.path().join("log"))?;
    let block = [7_u8; GROUP * EVENT_BYTES];
    let mut outcome = Ok(());
    let took = seconds(|| {
        outcome = (0..GROUPS).try_for_each(|_| {
            file.write_all(&block)?;
            if sync { file.sync_data() } else { Ok(()) }
        });
    });
    outcome?;
    Ok((GROUP * GROUPS) as f64 / took)
}
