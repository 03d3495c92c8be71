//! `/api/v1/pools`: the pools as they are, and what was asked of them.

use axum::{
    Json,
    extract::{Path, Query, State, rejection::QueryRejection},
    http::Uri,
};
use foreshadow_api::{timestamp_to_proto, v1};
use foreshadow_types::Timestamp;
use serde::Deserialize;

use super::HttpState;
use crate::{error::ApiError, grpc};

/// Which page: the fields of `ListPoolsRequest`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
struct Page {
    page_size: u32,
    page_token: String,
}

/// The message that a query stands for.
pub(crate) fn asked(uri: &Uri) -> Result<v1::ListPoolsRequest, ApiError> {
    let page = Query::<Page>::try_from_uri(uri);
    let Query(page) = page.map_err(|rejection| ApiError::invalid(rejection.body_text()))?;
    Ok(v1::ListPoolsRequest {
        page_size: page.page_size,
        page_token: page.page_token,
    })
}

pub(crate) async fn list(
    State(state): State<HttpState>,
    uri: Uri,
) -> Result<Json<v1::ListPoolsResponse>, ApiError> {
    grpc::pools(&state.engine, asked(&uri)?).await.map(Json)
}

pub(crate) async fn one(
    State(state): State<HttpState>,
    Path(pool): Path<String>,
) -> Result<Json<v1::PoolStatus>, ApiError> {
    let request = v1::GetPoolRequest { pool };
    grpc::pool(&state.engine, request).await.map(Json)
}

/// Which span, in how many steps.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Span {
    from: Option<String>,
    to: Option<String>,
    #[serde(default)]
    max_steps: u32,
}

pub(crate) async fn history(
    State(state): State<HttpState>,
    Path(pool): Path<String>,
    span: Result<Query<Span>, QueryRejection>,
) -> Result<Json<v1::PoolHistory>, ApiError> {
    let Query(span) = span.map_err(|rejection| ApiError::invalid(rejection.body_text()))?;
    let time = |field: &str, text: Option<String>| {
        let at = text.as_deref().map(Timestamp::parse).transpose();
        let at = at.map_err(|error| ApiError::invalid(format!("{field}: {error}")))?;
        Ok::<_, ApiError>(at.map(timestamp_to_proto))
    };
    let request = v1::GetPoolHistoryRequest {
        pool,
        from: time("from", span.from)?,
        to: time("to", span.to)?,
        max_steps: span.max_steps,
    };
    grpc::pool_history(&state.engine, request).await.map(Json)
}
