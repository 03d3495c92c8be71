//! Drives real gRPC load: each request asks for a notebook at its time, calls it, uses it and gives
//! it back, while the pool is watched from outside.

use std::time::Duration;

use foreshadow_api::{
    v1::{
        AllocateRequest, Allocation, GetPoolRequest, ReleaseRequest, WatchRequest,
        admin_client::AdminClient, allocate_request::Target, allocation::State,
        allocations_client::AllocationsClient,
    },
    well_known,
};
use foreshadow_types::Timestamp;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};
use tonic::transport::Channel;

use super::workload::SampleRequest;
use crate::failure::Failure;

/// How one request fared.
#[derive(Debug, Clone, Copy)]
pub(super) struct Served {
    /// It was bound to an instance that was ready, with no wait.
    pub(super) hit: bool,
    /// From the call until the instance was its own.
    pub(super) wait: Duration,
    /// From the call until the instance had answered its first call.
    pub(super) first_answer: Duration,
}

/// What the load saw.
#[derive(Debug, Clone, Default)]
pub(super) struct Outcome {
    /// The requests that were served.
    pub(super) served: Vec<Served>,
    /// How many were refused or failed.
    pub(super) failed: usize,
    /// Warm instances that nobody had claimed, integrated over the time of the load.
    pub(super) idle_unit_seconds: f64,
}

impl Outcome {
    /// All requests, those that failed included.
    pub(super) fn requests(&self) -> usize {
        self.served.len() + self.failed
    }

    /// The share of all requests that found a ready instance.
    pub(super) fn hit_rate(&self) -> f64 {
        let hits = self.served.iter().filter(|served| served.hit).count();
        hits as f64 / self.requests().max(1) as f64
    }
}

/// How often the pool is looked at.
const WATCH_EVERY: Duration = Duration::from_millis(100);
/// How long a request waits for an instance at most.
const MAX_WAIT_S: i64 = 30;

/// Sends each request at its time after `start`, which stands for the instant `origin`.
pub(super) async fn drive(
    channel: Channel,
    pool: &str,
    requests: &[SampleRequest],
    start: Timestamp,
    origin: Instant,
) -> Outcome {
    let mut users = JoinSet::new();
    for request in requests {
        let (channel, pool, request) = (channel.clone(), pool.to_owned(), request.clone());
        let at = origin + request.at.since(start);
        users.spawn(async move {
            sleep_until(at).await;
            one_user(channel, pool, request).await
        });
    }
    let end = requests
        .last()
        .map_or(origin, |last| origin + last.at.since(start));
    let idle = idle_unit_seconds(channel, pool, origin, end).await;
    let mut outcome = Outcome {
        idle_unit_seconds: idle,
        ..Outcome::default()
    };
    while let Some(ended) = users.join_next().await {
        match ended {
            Ok(Ok(served)) => outcome.served.push(served),
            Ok(Err(_)) | Err(_) => outcome.failed += 1,
        }
    }
    outcome
}

async fn one_user(
    channel: Channel,
    pool: String,
    request: SampleRequest,
) -> Result<Served, Failure> {
    let mut client = AllocationsClient::new(channel);
    let asked = Instant::now();
    let first = client.allocate(ask(pool, &request)).await?.into_inner();
    let hit = first.state() == State::Granted && first.warm;
    let granted = if first.state() == State::Granted {
        first
    } else {
        until_granted(&mut client, first.allocation_id).await?
    };
    let wait = asked.elapsed();
    let instance = granted.instance.clone().unwrap_or_default();
    call(&instance.address).await?;
    let first_answer = asked.elapsed();
    tokio::time::sleep(request.hold).await;
    client
        .release(ReleaseRequest {
            allocation_id: granted.allocation_id,
            fencing_token: granted.fencing_token,
        })
        .await?;
    Ok(Served {
        hit,
        wait,
        first_answer,
    })
}

fn ask(pool: String, request: &SampleRequest) -> AllocateRequest {
    AllocateRequest {
        tenant_id: "demo".to_owned(),
        user_id: request.user.clone(),
        application_id: "notebook".to_owned(),
        target: Some(Target::Pool(pool)),
        max_wait: Some(well_known::Duration {
            seconds: MAX_WAIT_S,
            nanos: 0,
        }),
        ..AllocateRequest::default()
    }
}

async fn until_granted(
    client: &mut AllocationsClient<Channel>,
    allocation_id: String,
) -> Result<Allocation, Failure> {
    let mut changes = client
        .watch(WatchRequest { allocation_id })
        .await?
        .into_inner();
    while let Some(change) = changes.message().await? {
        match change.state() {
            State::Granted => return Ok(change),
            State::Joined | State::Queued | State::Booked => {}
            state => return Err(anyhow::anyhow!("the request ended as {state:?}").into()),
        }
    }
    Err(anyhow::anyhow!("the server ended the watch").into())
}

/// Calls the instance once, as its user would.
async fn call(address: &str) -> Result<(), Failure> {
    let mut connection = TcpStream::connect(address).await?;
    connection
        .write_all(b"GET / HTTP/1.1\r\nHost: notebook\r\nConnection: close\r\n\r\n")
        .await?;
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer).await?;
    if answer.starts_with(b"HTTP/1.1 200") {
        return Ok(());
    }
    Err(anyhow::anyhow!("the instance at {address} did not answer").into())
}

/// Watches the pool from `start` to `end` and sums up its warm, unclaimed instances.
async fn idle_unit_seconds(channel: Channel, pool: &str, start: Instant, end: Instant) -> f64 {
    let mut client = AdminClient::new(channel);
    let mut clock = interval(WATCH_EVERY);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    sleep_until(start).await;
    clock.reset();
    let (mut idle, mut before) = (0.0, start);
    while before < end {
        let now = clock.tick().await;
        let asked = GetPoolRequest {
            pool: pool.to_owned(),
        };
        let Ok(found) = client.get_pool(asked).await else {
            continue;
        };
        idle += f64::from(found.into_inner().ready) * now.duration_since(before).as_secs_f64();
        before = now;
    }
    idle
}
