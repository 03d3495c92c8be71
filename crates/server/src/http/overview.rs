//! `/api/v1/overview`: what the console polls.

use axum::{
    Json,
    extract::{Query, State, rejection::QueryRejection},
};
use foreshadow_api::v1;
use serde::Deserialize;

use super::HttpState;
use crate::{clock::now, convert, error::ApiError};

/// Which pools.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub(crate) struct Asked {
    search: String,
    max_pools: u32,
}

pub(crate) async fn overview(
    State(state): State<HttpState>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Json<v1::Overview>, ApiError> {
    let Query(asked) = asked.map_err(|rejection| ApiError::invalid(rejection.body_text()))?;
    let request = v1::GetOverviewRequest {
        search: asked.search,
        max_pools: asked.max_pools,
    };
    convert::overview(&state.engine, request, now())
        .await
        .map(Json)
}
