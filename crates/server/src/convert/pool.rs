//! The state of pools.

use std::time::Duration;

use foreshadow_api::{
    duration_to_proto, timestamp_to_proto,
    v1::{self, pool_status::Alert},
};
use foreshadow_engine::{
    Beside, EngineHandle, PoolHistory, PoolView, PredictRequest, Prediction, PreviewView, Subject,
};
use foreshadow_types::{PoolName, Timestamp};
use tokio::time::{Instant, timeout_at};

use super::{alerts::Look, forecast_to_proto, shadow::accuracy_to_proto};
use crate::error::ApiError;

/// What a band needs: its ends and its middle.
const LEVELS: [f64; 3] = [0.1, 0.5, 0.9];

/// How long pools that are looked at wait for forecasts that are not at hand: planning may be at work.
const PATIENCE: Duration = Duration::from_millis(500);

/// Pools with their forecasts, as far as those of each tick reach.
pub(crate) async fn pool_statuses(
    engine: &EngineHandle,
    views: Vec<PoolView>,
    now: Timestamp,
) -> Vec<v1::PoolStatus> {
    let (look, due) = (Look::at(engine, now), Instant::now() + PATIENCE);
    let mut statuses = Vec::with_capacity(views.len());
    for view in views {
        let forecast = forecast(engine, &view.status.name, due).await;
        let alerts = look.alerts(&view);
        statuses.push(pool_to_proto(view, &alerts, forecast.as_ref()));
    }
    statuses
}

/// One pool with its forecast.
pub(crate) async fn pool_status(
    engine: &EngineHandle,
    name: PoolName,
    now: Timestamp,
) -> Result<v1::PoolStatus, ApiError> {
    let view = engine.pool(name).await?;
    let statuses = pool_statuses(engine, vec![view], now).await;
    Ok(statuses.into_iter().next().unwrap_or_default())
}

/// A pool that nothing is known of yet has no forecast, nor has one whose forecast does not come by then;
/// that is no reason to show nothing.
async fn forecast(engine: &EngineHandle, pool: &PoolName, due: Instant) -> Option<Prediction> {
    let (_, horizon) = engine.cadence();
    let question = PredictRequest {
        subject: Subject::Pool(pool.clone()),
        metric: None,
        horizon,
        levels: LEVELS.to_vec(),
    };
    timeout_at(due, engine.predict(question)).await.ok()?.ok()
}

/// A pool, with its forecast if that is asked for.
pub(crate) fn pool_to_proto(
    view: PoolView,
    alerts: &[Alert],
    forecast: Option<&Prediction>,
) -> v1::PoolStatus {
    let alerts = alerts.iter().copied().map(i32::from);
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
        alerts: alerts.collect(),
        recent_hit_rate: view.record.hit_rate,
        idle: Some(duration_to_proto(view.record.idle)),
        beside: view.record.beside.map(beside_to_proto),
    }
}

fn beside_to_proto(beside: Beside) -> v1::pool_status::Beside {
    v1::pool_status::Beside {
        idle: beside.idle,
        static_idle: beside.constant_idle,
    }
}

/// A pool's past.
pub(crate) fn history_to_proto(history: PoolHistory) -> v1::PoolHistory {
    let steps = history.demand.into_iter();
    let plans = history.plans.into_iter();
    let trade_off = history.trade_off.into_iter();
    v1::PoolHistory {
        pool: history.pool.to_string(),
        from: Some(timestamp_to_proto(history.from)),
        step: Some(duration_to_proto(history.step)),
        steps: steps
            .map(|step| v1::pool_history::Step {
                requests: step.requests,
                waited: step.waited,
            })
            .collect(),
        plans: plans
            .map(|plan| v1::pool_history::Plan {
                at: Some(timestamp_to_proto(plan.at)),
                target: plan.target,
                proposed: plan.proposed,
                ready: plan.basis.ready,
                starting: plan.basis.starting,
                leased: plan.basis.leased,
                queued: plan.basis.queued,
            })
            .collect(),
        trade_off: trade_off
            .map(|point| v1::pool_history::TradeOff {
                hit_rate: point.hit_rate,
                idle: point.idle,
            })
            .collect(),
        known_from: history.known_from.map(timestamp_to_proto),
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
