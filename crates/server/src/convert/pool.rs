//! The state of pools.

use std::time::Duration;

use foreshadow_api::{duration_to_proto, v1};
use foreshadow_engine::{EngineHandle, PoolView, PredictRequest, Prediction, PreviewView, Subject};

use super::{forecast_to_proto, shadow::accuracy_to_proto};
use crate::error::ApiError;

/// What a band needs: its ends and its middle.
const LEVELS: [f64; 3] = [0.1, 0.5, 0.9];

/// All pools with their forecasts, as far as those of each tick reach.
pub(crate) async fn pool_statuses(engine: &EngineHandle) -> Result<Vec<v1::PoolStatus>, ApiError> {
    let horizon = engine.shadow_config().await?.config.horizon;
    let mut statuses = Vec::new();
    for view in engine.pools().await? {
        let question = PredictRequest {
            subject: Subject::Pool(view.status.name.clone()),
            metric: None,
            horizon,
            levels: LEVELS.to_vec(),
        };
        // A pool that nothing is known of yet has no forecast; that is no reason to show nothing.
        let forecast = engine.predict(question).await.ok();
        statuses.push(pool_to_proto(view, forecast.as_ref()));
    }
    Ok(statuses)
}

fn pool_to_proto(view: PoolView, forecast: Option<&Prediction>) -> v1::PoolStatus {
    let status = &view.status;
    let outcomes = &view.outcomes;
    v1::PoolStatus {
        pool: status.name.to_string(),
        vcpus: view.shape.vcpus.as_f64(),
        memory_bytes: view.shape.memory.0,
        storage_iops: view.shape.storage_iops,
        network_mbps: view.shape.network_mbps,
        gpus: view.shape.gpus,
        max: status.max,
        min: view.min,
        target_hit_rate: view.target_hit_rate,
        target: status.target,
        ready: status.ready,
        starting: status.starting,
        leased: status.leased,
        stopping: status.stopping,
        reserved: status.reserved,
        queued: status.queued,
        booked: status.booked,
        hits: outcomes.hits,
        joins: outcomes.joins,
        misses: outcomes.misses,
        rejected: outcomes.rejected,
        hit_rate: outcomes.hit_rate(),
        startup_typical: Some(duration_to_proto(status.startup_typical)),
        startup_slow: Some(duration_to_proto(status.startup_slow)),
        failed_starts: status.failed_starts,
        accuracy: Some(accuracy_to_proto("requests".to_owned(), &view.accuracy)),
        forecast: forecast.map(forecast_to_proto),
        reasons: view.reasons,
        waits: view.waits.into_iter().collect(),
        preview: view.preview.as_ref().map(preview_to_proto),
    }
}

fn preview_to_proto(preview: &PreviewView) -> v1::pool_status::Preview {
    let seconds = |idle_s: f64| Some(duration_to_proto(Duration::from_secs_f64(idle_s.max(0.0))));
    v1::pool_status::Preview {
        kept: preview.kept,
        proposed: preview.proposed,
        requests: preview.requests,
        hits: preview.hits,
        idle: seconds(preview.idle_s),
        kept_hits: preview.kept_hits,
        kept_idle: seconds(preview.kept_idle_s),
    }
}
