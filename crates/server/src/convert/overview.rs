//! Everything that the console shows.

use std::time::Duration;

use foreshadow_allocator::{AllocationState, ListFilter};
use foreshadow_api::{
    allocation_to_proto, duration_to_proto, timestamp_to_proto,
    v1::{self, overview},
};
use foreshadow_engine::{
    EngineHandle, ForecastMetrics, LATENCY_BOUNDS_S, LatencySnapshot, Readiness, RetrainingMetrics,
};
use foreshadow_types::Timestamp;

use super::{durability_to_proto, overrides_to_proto, pool_statuses};
use crate::error::ApiError;

/// Allocations shown at most.
const SHOWN: usize = 200;

pub(crate) async fn overview(
    engine: &EngineHandle,
    now: Timestamp,
) -> Result<v1::Overview, ApiError> {
    let metrics = engine.metrics().await?;
    let durability = durability_to_proto(engine.durability());
    let live = ListFilter {
        states: [
            AllocationState::Granted,
            AllocationState::Joined,
            AllocationState::Queued,
            AllocationState::Booked,
        ]
        .into(),
        ..ListFilter::default()
    };
    let page = engine.list(live, None, SHOWN).await?;
    let not_ready_reason = match engine.ready() {
        Readiness::Ready => String::new(),
        Readiness::NotReady(reason) => reason,
    };
    let reply_time = &metrics.decisions.reply_time;
    Ok(v1::Overview {
        as_of: Some(timestamp_to_proto(now)),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ready: not_ready_reason.is_empty(),
        not_ready_reason,
        durability: durability.into(),
        pools: pool_statuses(engine).await?,
        allocations: page
            .allocations
            .into_iter()
            .map(|allocation| allocation_to_proto(allocation, durability))
            .collect(),
        forecasting: Some(forecasting(&metrics.forecasts)),
        retraining: Some(retraining(metrics.retraining)),
        entities: metrics.telemetry.entities,
        samples: metrics.telemetry.accepted,
        reply_p50: quantile(reply_time, 0.5).map(duration_to_proto),
        reply_p99: quantile(reply_time, 0.99).map(duration_to_proto),
        wait_error_p50: quantile(&metrics.decisions.wait_error, 0.5).map(duration_to_proto),
        wait_error_p90: quantile(&metrics.decisions.wait_error, 0.9).map(duration_to_proto),
        overrides: overrides_to_proto(&engine.overrides().await?.overrides),
    })
}

fn forecasting(metrics: &ForecastMetrics) -> overview::Forecasting {
    overview::Forecasting {
        model: metrics.model.clone(),
        ticks: metrics.ticks,
        series: metrics.series,
        batch_p50: quantile(&metrics.batch_time, 0.5).map(duration_to_proto),
        fallbacks: metrics.late + metrics.failed + metrics.not_finite,
        triggers_active: metrics.triggers_active,
        plan_age: Some(duration_to_proto(metrics.plan_age)),
    }
}

fn retraining(metrics: RetrainingMetrics) -> overview::Retraining {
    overview::Retraining {
        started: metrics.started,
        failed: metrics.failed,
        promoted: metrics.promoted,
        rejected: metrics.rejected,
        latest: metrics.latest.unwrap_or_default(),
    }
}

/// A quantile of a histogram, linear within its bucket; none while it is empty.
fn quantile(times: &LatencySnapshot, level: f64) -> Option<Duration> {
    let wanted = level * times.count as f64;
    let mut below = 0.0;
    for (bucket, &count) in times.buckets.iter().enumerate() {
        let count = count as f64;
        if count > 0.0 && below + count >= wanted {
            let low = bucket.checked_sub(1).map_or(0.0, |i| LATENCY_BOUNDS_S[i]);
            let high = LATENCY_BOUNDS_S.get(bucket).copied().unwrap_or(low);
            let inside = (wanted - below) / count;
            return Some(Duration::from_secs_f64(low + inside * (high - low)));
        }
        below += count;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_lies_in_its_bucket() {
        let mut times = LatencySnapshot {
            count: 10,
            ..LatencySnapshot::default()
        };
        assert_eq!(quantile(&LatencySnapshot::default(), 0.5), None);
        times.buckets[0] = 5;
        times.buckets[4] = 5;
        assert_eq!(quantile(&times, 0.5), Some(Duration::from_micros(50)));
        let slow = quantile(&times, 0.99).unwrap();
        assert!(slow > Duration::from_micros(500) && slow <= Duration::from_millis(1));
        times.buckets[LATENCY_BOUNDS_S.len()] = 100;
        times.count = 110;
        assert_eq!(quantile(&times, 0.99), Some(Duration::from_secs(10)));
    }
}
