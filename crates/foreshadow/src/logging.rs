//! Logs go to stderr, so that stdout carries results alone; traces go where they are configured to.

use std::io::{IsTerminal as _, stderr};

use clap::ValueEnum;
use foreshadow_engine::trace::{self, TARGET};
use tracing::{Subscriber, level_filters::LevelFilter};
use tracing_subscriber::{
    EnvFilter, Layer as _,
    filter::{FilterExt as _, Targets, filter_fn},
    layer::{Filter, SubscriberExt as _},
    util::SubscriberInitExt as _,
};

use crate::traces::{Traces, headers_of};

/// Calls to a cluster that fail are told by who makes them, once for all and not each.
const DEFAULT: &str = "warn,foreshadow=info,kube_client::client::builder=off";

/// How a line of the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Starts logging; `RUST_LOG` says what is logged, warnings and this product's news by default. Spans of
/// traces are made only where somebody collects them.
pub(crate) fn start(traces: Option<&Traces>, format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT));
    let lines = tracing_subscriber::fmt::layer().with_writer(stderr);
    let log = match format {
        LogFormat::Text => {
            let lines = lines.with_ansi(stderr().is_terminal());
            lines.with_filter(logged(filter)).boxed()
        }
        LogFormat::Json => {
            let lines = lines.json().flatten_event(true);
            let lines = lines.with_current_span(false).with_span_list(false);
            lines.with_filter(logged(filter)).boxed()
        }
    };
    let logs = tracing_subscriber::registry().with(log);
    let Some(traces) = traces else {
        // Even an absent layer would have every span asked for anew whether it is wanted.
        return logs.init();
    };
    trace::tell_with(headers_of);
    let spans = tracing_opentelemetry::layer()
        .with_tracer(traces.tracer())
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_level(false)
        .with_tracked_inactivity(false)
        .with_filter(Targets::new().with_target(TARGET, LevelFilter::INFO));
    logs.with(spans).init();
}

/// What a filter lets through, without the spans of traces. Every level passes the first part, and the
/// hint says so: without it the second part's hint would be lost, and nothing be left out beforehand.
fn logged<S: Subscriber>(filter: EnvFilter) -> impl Filter<S> {
    filter_fn(|meta| meta.target() != TARGET)
        .with_max_level_hint(LevelFilter::TRACE)
        .and(filter)
}

#[cfg(test)]
mod tests {
    use tracing::{Level, subscriber::with_default};
    use tracing_subscriber::{Registry, fmt, layer::Filter as _};

    use super::*;

    #[test]
    fn what_is_not_wanted_is_left_out_beforehand() {
        let filter = logged::<Registry>(EnvFilter::new(DEFAULT));
        assert_eq!(filter.max_level_hint(), Some(LevelFilter::INFO));
    }

    #[test]
    fn spans_of_traces_are_not_logged() {
        let log = fmt::layer().with_writer(std::io::sink);
        let log = log.with_filter(logged(EnvFilter::new("trace")));
        with_default(tracing_subscriber::registry().with(log), || {
            assert!(tracing::span_enabled!(target: "foreshadow", Level::INFO));
            assert!(!tracing::span_enabled!(target: TARGET, Level::INFO));
        });
    }
}
