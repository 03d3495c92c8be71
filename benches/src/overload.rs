//! Twice the load that the server can take, open-loop: clients ask at times fixed beforehand, whether
//! or not earlier answers have come. The server is a process of its own, so that its memory can be told
//! from the clients'.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::ensure;
use foreshadow_api::v1::Allocation;
use foreshadow_engine::config::Durability;
use tokio::{
    sync::Semaphore,
    time::{sleep, timeout},
};
use tonic::Code;

use crate::{
    allocate::{Claims as _, GrpcClient, Served, clients, rate},
    clock::Watch,
    process::OtherProcess,
    report::Row,
};

/// Clients of the closed loop that finds the peak.
const CLOSED: usize = 64;
/// Connections of the open loop.
const CONNECTIONS: usize = 4;
/// Calls under way at the most; a client that would have more counts its call as given up.
const MOST: usize = 20_000;
/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long a lease lasts: what is granted to a client that has gone away is soon free again.
const LEASE: Duration = Duration::from_secs(5);
/// The pause before a release is tried again.
const AGAIN: Duration = Duration::from_millis(100);
/// Arrivals are let go this often.
const TICK: Duration = Duration::from_millis(2);
/// Instances of the pool.
const WARM: u32 = 512;

/// Goodput at twice the peak load, beside the peak.
pub(crate) fn rows() -> anyhow::Result<Vec<Row>> {
    let seconds =
        std::env::var("FORESHADOW_OVERLOAD_SECONDS").map_or(Ok(60), |text| text.parse())?;
    tokio::runtime::Runtime::new()?.block_on(async {
        let server = OtherProcess::start(&["overload-server"])?;
        let peak = rate(clients(server.address, CLOSED).await?, 1).await? / 2.0;
        let before_mb = server.memory_mb()?;
        let outcome = open_loop(&server, 2.0 * peak, Duration::from_secs(seconds)).await?;
        outcome.tell(seconds, before_mb, server.memory_mb()?);
        Ok(vec![Row {
            name: "overload_2x",
            value: outcome.granted() / seconds as f64,
            unit: "claims/s",
            peer: "peak",
            peer_value: peak,
        }])
    })
}

/// Serves until its parent has gone: the other process.
pub(crate) fn serve() -> anyhow::Result<()> {
    tokio::runtime::Runtime::new()?.block_on(async {
        let served = Served::start(Durability::Memory, WARM).await?;
        println!("{}", served.address);
        let ended = tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new()));
        ended.await??;
        served.stop().await
    })
}

/// What became of the claims.
#[derive(Debug, Default)]
struct Counts {
    granted: AtomicU64,
    refused: AtomicU64,
    given_up: AtomicU64,
    failed: AtomicU64,
    first_failure: OnceLock<String>,
}

struct Outcome {
    counts: Arc<Counts>,
    /// Of granted and of refused claims, in seconds.
    times: [Vec<f64>; 2],
    most_memory_mb: f64,
}

impl Outcome {
    fn granted(&self) -> f64 {
        self.counts.granted.load(Ordering::Relaxed) as f64
    }

    fn tell(&self, seconds: u64, before_mb: f64, after_mb: f64) {
        let counts = &self.counts;
        let at = |times: &Vec<f64>, quantile: f64| {
            let last = times.len().saturating_sub(1) as f64;
            times
                .get((last * quantile) as usize)
                .copied()
                .unwrap_or(0.0)
                * 1e3
        };
        let [granted, refused] = &self.times;
        eprintln!(
            "{seconds} s at twice the peak: {:?}; granted after p50 {:.1} ms, p99 {:.1} ms; refused after p50 {:.1} ms, p99 {:.1} ms; memory {before_mb:.0} MB before, {:.0} MB at the most, {after_mb:.0} MB after",
            counts,
            at(granted, 0.5),
            at(granted, 0.99),
            at(refused, 0.5),
            at(refused, 0.99),
            self.most_memory_mb,
        );
    }
}

async fn open_loop(
    server: &OtherProcess,
    per_second: f64,
    lasting: Duration,
) -> anyhow::Result<Outcome> {
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        let client = clients(server.address, 1).await?.into_iter();
        connections.extend(client.map(|client| client.with_leases_of(LEASE)));
    }
    let counts = Arc::new(Counts::default());
    let (times, mut told) = tokio::sync::mpsc::unbounded_channel();
    let room = Arc::new(Semaphore::new(MOST));
    let (started, mut sent, mut most_memory_mb) = (Watch::start(), 0_u64, 0.0_f64);
    while started.elapsed() < lasting {
        let due = (started.elapsed().as_secs_f64() * per_second) as u64;
        for number in sent..due {
            let Ok(permit) = room.clone().try_acquire_owned() else {
                counts.given_up.fetch_add(1, Ordering::Relaxed);
                continue;
            };
            let client = connections[number as usize % CONNECTIONS].clone();
            let (counts, times) = (counts.clone(), times.clone());
            tokio::spawn(async move {
                claim(client, &counts, &times).await;
                drop(permit);
            });
        }
        if sent / 10_000 != due / 10_000 {
            most_memory_mb = most_memory_mb.max(server.memory_mb()?);
        }
        sent = due;
        sleep(TICK).await;
    }
    drop(times);
    let mut sorted = [Vec::new(), Vec::new()];
    while let Some((granted, seconds)) = told.recv().await {
        sorted[usize::from(!granted)].push(seconds);
    }
    for times in &mut sorted {
        times.sort_by(f64::total_cmp);
    }
    let failed = counts.failed.load(Ordering::Relaxed);
    ensure!(
        failed == 0,
        "{failed} calls failed otherwise than by a refusal; the first: {}",
        counts.first_failure.get().map_or("", String::as_str)
    );
    Ok(Outcome {
        counts,
        times: sorted,
        most_memory_mb,
    })
}

fn is_refusal(error: &anyhow::Error) -> bool {
    let status = error.downcast_ref::<tonic::Status>();
    status.is_some_and(|status| status.code() == Code::ResourceExhausted)
}

type Times = tokio::sync::mpsc::UnboundedSender<(bool, f64)>;

async fn claim(mut client: GrpcClient, counts: &Counts, times: &Times) {
    let since = Watch::start();
    let answer = timeout(PATIENCE, client.claim(1)).await;
    let seconds = since.elapsed().as_secs_f64();
    let (counter, granted) = match &answer {
        Ok(Ok(_)) => (&counts.granted, Some(true)),
        Ok(Err(error)) if is_refusal(error) => (&counts.refused, Some(false)),
        Ok(Err(error)) => {
            counts.first_failure.get_or_init(|| error.to_string());
            (&counts.failed, None)
        }
        Err(_) => (&counts.given_up, None),
    };
    counter.fetch_add(1, Ordering::Relaxed);
    if let Some(granted) = granted {
        // The receiver is read to its end.
        let _ = times.send((granted, seconds));
    }
    if let Ok(Ok(leases)) = answer {
        give_back(client, leases).await;
    }
}

/// Tries until the leases are given back or have run out.
async fn give_back(mut client: GrpcClient, leases: Vec<Allocation>) {
    let since = Watch::start();
    while since.elapsed() < LEASE {
        match timeout(PATIENCE, client.release(leases.clone())).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) if !is_refusal(&error) => return,
            Ok(Err(_)) | Err(_) => sleep(AGAIN).await,
        }
    }
}
