//! Claims and releases by clients that always have one under way.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, ensure};
use foreshadow_api::v1::{
    ReleaseRequest, allocation::State, allocations_client::AllocationsClient,
};
use tokio::task::JoinSet;
use tonic::transport::Channel;

use crate::{
    allocate::{ask_for, connect},
    clock::{Watch, seconds_async},
};

/// Calls under way at once.
pub(super) const IN_FLIGHT: usize = 64;
/// How long a run lasts.
const RUN: Duration = Duration::from_secs(4);

/// How a call finds its shard.
#[derive(Debug, Clone, Copy)]
pub(super) enum Route {
    /// Sent to the replica that has it.
    Owner,
    /// Sent to each replica as often: all but one in so many go on to another.
    Spread,
}

/// Pools and the connections to them.
#[derive(Clone)]
pub(super) struct Reached {
    route: Route,
    pools: Vec<String>,
    ends: Vec<AllocationsClient<Channel>>,
}

impl Reached {
    /// A connection to each of these; for [`Route::Owner`] to that of each pool, in their order.
    pub(super) async fn connect(
        route: Route,
        pools: &[String],
        ends: &[SocketAddr],
    ) -> anyhow::Result<Self> {
        let mut connected = Vec::new();
        for &end in ends {
            connected.push(AllocationsClient::new(connect(end).await?));
        }
        Ok(Self {
            route,
            pools: pools.to_vec(),
            ends: connected,
        })
    }

    /// The pool of a client's call, and where it is sent.
    fn call(&self, number: usize) -> (&str, AllocationsClient<Channel>) {
        let (pool, end) = place(self.route, self.pools.len(), self.ends.len(), number);
        (&self.pools[pool], self.ends[end].clone())
    }
}

/// All pools in turn, and all ends for each.
fn place(route: Route, pools: usize, ends: usize, number: usize) -> (usize, usize) {
    let pool = number % pools;
    match route {
        Route::Owner => (pool, pool),
        Route::Spread => (pool, (pool + number / pools) % ends),
    }
}

/// What came of a run.
#[derive(Debug)]
pub(super) struct Load {
    pub(super) seconds: f64,
    /// Claims and releases a second.
    pub(super) per_s: f64,
    /// The median and the 0.99 quantile of a call.
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
}

/// Claims and releases for a while.
pub(super) async fn run(reached: &Reached) -> anyhow::Result<Load> {
    let (seconds, times) = seconds_async(async {
        let mut running = JoinSet::new();
        for client in 0..IN_FLIGHT {
            running.spawn(calls(reached.clone(), client));
        }
        let mut times = Vec::new();
        while let Some(ended) = running.join_next().await {
            times.extend(ended.context("a client stopped")??);
        }
        anyhow::Ok(times)
    })
    .await;
    let mut times = times?;
    times.sort_by(f64::total_cmp);
    let last = times.len().checked_sub(1).context("no call was made")?;
    let quantile = |share: f64| times[(last as f64 * share) as usize] * 1e3;
    Ok(Load {
        seconds,
        per_s: times.len() as f64 / seconds,
        p50_ms: quantile(0.5),
        p99_ms: quantile(0.99),
    })
}

/// The times of one client's calls, in seconds.
async fn calls(reached: Reached, client: usize) -> anyhow::Result<Vec<f64>> {
    let (started, mut times) = (Watch::start(), Vec::new());
    for number in client.. {
        if started.elapsed() > RUN {
            break;
        }
        let (pool, mut end) = reached.call(number);
        let asked = Watch::start();
        let granted = end.allocate(ask_for(pool)).await?.into_inner();
        times.push(asked.elapsed().as_secs_f64());
        let state = granted.state();
        ensure!(state == State::Granted && granted.warm, "{state:?}");
        let release = ReleaseRequest {
            allocation_id: granted.allocation_id,
            fencing_token: granted.fencing_token,
        };
        let asked = Watch::start();
        end.release(release).await?;
        times.push(asked.elapsed().as_secs_f64());
    }
    Ok(times)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_pool_is_asked_for_at_every_end_unless_its_owner_is_known() {
        let pairs =
            |route| -> BTreeSet<_> { (0..36).map(|number| place(route, 6, 6, number)).collect() };
        assert_eq!(pairs(Route::Spread).len(), 36);
        assert_eq!(
            pairs(Route::Owner),
            (0..6).map(|pool| (pool, pool)).collect()
        );
    }
}
