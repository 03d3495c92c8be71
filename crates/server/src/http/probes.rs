//! `/healthz` and `/readyz`.

use axum::{extract::State, http::StatusCode};
use foreshadow_engine::Readiness;

use super::HttpState;

/// The process answers and goes on deciding.
pub(super) async fn healthz(State(state): State<HttpState>) -> (StatusCode, &'static str) {
    alive(state.engine.is_alive())
}

/// What a probe of liveness is answered.
pub(crate) fn alive(is_alive: bool) -> (StatusCode, &'static str) {
    if is_alive {
        (StatusCode::OK, "ok\n")
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
