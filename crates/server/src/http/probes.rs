//! `/healthz` and `/readyz`.

use axum::{extract::State, http::StatusCode};
use foreshadow_engine::Readiness;

use super::HttpState;

/// The process answers.
pub(crate) async fn healthz() -> &'static str {
    "ok\n"
}

/// The process answers and goes on deciding.
pub(super) async fn alive(State(state): State<HttpState>) -> (StatusCode, &'static str) {
    if state.engine.is_alive() {
        (StatusCode::OK, healthz().await)
    } else {
        let stuck = "nothing has been decided for too long; restart the process\n";
        (StatusCode::SERVICE_UNAVAILABLE, stuck)
    }
}

/// Whether requests should be sent here.
pub(crate) async fn readyz(State(state): State<HttpState>) -> (StatusCode, String) {
    if state.stopping.is_cancelled() {
        return (
            StatusCode::SERVICE_UNAVAILABLE,
            "shutting down\n".to_owned(),
        );
    }
    match state.engine.ready() {
        Readiness::Ready => (StatusCode::OK, "ready\n".to_owned()),
        Readiness::NotReady(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
    }
}
