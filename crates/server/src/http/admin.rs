//! What is under `/admin`.

use axum::{
    Json,
    extract::{Path, Query, State, rejection::QueryRejection},
    http::HeaderMap,
    response::{AppendHeaders, IntoResponse},
};
use foreshadow_api::{timestamp_to_proto, v1};
use foreshadow_types::Timestamp;
use serde::Deserialize;

use super::{
    HttpState,
    json::{ProtoJson, etag, if_match},
};
use crate::{
    convert::{adaptation_to_proto, config_to_proto, models_to_proto, overrides_to_proto},
    error::ApiError,
    grpc,
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Flags {
    #[serde(default)]
    dry_run: bool,
}

pub(crate) async fn shadow_config(
    State(state): State<HttpState>,
) -> Result<impl IntoResponse, ApiError> {
    let config = config_to_proto(&state.engine.shadow_config().await?);
    Ok((AppendHeaders(etag(&config.etag)), Json(config)))
}

pub(crate) async fn set_shadow_config(
    State(state): State<HttpState>,
    flags: Result<Query<Flags>, QueryRejection>,
    headers: HeaderMap,
    ProtoJson(config): ProtoJson<v1::ShadowConfig>,
) -> Result<impl IntoResponse, ApiError> {
    let Query(flags) = flags.map_err(|rejection| ApiError::invalid(rejection.body_text()))?;
    let request = v1::SetShadowConfigRequest {
        config: Some(config),
        etag: if_match(&headers)?,
        dry_run: flags.dry_run,
    };
    let answer = grpc::set_shadow_config(&state.engine, request).await?;
    let tag = answer.config.as_ref().and_then(|config| etag(&config.etag));
    Ok((AppendHeaders(tag), Json(answer)))
}

pub(crate) async fn make_live(
    State(state): State<HttpState>,
    Path(pool): Path<String>,
) -> Result<impl IntoResponse, ApiError> {
    let answer = grpc::make_live(&state.engine, &pool).await?;
    let tag = answer.config.as_ref().and_then(|config| etag(&config.etag));
    Ok((AppendHeaders(tag), Json(answer)))
}

/// Of which pool and of when.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    pool: String,
    at: Option<String>,
}

pub(crate) async fn explain(
    State(state): State<HttpState>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Json<v1::Explanation>, ApiError> {
    let Query(asked) = asked.map_err(|rejection| ApiError::invalid(rejection.body_text()))?;
    let at = asked.at.as_deref().map(Timestamp::parse).transpose();
    let at = at.map_err(|error| ApiError::invalid(format!("at: {error}")))?;
    let request = v1::ExplainRequest {
        pool: asked.pool,
        at: at.map(timestamp_to_proto),
    };
    grpc::explain(&state.engine, request).await.map(Json)
}

pub(crate) async fn models(
    State(state): State<HttpState>,
) -> Result<Json<v1::ListModelsResponse>, ApiError> {
    Ok(Json(models_to_proto(state.engine.models().await?)))
}

pub(crate) async fn use_model(
    State(state): State<HttpState>,
    ProtoJson(request): ProtoJson<v1::UseModelRequest>,
) -> Result<Json<v1::ListModelsResponse>, ApiError> {
    grpc::use_model(&state.engine, request).await.map(Json)
}

pub(crate) async fn adaptation(State(state): State<HttpState>) -> Json<v1::Adaptation> {
    Json(adaptation_to_proto(state.engine.adaptation()))
}

pub(crate) async fn overrides(
    State(state): State<HttpState>,
) -> Result<impl IntoResponse, ApiError> {
    let view = state.engine.overrides().await?;
    let answer = v1::ListOverridesResponse {
        overrides: overrides_to_proto(&view.overrides),
        etag: view.etag,
    };
    Ok((AppendHeaders(etag(&answer.etag)), Json(answer)))
}

pub(crate) async fn tenant_quotas(
    State(state): State<HttpState>,
) -> Result<impl IntoResponse, ApiError> {
    Ok(Json(grpc::tenant_quotas(&state.engine).await?))
}

pub(crate) async fn set_tenant_quota(
    State(state): State<HttpState>,
    ProtoJson(quota): ProtoJson<v1::TenantQuota>,
) -> Result<impl IntoResponse, ApiError> {
    Ok(Json(grpc::set_tenant_quota(&state.engine, &quota).await?))
}

pub(crate) async fn set_override(
    State(state): State<HttpState>,
    headers: HeaderMap,
    ProtoJson(mut request): ProtoJson<v1::SetOverrideRequest>,
) -> Result<impl IntoResponse, ApiError> {
    let tag = if_match(&headers)?;
    if !tag.is_empty() {
        request.etag = tag;
    }
    let answer = grpc::set_override(&state.engine, request).await?;
    Ok((AppendHeaders(etag(&answer.etag)), Json(answer)))
}
