//! One server at three sizes: what it takes in memory and time, beside what the smaller ones let expect;
//! and what it costs that a call goes through another replica.

mod server;
mod sharding;

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, ensure};
use foreshadow_api::{
    v1::{
        AllocateRequest, AllocateStreamRequest, allocate_request::Target, allocate_result,
        allocations_client::AllocationsClient,
    },
    well_known,
};
use tokio::{sync::mpsc, time::sleep};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

pub(crate) use self::server::serve;
use crate::{
    allocate::{clients, p99_at, rate},
    clock::seconds_async,
    pages::{page, ready, sum},
    process::OtherProcess,
    provider,
    report::Row,
};

/// Leases that one instance takes at a time.
const LEASES_OF_ONE: u32 = 200;
/// Instances of the pool of single claims.
const WARM: u32 = 64;
/// The pool of single claims.
const UNARY_POOL: &str = "bench";
/// Claims of one message.
const BATCH: usize = 500;
/// How long memory may take to settle.
const SETTLE: Duration = Duration::from_secs(2);
/// How long pools may take to be warm.
const PATIENCE: Duration = Duration::from_mins(5);

fn pool(number: u32) -> String {
    format!("pool-{number}")
}

/// How much a server has to look after.
#[derive(Debug, Clone, Copy)]
struct Size {
    pools: u32,
    entities: u64,
    leases: u64,
}

/// Three sizes, each ten or three times the one before.
const SIZES: [Size; 3] = [
    Size {
        pools: 1_000,
        entities: 100_000,
        leases: 100_000,
    },
    Size {
        pools: 3_000,
        entities: 300_000,
        leases: 300_000,
    },
    Size {
        pools: 10_000,
        entities: 1_000_000,
        leases: 1_000_000,
    },
];

/// What was measured at one size.
#[derive(Debug)]
struct Point {
    /// With pools and entities, and with leases too.
    memory_mb: [f64; 2],
    /// The forecasts of all series, and the plans of all pools.
    forecast_s: f64,
    plan_s: f64,
    /// Claims and releases a second of single calls, and their 0.99 quantile at half of it.
    calls: f64,
    p99_s: f64,
    /// Claims a second in a stream, until all leases are held.
    claims: f64,
}

impl Point {
    fn tell(&self, size: Size) {
        eprintln!(
            "{} pools, {} entities: {:.0} MB, with {} leases {:.0} MB; forecasts {:.2} s, plans {:.2} s; {:.0} calls/s, p99 at half load {:.0} us; {:.0} claims/s in a stream",
            size.pools,
            size.entities,
            self.memory_mb[0],
            size.leases,
            self.memory_mb[1],
            self.forecast_s,
            self.plan_s,
            self.calls,
            self.p99_s * 1e6,
            self.claims,
        );
    }
}

/// All rows.
pub(crate) fn rows() -> anyhow::Result<Vec<Row>> {
    tokio::runtime::Runtime::new()?.block_on(async {
        let provider = provider::serve().await?;
        let mut points = Vec::new();
        for size in SIZES {
            without_pools(size).await?;
            let point = measured(size, provider).await?;
            point.tell(size);
            points.push(point);
        }
        let mut rows = expected(&points);
        rows.extend(sharding::rows().await?);
        Ok(rows)
    })
}

/// The largest size beside what the two smaller ones, on a straight line, let expect.
fn expected(points: &[Point]) -> Vec<Row> {
    let [small, middle, large] = points else {
        return Vec::new();
    };
    let along = |read: fn(&Point) -> f64| {
        let slope = (read(middle) - read(small)) / f64::from(SIZES[1].pools - SIZES[0].pools);
        let expected = read(middle) + slope * f64::from(SIZES[2].pools - SIZES[1].pools);
        (read(large), expected)
    };
    let row = |name, unit, read| {
        let (value, peer_value) = along(read);
        // More memory or time than expected is worse.
        Row {
            name,
            value: 1.0 / value,
            unit,
            peer: "straight_line",
            peer_value: 1.0 / peer_value,
        }
    };
    let constant = |name, unit, read: fn(&Point) -> f64| Row {
        name,
        value: read(large),
        unit,
        peer: "smallest",
        peer_value: read(small),
    };
    vec![
        row("memory_1m", "1/MB", |point| point.memory_mb[1]),
        row("forecast_1m", "1/s", |point| point.forecast_s),
        row("plan_10k", "1/s", |point| point.plan_s),
        constant("unary_1m", "calls/s", |point| point.calls),
        constant("stream_1m", "claims/s", |point| point.claims),
    ]
}

