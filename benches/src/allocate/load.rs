//! Load from a number of clients, and what comes of it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::Context as _;
use tokio::{task::JoinSet, time::sleep};

use crate::{
    clock::{Watch, seconds_async},
    report::{Row, median},
};

/// How long one run lasts.
const RUN: Duration = Duration::from_secs(2);
/// A pause between two calls that is shorter than this cannot be slept.
const SHORTEST_PAUSE: Duration = Duration::from_micros(50);

/// A client of something that leases instances.
pub(crate) trait Claims: Send + 'static {
    /// What is given back.
    type Lease: Send + 'static;

    /// Claims `count` instances, all of them ready.
    fn claim(
        &mut self,
        count: usize,
    ) -> impl Future<Output = anyhow::Result<Vec<Self::Lease>>> + Send;

    /// Gives instances back.
    fn release(
        &mut self,
        leases: Vec<Self::Lease>,
    ) -> impl Future<Output = anyhow::Result<()>> + Send;
}

/// Calls a second, claims and releases counted, with each client claiming `batch` at a time.
pub(crate) async fn rate<C: Claims>(clients: Vec<C>, batch: usize) -> anyhow::Result<f64> {
    let (ended, pairs) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
    );
    let (took, outcome) = seconds_async(async {
        let mut running = JoinSet::new();
        for mut client in clients {
            let (ended, pairs) = (ended.clone(), pairs.clone());
            running.spawn(async move {
                while !ended.load(Ordering::Relaxed) {
                    let leases = client.claim(batch).await?;
                    client.release(leases).await?;
                    pairs.fetch_add(batch as u64, Ordering::Relaxed);
                }
                anyhow::Ok(())
            });
        }
        sleep(RUN).await;
        ended.store(true, Ordering::Relaxed);
        all(running).await
    })
    .await;
    outcome?;
    Ok(2.0 * pairs.load(Ordering::Relaxed) as f64 / took)
}

/// The 0.99 quantile in seconds of a call, with claims due at even times, `per_second` calls in all:
/// one that waits for its client counts from when it was due.
pub(crate) async fn p99_at<C: Claims>(clients: Vec<C>, per_second: f64) -> anyhow::Result<f64> {
    let each = Duration::from_secs_f64(2.0 * clients.len() as f64 / per_second);
    let mut running = JoinSet::new();
    let count = clients.len() as f64;
    let started = Watch::start();
    for (number, mut client) in clients.into_iter().enumerate() {
        let phase = each.mul_f64(number as f64 / count);
        running.spawn(async move {
            let mut times = Vec::new();
            let mut due = phase;
            while due < RUN {
                let early = due.saturating_sub(started.elapsed());
                if early > SHORTEST_PAUSE {
                    sleep(early).await;
                }
                // A timer of the runtime is late by up to a millisecond, which is not the server's;
                // a client that is still busy is.
                let begun = if early > SHORTEST_PAUSE {
                    started.elapsed()
                } else {
                    due
                };
                let leases = client.claim(1).await?;
                let claimed = started.elapsed();
                client.release(leases).await?;
                times.push(claimed.saturating_sub(begun).as_secs_f64());
                times.push(started.elapsed().saturating_sub(claimed).as_secs_f64());
                due += each;
            }
            anyhow::Ok(times)
        });
    }
    let mut times = Vec::new();
    while let Some(ended) = running.join_next().await {
        times.extend(ended.context("a client stopped")??);
    }
    times.sort_by(f64::total_cmp);
    let last = times.len().checked_sub(1).context("no call was made")?;
    Ok(times[(last as f64 * 0.99) as usize])
}

/// Waits for all clients; the first that failed fails the run.
pub(crate) async fn all<T: 'static>(mut running: JoinSet<anyhow::Result<T>>) -> anyhow::Result<()> {
    while let Some(ended) = running.join_next().await {
        ended.context("a client stopped")??;
    }
    Ok(())
}

/// The rates of several runs, ours and each peer's.
#[derive(Debug, Default)]
pub(crate) struct Rates {
    pub(crate) ours: Vec<f64>,
    peers: Vec<(&'static str, Vec<f64>)>,
}

impl Rates {
    pub(crate) fn note(&mut self, peer: &'static str, rate: f64) {
        match self.peers.iter_mut().find(|(name, _)| *name == peer) {
            Some((_, rates)) => rates.push(rate),
            None => self.peers.push((peer, vec![rate])),
        }
    }

    pub(crate) fn of(&self, peer: &str) -> &[f64] {
        let found = self.peers.iter().find(|(name, _)| *name == peer);
        found.map_or(&[], |(_, rates)| rates)
    }

    /// The rows of all calls.
    pub(crate) fn rows(&self, name: &'static str) -> Vec<Row> {
        self.scaled(name, "calls/s", 1.0)
    }

    /// The rows of the claims alone: half of the calls, for every claim is followed by a release.
    pub(crate) fn claims(&self, name: &'static str) -> Vec<Row> {
        self.scaled(name, "allocations/s", 0.5)
    }

    /// The rows of a share of the calls.
    pub(crate) fn scaled(&self, name: &'static str, unit: &'static str, share: f64) -> Vec<Row> {
        let value = median(&self.ours) * share;
        let row = |(peer, rates): &(&'static str, Vec<f64>)| Row {
            name,
            value,
            unit,
            peer,
            peer_value: median(rates) * share,
        };
        self.peers.iter().map(row).collect()
    }
}
