//! The service at a glance: sums over all pools, and those of them that need a look.

use std::{collections::BTreeMap, time::Duration};

use foreshadow_api::{
    duration_to_proto, timestamp_to_proto,
    v1::{
        self,
        overview::{self, Totals, Trouble},
        pool_status::{Alert, Beside},
    },
};
use foreshadow_engine::{
    EngineHandle, ForecastMetrics, LATENCY_BOUNDS_S, LatencySnapshot, MetricsSnapshot, PoolView,
    Readiness, RetrainingMetrics,
};
use foreshadow_types::Timestamp;

use super::{
    alerts::{Look, urgency},
    durability_to_proto, overrides_to_proto,
    pool::pool_to_proto,
};
use crate::error::ApiError;

/// Pools given where nothing is said of it, and at the most.
const USUAL_POOLS: u32 = 60;
const MOST_POOLS: u32 = 500;
/// Overrides given at the most.
const MOST_OVERRIDES: usize = 100;

pub(crate) async fn overview(
    engine: &EngineHandle,
    request: v1::GetOverviewRequest,
    now: Timestamp,
) -> Result<v1::Overview, ApiError> {
    let MetricsSnapshot {
        pools,
        decisions,
        forecasts,
        telemetry,
        retraining: trainings,
    } = engine.metrics().await?;
    let look = Look::at(engine, now);
    let overrides = engine.published_overrides();
    let totals = Totals {
        overrides: overrides.len() as u64,
        ..totals(&pools, &look)
    };
    let max_pools = match request.max_pools {
        0 => USUAL_POOLS,
        given => given.min(MOST_POOLS),
    };
    let (matching, pools) = page(pools, &request.search, max_pools as usize, &look);
    let not_ready_reason = match engine.ready() {
        Readiness::Ready => String::new(),
        Readiness::NotReady(reason) => reason,
    };
    let reply_time = &decisions.reply_time;
    let shown = overrides.len().min(MOST_OVERRIDES);
    Ok(v1::Overview {
        as_of: Some(timestamp_to_proto(now)),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ready: not_ready_reason.is_empty(),
        not_ready_reason,
        durability: durability_to_proto(engine.durability()).into(),
        pools,
        forecasting: Some(forecasting(&forecasts)),
        retraining: Some(retraining(trainings)),
        entities: telemetry.entities,
        samples: telemetry.accepted,
        reply_p50: quantile(reply_time, 0.5).map(duration_to_proto),
        reply_p99: quantile(reply_time, 0.99).map(duration_to_proto),
        wait_error_p50: quantile(&decisions.wait_error, 0.5).map(duration_to_proto),
        wait_error_p90: quantile(&decisions.wait_error, 0.9).map(duration_to_proto),
        overrides: overrides_to_proto(&overrides[..shown]),
        totals: Some(totals),
        matching,
        max_pools,
    })
}

/// How many pools match, and the most urgent of them.
fn page(
    pools: Vec<PoolView>,
    search: &str,
    most: usize,
    look: &Look,
) -> (u64, Vec<v1::PoolStatus>) {
    let matching = pools
        .into_iter()
        .filter(|view| view.status.name.as_str().contains(search));
    let mut ranked: Vec<_> = matching
        .map(|view| {
            let gravest = look.alerts(&view).first().copied().map(i32::from);
            (urgency(gravest, view.status.queued), view)
        })
        .collect();
    ranked.sort_by(|(a, one), (b, other)| {
        let names = || one.status.name.cmp(&other.status.name);
        a.cmp(b).then_with(names)
    });
    let matching = ranked.len() as u64;
    let first = ranked.into_iter().take(most);
    let first = first.map(|(_, view)| pool_to_proto(view, look, None));
    (matching, first.collect())
}

fn totals(pools: &[PoolView], look: &Look) -> Totals {
    let mut totals = Totals::default();
    let mut idle = Duration::ZERO;
    let mut troubles: BTreeMap<Alert, u64> = BTreeMap::new();
    for view in pools {
        let (status, outcomes) = (&view.status, &view.outcomes);
        totals.pools += 1;
        totals.ready += u64::from(status.ready);
        totals.starting += u64::from(status.starting);
        totals.leased += u64::from(status.leased);
        totals.queued += u64::from(status.queued);
        totals.booked += u64::from(status.booked);
        totals.hits += outcomes.hits;
        totals.joins += outcomes.joins;
        totals.misses += outcomes.misses;
        totals.rejected += outcomes.rejected;
        totals.failed_starts += status.failed_starts;
        idle += view.record.idle;
        for (cause, waited) in &view.waits {
            *totals.waits.entry(cause.clone()).or_default() += waited;
        }
        if let Some(beside) = view.record.beside {
            let sum = totals.beside.get_or_insert_with(Beside::default);
            sum.idle += beside.idle;
            sum.static_idle += beside.constant_idle;
            totals.beside_pools += 1;
        }
        for alert in look.alerts(view) {
            *troubles.entry(alert).or_default() += 1;
        }
    }
    totals.idle = Some(duration_to_proto(idle));
    let troubles = troubles.into_iter().map(|(alert, pools)| Trouble {
        alert: alert.into(),
        pools,
    });
    totals.troubles = troubles.collect();
    totals
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
