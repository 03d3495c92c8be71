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
    access::Caller,
    convert::{adaptation_to_proto, config_to_proto},
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
    caller: Caller,
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
    let answer = grpc::set_shadow_config(&state.engine, &caller, request).await?;
    let tag = answer.config.as_ref().and_then(|config| etag(&config.etag));
    Ok((AppendHeaders(tag), Json(answer)))
}

pub(crate) async fn make_live(
    State(state): State<HttpState>,
    caller: Caller,
    Path(pool): Path<String>,
) -> Result<impl IntoResponse, ApiError> {
    let request = v1::MakeLiveRequest { pool };
    let answer = grpc::make_live(&state.engine, &caller, request).await?;
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
    grpc::models(&state.engine).await.map(Json)
}

pub(crate) async fn use_model(
    State(state): State<HttpState>,
    caller: Caller,
    ProtoJson(request): ProtoJson<v1::UseModelRequest>,
) -> Result<Json<v1::ListModelsResponse>, ApiError> {
    let taken_up = grpc::use_model(&state.engine, &caller, request).await;
    taken_up.map(Json)
}

pub(crate) async fn adaptation(State(state): State<HttpState>) -> Json<v1::Adaptation> {
    Json(adaptation_to_proto(state.engine.adaptation()))
}

pub(crate) async fn overrides(
    State(state): State<HttpState>,
) -> Result<impl IntoResponse, ApiError> {
    let answer = grpc::overrides(&state.engine).await?;
    Ok((AppendHeaders(etag(&answer.etag)), Json(answer)))
}

pub(crate) async fn tenant_quotas(
    State(state): State<HttpState>,
) -> Result<impl IntoResponse, ApiError> {
    Ok(Json(grpc::tenant_quotas(&state.engine).await?))
}

pub(crate) async fn set_tenant_quota(
    State(state): State<HttpState>,
    caller: Caller,
    ProtoJson(quota): ProtoJson<v1::TenantQuota>,
) -> Result<Json<v1::TenantQuota>, ApiError> {
    let set = grpc::set_tenant_quota(&state.engine, &caller, quota).await;
    set.map(Json)
}

pub(crate) async fn set_override(
    State(state): State<HttpState>,
    caller: Caller,
    headers: HeaderMap,
    ProtoJson(mut request): ProtoJson<v1::SetOverrideRequest>,
) -> Result<impl IntoResponse, ApiError> {
    let tag = if_match(&headers)?;
    if !tag.is_empty() {
        request.etag = tag;
    }
    let answer = grpc::set_override(&state.engine, &caller, request).await?;
    Ok((AppendHeaders(etag(&answer.etag)), Json(answer)))
}

pub(crate) async fn drain_pool(
    State(state): State<HttpState>,
    caller: Caller,
    Path(pool): Path<String>,
) -> Result<Json<v1::DrainPoolResponse>, ApiError> {
    let request = v1::DrainPoolRequest { pool };
    let drained = grpc::drain_pool(&state.engine, &caller, request).await;
    drained.map(Json)
}

pub(crate) async fn drain_instance(
    State(state): State<HttpState>,
    caller: Caller,
    Path(instance_id): Path<String>,
) -> Result<Json<v1::DrainInstanceResponse>, ApiError> {
    let request = v1::DrainInstanceRequest { instance_id };
    let drained = grpc::drain_instance(&state.engine, &caller, request).await;
    drained.map(Json)
}

pub(crate) async fn retrain(
    State(state): State<HttpState>,
    caller: Caller,
) -> Result<Json<v1::RetrainResponse>, ApiError> {
    let asked = grpc::retrain(&state.engine, &caller, v1::RetrainRequest {}).await;
    asked.map(Json)
}

/// Which changes.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub(crate) struct Changes {
    who: String,
    action: String,
    page_token: String,
    page_size: u32,
}

pub(crate) async fn audit(
    State(state): State<HttpState>,
    changes: Result<Query<Changes>, QueryRejection>,
) -> Result<Json<v1::ListAuditEventsResponse>, ApiError> {
    let Query(changes) = changes.map_err(|rejection| ApiError::invalid(rejection.body_text()))?;
    let request = changes.request();
    grpc::audit_events(&state.engine, request).await.map(Json)
}

impl Changes {
    /// The message that it stands for.
    pub(crate) fn request(self) -> v1::ListAuditEventsRequest {
        v1::ListAuditEventsRequest {
            who: self.who,
            action: self.action,
            page_token: self.page_token,
            page_size: self.page_size,
        }
    }
}
