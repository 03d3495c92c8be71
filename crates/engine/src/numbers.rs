//! The counters that the parts of the engine write and the metrics page reads.

use std::{sync::Mutex, time::Duration};

use crate::{
    clock::{Clock, Stopwatch},
    latency::Latency,
    metrics::{
        Counter, DecisionMetrics, ForecastMetrics, MetricsSnapshot, RetrainingMetrics,
        TelemetryMetrics,
    },
    views::PoolView,
};

/// All counters.
#[derive(Debug, Default)]
pub(crate) struct Numbers {
    pub(crate) clock: Clock,
    pub(crate) decisions: DecisionNumbers,
    pub(crate) forecasts: ForecastNumbers,
    pub(crate) telemetry: TelemetryNumbers,
    pub(crate) retraining: RetrainingNumbers,
}

#[derive(Debug, Default)]
pub(crate) struct DecisionNumbers {
    pub(crate) inputs: Counter,
    pub(crate) refused: Counter,
    pub(crate) events: Counter,
    pub(crate) commits: Counter,
    pub(crate) commit_time: Latency,
    pub(crate) reply_time: Latency,
    pub(crate) wait_error: Latency,
}

#[derive(Debug, Default)]
pub(crate) struct ForecastNumbers {
    pub(crate) ticks: Counter,
    pub(crate) ticks_skipped: Counter,
    pub(crate) series: Counter,
    pub(crate) batch_time: Latency,
    pub(crate) late: Counter,
    pub(crate) failed: Counter,
    pub(crate) not_finite: Counter,
    pub(crate) triggers_active: Counter,
    pub(crate) drifts: Counter,
    pub(crate) model: Text,
    pub(crate) planned: Mutex<Option<Stopwatch>>,
}

#[derive(Debug, Default)]
pub(crate) struct TelemetryNumbers {
    pub(crate) accepted: Counter,
    pub(crate) duplicates: Counter,
    pub(crate) rejected: Counter,
    pub(crate) entities: Counter,
    pub(crate) evicted: Counter,
    pub(crate) series_refused: Counter,
    pub(crate) history_rows: Counter,
    pub(crate) history_rows_lost: Counter,
    pub(crate) seal_failures: Counter,
}

#[derive(Debug, Default)]
pub(crate) struct RetrainingNumbers {
    pub(crate) started: Counter,
    pub(crate) failed: Counter,
    pub(crate) promoted: Counter,
    pub(crate) rejected: Counter,
    pub(crate) latest: Text,
}

/// A text that one part sets and another reads.
#[derive(Debug, Default)]
pub(crate) struct Text(Mutex<String>);

impl Text {
    pub(crate) fn set(&self, text: impl Into<String>) {
        if let Ok(mut held) = self.0.lock() {
            *held = text.into();
        }
    }

    pub(crate) fn get(&self) -> String {
        self.0.lock().map(|held| held.clone()).unwrap_or_default()
    }
}

impl Numbers {
    pub(crate) fn planned_now(&self) {
        if let Ok(mut planned) = self.forecasts.planned.lock() {
            *planned = Some(Stopwatch::start());
        }
    }

    /// How long ago was last planned; zero before the first plan.
    pub(crate) fn plan_age(&self) -> Duration {
        self.forecasts.plan_age()
    }

    pub(crate) fn snapshot(&self, pools: Vec<PoolView>, waiting: u64) -> MetricsSnapshot {
        MetricsSnapshot {
            pools,
            decisions: self.decisions.snapshot(waiting),
            forecasts: self.forecasts.snapshot(),
            telemetry: self.telemetry.snapshot(),
            retraining: self.retraining.snapshot(),
        }
    }
}

impl DecisionNumbers {
    fn snapshot(&self, waiting: u64) -> DecisionMetrics {
        DecisionMetrics {
            inputs: self.inputs.get(),
            refused: self.refused.get(),
            events: self.events.get(),
            commits: self.commits.get(),
            commit_time: self.commit_time.snapshot(),
            reply_time: self.reply_time.snapshot(),
            wait_error: self.wait_error.snapshot(),
            waiting,
        }
    }
}

impl ForecastNumbers {
    fn snapshot(&self) -> ForecastMetrics {
        ForecastMetrics {
            ticks: self.ticks.get(),
            ticks_skipped: self.ticks_skipped.get(),
            series: self.series.get(),
            batch_time: self.batch_time.snapshot(),
            late: self.late.get(),
            failed: self.failed.get(),
            not_finite: self.not_finite.get(),
            model: self.model.get(),
            triggers_active: self.triggers_active.get(),
            drifts: self.drifts.get(),
            groups: Vec::new(),
            plan_age: self.plan_age(),
        }
    }

    fn plan_age(&self) -> Duration {
        let planned = self.planned.lock().ok().and_then(|planned| *planned);
        planned.map(Stopwatch::elapsed).unwrap_or_default()
    }
}

impl TelemetryNumbers {
    fn snapshot(&self) -> TelemetryMetrics {
        TelemetryMetrics {
            accepted: self.accepted.get(),
            duplicates: self.duplicates.get(),
            rejected: self.rejected.get(),
            entities: self.entities.get(),
            evicted: self.evicted.get(),
            series_refused: self.series_refused.get(),
            history_rows: self.history_rows.get(),
            history_rows_lost: self.history_rows_lost.get(),
            seal_failures: self.seal_failures.get(),
        }
    }
}

impl RetrainingNumbers {
    fn snapshot(&self) -> RetrainingMetrics {
        let latest = self.latest.get();
        RetrainingMetrics {
            started: self.started.get(),
            failed: self.failed.get(),
            promoted: self.promoted.get(),
            rejected: self.rejected.get(),
            latest: (!latest.is_empty()).then_some(latest),
        }
    }
}
