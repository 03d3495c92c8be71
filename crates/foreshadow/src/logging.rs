//! Logs go to stderr, so that stdout carries results alone.

use std::io::{IsTerminal as _, stderr};

use tracing_subscriber::EnvFilter;

/// Calls to a cluster that fail are told by who makes them, once for all and not each.
const DEFAULT: &str = "warn,foreshadow=info,kube_client::client::builder=off";

/// Starts logging; `RUST_LOG` says what is logged, warnings and this product's news by default.
pub(crate) fn start() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(stderr().is_terminal())
        .with_writer(stderr)
        .init();
}
