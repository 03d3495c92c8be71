//! The service at a glance: sums over all pools, and those of them that need a look.

use std::time::Duration;

use foreshadow_api::{
    duration_from_proto, duration_to_proto, timestamp_to_proto,
    v1::{
        self,
        overview::{self, Totals, Trouble},
        pool_status::{Alert, Beside},
    },
    well_known,
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
    let looked = |view| {
        let alerts = look.alerts(&view);
        (view, alerts)
    };
    let pools: Vec<_> = pools.into_iter().map(looked).collect();
    let overrides = engine.published_overrides();
    let totals = Totals {
        overrides: overrides.len() as u64,
        ..totals(&pools)
    };
    let max_pools = match request.max_pools {
        0 => USUAL_POOLS,
        given => given.min(MOST_POOLS),
    };
    let (matching, pools) = page(pools, &request.search, max_pools as usize);
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
    pools: Vec<(PoolView, Vec<Alert>)>,
    search: &str,
    most: usize,
) -> (u64, Vec<v1::PoolStatus>) {
    let mut ranked: Vec<_> = pools
        .into_iter()
        .filter(|(view, _)| view.status.name.as_str().contains(search))
        .map(|(view, alerts)| {
            let gravest = alerts.first().copied().map(i32::from);
            (urgency(gravest, view.status.queued), view, alerts)
        })
        .collect();
    ranked.sort_by(|(a, one, _), (b, other, _)| {
        let names = || one.status.name.cmp(&other.status.name);
        a.cmp(b).then_with(names)
    });
    let matching = ranked.len() as u64;
    let first = ranked.into_iter().take(most);
    let first = first.map(|(_, view, alerts)| pool_to_proto(view, &alerts, None));
    (matching, first.collect())
}

/// Sums over pools, each with its alerts.
fn totals(pools: &[(PoolView, Vec<Alert>)]) -> Totals {
    let mut totals = Totals::default();
    for (view, alerts) in pools {
        add_totals(&mut totals, of_pool(view, alerts));
    }
    totals
}

fn of_pool(view: &PoolView, alerts: &[Alert]) -> Totals {
    let (status, outcomes, record) = (&view.status, &view.outcomes, &view.record);
    let trouble = |&alert: &Alert| Trouble {
        alert: alert.into(),
        pools: 1,
    };
    Totals {
        pools: 1,
        ready: status.ready.into(),
        starting: status.starting.into(),
        leased: status.leased.into(),
        queued: status.queued.into(),
        booked: status.booked.into(),
        hits: outcomes.hits,
        joins: outcomes.joins,
        misses: outcomes.misses,
        rejected: outcomes.rejected,
        failed_starts: status.failed_starts,
        overrides: 0,
        idle: Some(duration_to_proto(record.idle)),
        waits: view
            .waits
            .iter()
            .map(|(cause, waits)| (cause.clone(), *waits))
            .collect(),
        beside: record.beside.map(|beside| Beside {
            idle: beside.idle,
            static_idle: beside.constant_idle,
        }),
        beside_pools: record.beside.is_some().into(),
        troubles: alerts.iter().map(trouble).collect(),
    }
}

/// Adds the sums of other pools.
pub(crate) fn add_totals(whole: &mut Totals, part: Totals) {
    whole.pools += part.pools;
    whole.ready += part.ready;
    whole.starting += part.starting;
    whole.leased += part.leased;
    whole.queued += part.queued;
    whole.booked += part.booked;
    whole.hits += part.hits;
    whole.joins += part.joins;
    whole.misses += part.misses;
    whole.rejected += part.rejected;
    whole.failed_starts += part.failed_starts;
    whole.overrides += part.overrides;
    whole.idle = Some(duration_to_proto(sum([whole.idle.take(), part.idle])));
    for (cause, waited) in part.waits {
        *whole.waits.entry(cause).or_default() += waited;
    }
    if let Some(beside) = part.beside {
        let sum = whole.beside.get_or_insert_with(Default::default);
        sum.idle += beside.idle;
        sum.static_idle += beside.static_idle;
    }
    whole.beside_pools += part.beside_pools;
    for trouble in part.troubles {
        let same = |known: &&mut Trouble| known.alert == trouble.alert;
        match whole.troubles.iter_mut().find(same) {
            Some(known) => known.pools += trouble.pools,
            None => whole.troubles.push(trouble),
        }
    }
    whole.troubles.sort_by_key(|trouble| trouble.alert);
}

/// The sum of two durations.
pub(crate) fn sum(durations: [Option<well_known::Duration>; 2]) -> Duration {
    let known = durations.map(|one| duration_from_proto("idle", one).ok().flatten());
    known.into_iter().flatten().sum()
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
