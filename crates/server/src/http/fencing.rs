//! `/fencing/{instance_id}`: the check that a resource makes before it serves a caller.

use axum::{
    extract::{Path, Query, State, rejection::QueryRejection},
    http::StatusCode,
};
use serde::Deserialize;

use super::HttpState;
use crate::{access::Caller, error::ApiError, grpc};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Presented {
    token: u64,
}

/// 204 if the token is that of the present lease, 409 if it is stale, 404 if nobody holds the
/// instance.
pub(crate) async fn check(
    State(state): State<HttpState>,
    caller: Caller,
    Path(instance): Path<String>,
    presented: Result<Query<Presented>, QueryRejection>,
) -> Result<StatusCode, ApiError> {
    let Query(presented) =
        presented.map_err(|rejection| ApiError::invalid(rejection.body_text()))?;
    grpc::check_token(&state.engine, &caller, &instance, presented.token).await?;
    Ok(StatusCode::NO_CONTENT)
}
