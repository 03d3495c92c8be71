//! `/user/{userId}/resource_shadow`.

use axum::{
    Json,
    extract::{Path, State, rejection::PathRejection},
};
use foreshadow_api::v1;

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

pub(crate) async fn resource_shadow(
    State(state): State<HttpState>,
    caller: Caller,
    user: Result<Path<String>, PathRejection>,
) -> Result<Json<v1::ResourceShadow>, ApiError> {
    let Path(user) = user.map_err(|rejection| ApiError::invalid(rejection.body_text()))?;
    grpc::shadow_of(&state.engine, &caller, "userId", &user)
        .await
        .map(Json)
}
