//! `/metrics` in the text format of Prometheus, in base units.

mod text;

use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use foreshadow_allocator::Invariant;
use foreshadow_engine::{GroupAccuracy, MetricsSnapshot, MissCause, PoolView, Readiness};
use foreshadow_telemetry::IntakeCounts;

use self::text::Exposition;
use super::HttpState;
use crate::{
    access::{Refusals, Why},
    convert::kind_of,
    error::ApiError,
};

/// The format of the page.
pub(crate) const PAGE_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(crate) async fn page(State(state): State<HttpState>) -> Result<Response, ApiError> {
    let metrics = state.engine.metrics().await?;
    let ready = state.engine.ready() == Readiness::Ready;
    let kind = [(header::CONTENT_TYPE, PAGE_TYPE)];
    let mut page = shard_metrics(&metrics, ready);
    page.push_str(&port_metrics(
        &state.receivers.intake.counts(),
        &state.refusals,
    ));
    Ok((kind, page).into_response())
}

/// What passive senders have sent, and what was refused before anything looked at it.
pub(crate) fn port_metrics(counts: &IntakeCounts, refusals: &Refusals) -> String {
    let mut text = Exposition::default();
    passive(&mut text, counts);
    text.family(
        "foreshadow_calls_refused_total",
        "counter",
        "Calls that were refused before anything looked at them, by why.",
        Why::ALL.map(|why| (vec![("reason", why.key())], refusals.count(why) as f64)),
    );
    text.finish()
}

/// What one engine has to say.
pub(crate) fn shard_metrics(metrics: &MetricsSnapshot, ready: bool) -> String {
    let mut text = Exposition::default();
    text.gauge(
        "foreshadow_ready",
        "Whether the service takes requests.",
        f64::from(ready),
    );
    pools(&mut text, &metrics.pools);
    decisions(&mut text, metrics);
    promises(&mut text);
    forecasts(&mut text, metrics);
    telemetry(&mut text, metrics);
    text.finish()
}

fn pools(text: &mut Exposition, pools: &[PoolView]) {
    let mut gauge = |name, help, value: &dyn Fn(&PoolView) -> f64| {
        let samples = pools
            .iter()
            .map(|pool| (vec![("pool", pool.status.name.as_str())], value(pool)));
        text.family(name, "gauge", help, samples);
    };
    gauge(
        "foreshadow_pool_target_instances",
        "Free instances that the plan asks for.",
        &|p| p.status.target.into(),
    );
    gauge(
        "foreshadow_pool_max_instances",
        "The most instances at a time.",
        &|p| p.status.max.into(),
    );
    gauge(
        "foreshadow_pool_queued_requests",
        "Requests that wait.",
        &|p| p.status.queued.into(),
    );
    gauge(
        "foreshadow_pool_booked_requests",
        "Requests for a time ahead.",
        &|p| p.status.booked.into(),
    );
    gauge(
        "foreshadow_pool_startup_typical_seconds",
        "Median of the last starts.",
        &|p| p.status.startup_typical.as_secs_f64(),
    );
    gauge(
        "foreshadow_pool_target_hit_ratio",
        "The share of hits that is aimed at.",
        &|p| p.target_hit_rate.unwrap_or(f64::NAN),
    );
    let states = pools.iter().flat_map(|pool| {
        let status = &pool.status;
        [
            ("ready", status.ready),
            ("starting", status.starting),
            ("leased", status.leased),
            ("stopping", status.stopping),
        ]
        .map(|(state, count)| {
            (
                vec![("pool", status.name.as_str()), ("state", state)],
                count.into(),
            )
        })
    });
    text.family(
        "foreshadow_pool_instances",
        "gauge",
        "Instances by state.",
        states,
    );
    let outcomes = pools.iter().flat_map(|pool| {
        let counts = &pool.outcomes;
        [
            ("hit", counts.hits),
            ("join", counts.joins),
            ("miss", counts.misses),
            ("rejected", counts.rejected),
            ("booked", counts.booked),
        ]
        .map(|(outcome, count)| {
            (
                vec![("pool", pool.status.name.as_str()), ("outcome", outcome)],
                count as f64,
            )
        })
    });
    let help = "Requests by what became of them.";
    text.family("foreshadow_pool_requests_total", "counter", help, outcomes);
    let waits = pools.iter().flat_map(|pool| {
        MissCause::ALL.map(|cause| {
            let labels = vec![("pool", pool.status.name.as_str()), ("cause", cause.key())];
            let count = pool.waits.get(cause.key());
            (labels, count.copied().unwrap_or(0) as f64)
        })
    });
    let help = "Requests that waited or were refused, by cause.";
    text.family("foreshadow_pool_waits_total", "counter", help, waits);
    let failed = pools.iter().map(|pool| {
        (
            vec![("pool", pool.status.name.as_str())],
            pool.status.failed_starts as f64,
        )
    });
    let help = "Starts that failed.";
    text.family(
        "foreshadow_pool_failed_starts_total",
        "counter",
        help,
        failed,
    );
}

