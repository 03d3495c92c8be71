//! One, two and three real servers that share a `PostgreSQL`, beside one with a ledger in files: calls a
//! second and how long they take, what they take of the processors, and what they have the database do.
//!
//! All run on one machine: what is seen is what sharding costs, not what further machines bring.

mod database;
mod load;
mod servers;

use std::time::Duration;

use tokio::time::sleep;

use self::{
    database::{Activity, Database},
    load::{Load, Route},
    servers::{Servers, Setting},
};
use crate::{
    postgres::Private,
    process::processor_of_family_s,
    provider,
    report::{Row, median},
};

/// Runs of each, one after the other in turn; the median counts.
const ROUNDS: usize = 3;
/// How long the servers are watched that nobody calls.
const IDLE: Duration = Duration::from_secs(10);
/// A connection of `PostgreSQL` that has become idle tells what it did ten seconds later.
const TOLD: Duration = Duration::from_millis(10_500);

/// What is measured: how many replicas, none for a server with a ledger in files, and how calls find
/// their shard.
const CASES: [(&str, usize, Route); 6] = [
    ("one_server", 0, Route::Owner),
    ("1_replica", 1, Route::Owner),
    ("2_replicas_owner", 2, Route::Owner),
    ("2_replicas_spread", 2, Route::Spread),
    ("3_replicas_owner", 3, Route::Owner),
    ("3_replicas_spread", 3, Route::Spread),
];

/// All rows.
pub(crate) fn rows() -> anyhow::Result<Vec<Row>> {
    tokio::runtime::Runtime::new()?.block_on(async {
        let provider = provider::serve().await?;
        let postgres = Private::start("synchronous_commit=on").await?;
        let mut all = vec![Servers::start(Setting::alone(provider)?).await?];
        for replicas in 1..=3 {
            let database = Database::make(&postgres, replicas).await?;
            all.push(Servers::start(Setting::sharing(provider, replicas, database)?).await?);
        }
        let idle = Idle::seen(&all, &postgres).await?;
        let mut results: Vec<Vec<Run>> = CASES.map(|_| Vec::new()).into();
        for _ in 0..ROUNDS {
            for ((name, replicas, route), runs) in CASES.into_iter().zip(&mut results) {
                let run = measured(&all[replicas], route, &postgres, &idle, replicas).await?;
                run.tell(name);
                runs.push(run);
            }
        }
        Ok(rows_of(&results, &idle.databases))
    })
}

/// What goes on a second while nobody calls: beats of ownership.
struct Idle {
    /// What each database does.
    databases: Vec<Activity>,
    /// Processor time of the servers of each, and of all of `PostgreSQL`, in seconds.
    servers_s: Vec<f64>,
    postgres_s: f64,
}

impl Idle {
    async fn seen(all: &[Servers], postgres: &Private) -> anyhow::Result<Self> {
        sleep(TOLD).await;
        let (mut before, mut times) = (Vec::new(), Vec::new());
        for servers in all {
            before.push(servers.activity().await?);
            times.push(servers.processor_s()?);
        }
        let postgres_s = processor_of_family_s(postgres.id())?;
        sleep(IDLE).await;
        let a_second = 1.0 / IDLE.as_secs_f64();
        let mut idle = Self {
            databases: Vec::new(),
            servers_s: Vec::new(),
            postgres_s: (processor_of_family_s(postgres.id())? - postgres_s) * a_second,
        };
        for (servers, (before, time)) in all.iter().zip(before.into_iter().zip(times)) {
            let after = servers.activity().await?;
            idle.databases.push(after.since(before).scaled(a_second));
            let took = servers.processor_s()? - time;
            idle.servers_s.push(took * a_second);
        }
        Ok(idle)
    }
}

/// What was measured of one case in one round.
#[derive(Debug)]
struct Run {
    load: Load,
    /// Processor time of all servers and of `PostgreSQL` because of the calls, in microseconds a call.
    server_us: f64,
    postgres_us: f64,
    /// What the database did a second because of the calls.
    database: Activity,
}