/// Tells what the entities take alone.
async fn without_pools(size: Size) -> anyhow::Result<()> {
    let entities = size.entities.to_string();
    let server = OtherProcess::start(&["ingest-server", &entities])?;
    sleep(SETTLE).await;
    let memory = server.memory_mb()?;
    eprintln!("{entities} entities without pools: {memory:.0} MB");
    Ok(())
}

async fn measured(size: Size, provider: SocketAddr) -> anyhow::Result<Point> {
    let (pools, entities) = (size.pools.to_string(), size.entities.to_string());
    let words = ["scale-server", &*pools, &*entities, &*provider.to_string()];
    let server = OtherProcess::start(&words)?;
    until_warm(&server, size).await?;
    sleep(SETTLE).await;
    let before = server.memory_mb()?;
    let (took, claimed) = seconds_async(claim_all(server.address, size)).await;
    claimed?;
    sleep(SETTLE).await;
    let after = server.memory_mb()?;
    let calls = rate(clients(server.address, 64).await?, 1).await?;
    let p99_s = p99_at(clients(server.address, 64).await?, calls / 2.0).await?;
    let forecast_s = forecast_s(&server).await?;
    Ok(Point {
        memory_mb: [before, after],
        forecast_s,
        plan_s: plan_s(&server).await?,
        calls,
        p99_s,
        claims: size.leases as f64 / took,
    })
}

async fn until_warm(server: &OtherProcess, size: Size) -> anyhow::Result<()> {
    let wanted = f64::from(size.pools + WARM);
    let warm = async {
        loop {
            if ready(server.address).await? >= wanted {
                return anyhow::Ok(());
            }
            sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::time::timeout(PATIENCE, warm).await?
}

/// Claims all leases on one stream.
async fn claim_all(address: SocketAddr, size: Size) -> anyhow::Result<()> {
    let channel = Channel::from_shared(format!("http://{address}"))?
        .connect()
        .await?;
    let mut client = AllocationsClient::new(channel).max_decoding_message_size(16 << 20);
    let (messages, sent) = mpsc::channel(4);
    tokio::spawn(async move {
        for first in (0..size.leases).step_by(BATCH) {
            let requests =
                (first..size.leases.min(first + BATCH as u64)).map(|number| claim(number, size));
            let message = AllocateStreamRequest {
                requests: requests.collect(),
                releases: Vec::new(),
            };
            if messages.send(message).await.is_err() {
                return;
            }
        }
    });
    let mut answers = client
        .allocate_stream(ReceiverStream::new(sent))
        .await?
        .into_inner();
    let mut granted = 0;
    while let Some(answer) = answers.message().await? {
        for result in answer.results {
            match result.result {
                Some(allocate_result::Result::Allocation(_)) => granted += 1,
                other => anyhow::bail!("no lease: {other:?}"),
            }
        }
    }
    ensure!(
        granted == size.leases,
        "{granted} of {} leases",
        size.leases
    );
    Ok(())
}

fn claim(number: u64, size: Size) -> AllocateRequest {
    AllocateRequest {
        // No tenant holds more than it may.
        tenant_id: format!("tenant-{}", number % 10),
        user_id: format!("user-{}", number % size.entities.max(1)),
        target: Some(Target::Pool(pool((number % u64::from(size.pools)) as u32))),
        lease_duration: Some(well_known::Duration {
            seconds: 36_000,
            nanos: 0,
        }),
        ..AllocateRequest::default()
    }
}

/// The mean time of the batches of forecasts of all series that come next, once there was one.
async fn forecast_s(server: &OtherProcess) -> anyhow::Result<f64> {
    let name = "foreshadow_forecast_batch_duration_seconds";
    let batches = |page: &str| {
        (
            sum(page, &format!("{name}_count")),
            sum(page, &format!("{name}_sum")),
        )
    };
    let before = batches(&page(server.address, "GET", "/metrics", String::new()).await?);
    let next = async {
        loop {
            sleep(Duration::from_secs(1)).await;
            let now = batches(&page(server.address, "GET", "/metrics", String::new()).await?);
            if now.0 > before.0 {
                return anyhow::Ok((now.1 - before.1) / (now.0 - before.0));
            }
        }
    };
    tokio::time::timeout(PATIENCE, next).await?
}

/// How long all pools take to be planned: a dry run of the configuration in force.
async fn plan_s(server: &OtherProcess) -> anyhow::Result<f64> {
    let config = page(server.address, "GET", "/admin/shadow_config", String::new()).await?;
    let dry = page(
        server.address,
        "POST",
        "/admin/shadow_config?dry_run=true",
        config,
    );
    let (took, answer) = seconds_async(dry).await;
    answer.context("a dry run")?;
    Ok(took)
}