fn decisions(text: &mut Exposition, metrics: &MetricsSnapshot) {
    let numbers = &metrics.decisions;
    text.counter(
        "foreshadow_allocator_inputs_total",
        "Inputs handled.",
        numbers.inputs,
    );
    text.counter(
        "foreshadow_allocator_refused_total",
        "Inputs refused.",
        numbers.refused,
    );
    text.counter(
        "foreshadow_ledger_events_total",
        "Events made durable.",
        numbers.events,
    );
    text.counter(
        "foreshadow_ledger_commits_total",
        "Commits of the ledger.",
        numbers.commits,
    );
    text.gauge(
        "foreshadow_allocator_waiting_inputs",
        "Inputs that wait for the allocator.",
        numbers.waiting as f64,
    );
    text.histogram(
        "foreshadow_ledger_commit_duration_seconds",
        "How long commits took.",
        &numbers.commit_time,
    );
    text.histogram(
        "foreshadow_allocation_duration_seconds",
        "From the arrival of an input until its reply left.",
        &numbers.reply_time,
    );
    text.histogram(
        "foreshadow_wait_estimate_error_seconds",
        "How far the wait that was estimated for a queued or joined request was off.",
        &numbers.wait_error,
    );
}

fn promises(text: &mut Exposition) {
    let breaches = Invariant::ALL.into_iter().map(|promise| {
        let label = vec![("invariant", promise.id())];
        (label, promise.breaches() as f64)
    });
    let help = "Promises that were found broken; each is a bug.";
    text.family(
        "foreshadow_invariant_breaches_total",
        "counter",
        help,
        breaches,
    );
}

fn forecasts(text: &mut Exposition, metrics: &MetricsSnapshot) {
    let numbers = &metrics.forecasts;
    text.counter("foreshadow_ticks_total", "Ticks.", numbers.ticks);
    text.counter(
        "foreshadow_ticks_skipped_total",
        "Ticks left out because the one before was late.",
        numbers.ticks_skipped,
    );
    text.gauge(
        "foreshadow_forecast_series",
        "Series in the latest batch.",
        numbers.series as f64,
    );
    text.histogram(
        "foreshadow_forecast_batch_duration_seconds",
        "How long a batch of forecasts took.",
        &numbers.batch_time,
    );
    let causes = [
        ("late", numbers.late),
        ("failed", numbers.failed),
        ("not_finite", numbers.not_finite),
    ];
    text.family(
        "foreshadow_forecast_fallbacks_total",
        "counter",
        "Forecasts that a simpler model had to give, by cause.",
        causes.map(|(cause, count)| (vec![("cause", cause)], count as f64)),
    );
    text.family(
        "foreshadow_model_info",
        "gauge",
        "The model in use.",
        [(vec![("model", numbers.model.as_str())], 1.0)],
    );
    text.gauge(
        "foreshadow_triggers_active",
        "Trigger rules that are active.",
        numbers.triggers_active as f64,
    );
    text.counter(
        "foreshadow_forecast_drifts_total",
        "How often forecasts of a group were found to have become worse.",
        numbers.drifts,
    );
    groups(text, &numbers.groups);
    let age = numbers.plan_age.as_secs_f64();
    text.gauge(
        "foreshadow_plan_age_seconds",
        "The age of the plan in force.",
        age,
    );
}

