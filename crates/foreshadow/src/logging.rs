//! Logs go to stderr, so that stdout carries results alone; traces go where they are configured to.

use std::io::{IsTerminal as _, stderr};

use foreshadow_engine::trace::TARGET;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::{
    EnvFilter, Layer as _,
    filter::{FilterExt as _, Targets, filter_fn},
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

use crate::traces::Traces;

/// Calls to a cluster that fail are told by who makes them, once for all and not each.
const DEFAULT: &str = "warn,foreshadow=info,kube_client::client::builder=off";

/// Starts logging; `RUST_LOG` says what is logged, warnings and this product's news by default. Spans of
/// traces are made only where somebody collects them.
pub(crate) fn start(traces: Option<&Traces>) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT));
    let log = tracing_subscriber::fmt::layer()
        .with_ansi(stderr().is_terminal())
        .with_writer(stderr)
        .with_filter(filter_fn(|meta| meta.target() != TARGET).and(filter));
    let spans = traces.map(|traces| {
        tracing_opentelemetry::layer()
            .with_tracer(traces.tracer())
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_level(false)
            .with_tracked_inactivity(false)
            .with_filter(Targets::new().with_target(TARGET, LevelFilter::INFO))
    });
    tracing_subscriber::registry().with(log).with(spans).init();
}