impl Run {
    fn tell(&self, name: &str) {
        eprintln!(
            "{name:<18} {:>7.0} calls/s, p50 {:.1} ms, p99 {:.1} ms; {:.0} us of servers and {:.0} us of PostgreSQL a call; {:.0} transactions/s, {:.0} rows/s",
            self.load.per_s,
            self.load.p50_ms,
            self.load.p99_ms,
            self.server_us,
            self.postgres_us,
            self.database.transactions,
            self.database.rows,
        );
    }
}

async fn measured(
    servers: &Servers,
    route: Route,
    postgres: &Private,
    idle: &Idle,
    replicas: usize,
) -> anyhow::Result<Run> {
    let reached = servers.reached(route).await?;
    let before = servers.activity().await?;
    let times = [
        servers.processor_s()?,
        processor_of_family_s(postgres.id())?,
    ];
    let load = load::run(&reached).await?;
    let idle_s = [idle.servers_s[replicas], idle.postgres_s].map(|rate| rate * load.seconds);
    let server_s = servers.processor_s()? - times[0] - idle_s[0];
    let postgres_s = processor_of_family_s(postgres.id())? - times[1] - idle_s[1];
    let mut database = Activity::default();
    if servers.share() {
        sleep(TOLD).await;
        let told = servers.activity().await?.since(before);
        let unasked = idle.databases[replicas].scaled(load.seconds + TOLD.as_secs_f64());
        database = told.since(unasked).scaled(1.0 / load.seconds);
    }
    let calls = load.per_s * load.seconds;
    Ok(Run {
        server_us: server_s / calls * 1e6,
        postgres_us: postgres_s / calls * 1e6,
        database,
        load,
    })
}

/// A unit, and what is told in it.
type Measure = (&'static str, fn(&Run) -> f64);

/// Of each case: rate, times and processor time beside the server alone, and what the database did
/// beside the calls.
fn rows_of(results: &[Vec<Run>], idle: &[Activity]) -> Vec<Row> {
    let of =
        |runs: &[Run], read: fn(&Run) -> f64| median(runs.iter().map(read).collect::<Vec<_>>());
    let measures: [Measure; 4] = [
        ("calls/s", |run| run.load.per_s),
        ("p50 ms", |run| run.load.p50_ms),
        ("p99 ms", |run| run.load.p99_ms),
        ("servers us", |run| run.server_us),
    ];
    let by_calls: [Measure; 2] = [
        ("xacts/s", |run| run.database.transactions),
        ("rows/s", |run| run.database.rows),
    ];
    let mut rows = Vec::new();
    for ((name, replicas, _), runs) in CASES.into_iter().zip(results) {
        let row = |(unit, value), (peer, peer_value)| Row {
            name,
            value,
            unit,
            peer,
            peer_value,
        };
        for (unit, read) in measures {
            let peer = ("one_server", of(&results[0], read));
            rows.push(row((unit, of(runs, read)), peer));
        }
        if replicas == 0 {
            continue;
        }
        let servers = ("its servers", of(runs, |run| run.server_us));
        rows.push(row(
            ("postgres us", of(runs, |run| run.postgres_us)),
            servers,
        ));
        for (unit, read) in by_calls {
            let calls = ("its calls/s", of(runs, |run| run.load.per_s));
            rows.push(row((unit, of(runs, read)), calls));
        }
    }
    rows.extend((1..idle.len()).flat_map(|replicas| idle_rows(replicas, idle[replicas])));
    rows
}

/// What replicas that nobody calls have the database do, beside what beats of ownership let expect.
fn idle_rows(replicas: usize, idle: Activity) -> [Row; 2] {
    let name = [
        "idle",
        "1_replica_idle",
        "2_replicas_idle",
        "3_replicas_idle",
    ][replicas];
    let expected = Activity {
        transactions: crate::capacity::beat_transactions(replicas as f64),
        rows: crate::capacity::beat_rows(replicas as f64, servers::SHARDS as f64),
    };
    let row = |unit, value, peer_value| Row {
        name,
        value,
        unit,
        peer: "beats",
        peer_value,
    };
    [
        row("xacts/s", idle.transactions, expected.transactions),
        row("rows/s", idle.rows, expected.rows),
    ]
}