fn groups(text: &mut Exposition, groups: &[GroupAccuracy]) {
    type Read = fn(&GroupAccuracy) -> Option<f64>;
    let families: [(&str, &str, Read); 4] = [
        (
            "foreshadow_forecast_wape_ratio",
            "Sum of errors by sum of values, lately.",
            |g| g.wape,
        ),
        (
            "foreshadow_forecast_pinball_ratio",
            "Pinball loss by sum of values, lately.",
            |g| g.pinball,
        ),
        (
            "foreshadow_forecast_coverage_80_ratio",
            "Values in the 80 % interval, lately.",
            |g| g.coverage_80,
        ),
        (
            "foreshadow_group_hit_ratio",
            "Requests of a pool, of a model's pools, or of a category's users, that found a ready instance, since the start.",
            |g| g.outcomes.hit_rate(),
        ),
    ];
    let idle = groups.iter().map(|group| {
        let labels = vec![("kind", kind_of(group.kind)), ("name", group.name.as_str())];
        (labels, group.idle.as_secs_f64())
    });
    let help = "Instance-seconds that were kept idle for the requests of a group.";
    text.family(
        "foreshadow_group_idle_instance_seconds_total",
        "counter",
        help,
        idle,
    );
    for (name, help, read) in families {
        let samples = groups.iter().filter_map(|group| {
            let labels = vec![("kind", kind_of(group.kind)), ("name", group.name.as_str())];
            Some((labels, read(group)?))
        });
        text.family(name, "gauge", help, samples);
    }
}

fn passive(text: &mut Exposition, counts: &IntakeCounts) {
    let outcomes = [
        ("mapped", counts.mapped),
        ("unmapped", counts.unmapped),
        ("not_finite", counts.not_finite),
        ("duplicate", counts.duplicate),
        ("out_of_order", counts.out_of_order),
        ("future", counts.future),
        ("past", counts.past),
        ("refused", counts.refused),
    ];
    text.family(
        "foreshadow_intake_samples_total",
        "counter",
        "Samples of remote write and OpenTelemetry by what became of them.",
        outcomes.map(|(outcome, count)| (vec![("outcome", outcome)], count as f64)),
    );
    text.counter(
        "foreshadow_intake_counter_resets_total",
        "Counters that began again.",
        counts.resets,
    );
    text.gauge(
        "foreshadow_intake_series",
        "Mapped series with a state.",
        counts.series as f64,
    );
    text.counter(
        "foreshadow_intake_series_evicted_total",
        "Mapped series whose state was dropped for others.",
        counts.series_evicted,
    );
}

fn telemetry(text: &mut Exposition, metrics: &MetricsSnapshot) {
    let numbers = &metrics.telemetry;
    let outcomes = [
        ("accepted", numbers.accepted),
        ("duplicate", numbers.duplicates),
        ("rejected", numbers.rejected),
    ];
    text.family(
        "foreshadow_telemetry_samples_total",
        "counter",
        "Samples received by what became of them.",
        outcomes.map(|(outcome, count)| (vec![("outcome", outcome)], count as f64)),
    );
    text.gauge(
        "foreshadow_entities",
        "Entities with a shadow.",
        numbers.entities as f64,
    );
    text.counter(
        "foreshadow_entities_evicted_total",
        "Entities dropped for others.",
        numbers.evicted,
    );
    text.counter(
        "foreshadow_series_refused_total",
        "Observations of series that are not forecast, since there are too many.",
        numbers.series_refused,
    );
    text.counter(
        "foreshadow_history_rows_total",
        "Rows written.",
        numbers.history_rows,
    );
    text.counter(
        "foreshadow_history_rows_lost_total",
        "Rows lost.",
        numbers.history_rows_lost,
    );
    text.counter(
        "foreshadow_history_seal_failures_total",
        "Attempts to write journalled rows to the history that failed.",
        numbers.seal_failures,
    );
    let retraining = &metrics.retraining;
    let outcomes = [
        ("started", retraining.started),
        ("failed", retraining.failed),
        ("promoted", retraining.promoted),
        ("rejected", retraining.rejected),
    ];
    text.family(
        "foreshadow_retrainings_total",
        "counter",
        "Trainings by what became of them.",
        outcomes.map(|(outcome, count)| (vec![("outcome", outcome)], count as f64)),
    );
}
