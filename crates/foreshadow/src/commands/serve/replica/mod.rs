//! Serving as one replica of several.

mod holding;
mod keeper;
mod peers;
mod releases;
mod training;

use std::{future::Future, sync::Arc};

use anyhow::anyhow;
use foreshadow_cluster::{ClusterError, LedgerError, Membership};
use foreshadow_engine::EngineConfig;
use foreshadow_server::{Cluster, Place, ServerOptions};
use sd_notify::NotifyState;
use tokio::sync::{oneshot, watch};

use self::keeper::Keeper;
use super::{bind, notify};
use crate::{config::ClusterConfig, failure::Failure};

/// A database that cannot be reached may come back; the rest is for the operator to mend.
fn not_joined(error: ClusterError) -> Failure {
    match error {
        ClusterError::Ledger(LedgerError::Unreachable { .. })
        | ClusterError::Database(_)
        | ClusterError::Silent => error.into(),
        ClusterError::Ledger(_) | ClusterError::OtherShards { .. } => Failure::bad_input(error),
    }
}

/// Serves until `stop` completes, and says on stdout when and where.
pub(super) async fn serve(
    options: ServerOptions,
    mut engine: EngineConfig,
    cluster: ClusterConfig,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), Failure> {
    let tls = peers::tls(&cluster)?;
    let encrypted = options.tls.is_some();
    let server = bind(options).await?;
    let listening = server.local_addr();
    let scheme = if encrypted { "https" } else { "http" };
    let address = match cluster.advertise {
        Some(address) => address,
        None if listening.ip().is_unspecified() => {
            return Err(Failure::bad_input(format!(
                "[cluster]: others cannot reach {listening}; give `advertise` or FORESHADOW_ADVERTISE"
            )));
        }
        None => format!("{scheme}://{listening}"),
    };
    let name = cluster.name.map_or_else(peers::machine, Ok)?;
    let _lock = peers::own_folder(&engine.data_dir)?;
    engine.retraining.turns = training::turns(&cluster.database, &name);
    let mut membership = Membership::new(
        cluster.database.0.clone(),
        name,
        address,
        cluster.shards,
        cluster.time,
    );
    // What can be mended is told now rather than tried for ever.
    membership.beat(&[], false).await.map_err(not_joined)?;
    let (placing, places) = watch::channel(Arc::new(vec![
        Place::Nowhere;
        usize::from(cluster.shards.count())
    ]));
    let seen = Cluster {
        shards: cluster.shards,
        pools: peers::placed(&engine, cluster.shards),
        triggers: engine.shadow.triggers.clone(),
        ranks_by_usage: engine.usage_metric.is_some(),
        places,
        tls,
    };
    let (leaving, left) = (oneshot::channel(), oneshot::channel());
    let keeper = Keeper::new(
        membership,
        engine,
        cluster.database,
        cluster.shards,
        placing,
    );
    let mut keeping = tokio::spawn(keeper.run(leaving.1, left.0));
    println!("listening on {listening}");
    notify(&[NotifyState::Ready]);
    let ended = async move {
        stop.await;
        notify(&[NotifyState::Stopping]);
        // Others take the shards over before the port closes, and calls until then are sent on.
        let _ = leaving.0.send(());
        let _ = left.1.await;
    };
    let served = server.run_replica(seen, ended);
    let served = tokio::select! {
        served = served => served.map_err(Failure::from),
        fault = &mut keeping => {
            Err(anyhow!("shards are not kept any more: {fault:?}").into())
        }
    };
    keeping.abort();
    served
}
