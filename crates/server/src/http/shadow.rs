//! `/user/{userId}/resource_shadow`.

use axum::{
    Json,
    extract::{
        Path, Query, State,
        rejection::{PathRejection, QueryRejection},
    },
};
use foreshadow_api::v1;
use foreshadow_types::Timestamp;
use serde::Deserialize;

use super::HttpState;
use crate::{access::Caller, error::ApiError, grpc};

/// `DELETE /user/{userId}`.
pub(crate) async fn delete_user(
    State(state): State<HttpState>,
    caller: Caller,
    user: Result<Path<String>, PathRejection>,
) -> Result<Json<v1::DeleteUserResponse>, ApiError> {
    let Path(user) = user.map_err(|rejection| ApiError::invalid(rejection.body_text()))?;
    grpc::delete_user(&state.engine, &caller, "userId", &user)
        .await
        .map(Json)
}

/// The query of a shadow.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    /// A past time; now unless given.
    at: Option<String>,
}

pub(crate) async fn resource_shadow(
    State(state): State<HttpState>,
    caller: Caller,
    user: Result<Path<String>, PathRejection>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Json<v1::ResourceShadow>, ApiError> {
    let Path(user) = user.map_err(|rejection| ApiError::invalid(rejection.body_text()))?;
    let Query(asked) = asked.map_err(|rejection| ApiError::invalid(rejection.body_text()))?;
    let at = asked.at.as_deref().map(Timestamp::parse).transpose();
    let at = at.map_err(|error| ApiError::invalid(format!("at: {error}")))?;
    grpc::shadow_of(&state.engine, &caller, "userId", &user, at)
        .await
        .map(Json)
}
