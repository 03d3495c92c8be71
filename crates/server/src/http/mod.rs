//! HTTP with JSON: the proto3 JSON of the same messages as gRPC.

mod admin;
mod agones;
mod allocations;
mod fencing;
mod json;
mod metrics;
mod openapi;
mod overview;
mod owed;
mod pools;
mod probes;
mod shadow;
mod telemetry;

use std::sync::Arc;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    http::{StatusCode, Uri},
    response::{IntoResponse, Response},
    routing::{delete, get, post},
};
use foreshadow_engine::EngineHandle;
use tokio_util::sync::CancellationToken;
use tonic::Code;
use tower_http::timeout::TimeoutLayer;

pub(crate) use self::{
    admin::Changes as AskedChanges,
    allocations::Asked as AskedAllocations,
    json::{etag, if_match},
    metrics::{PAGE_TYPE as METRICS_TYPE, port_metrics, shard_metrics},
    openapi::document as openapi,
    pools::asked as asked_pools,
    probes::alive,
    telemetry::{Receivers, export_response, passive},
};
use crate::{
    access::{Refusals, is_grpc},
    console,
    error::ApiError,
    grpc::AllocationsService,
    options::ServerOptions,
    traces::told,
};

/// What handlers are given.
#[derive(Debug, Clone)]
pub(crate) struct HttpState {
    pub(crate) engine: EngineHandle,
    pub(crate) receivers: Receivers,
    pub(crate) allocations: AllocationsService,
    /// Cancelled when the server begins to stop.
    pub(crate) stopping: CancellationToken,
    pub(crate) refusals: Arc<Refusals>,
}

/// All HTTP routes.
pub(crate) fn router(state: HttpState, options: &ServerOptions) -> Router {
    let own = Router::new()
        .route("/", get(console::page))
        .route("/healthz", get(probes::healthz))
        .route("/readyz", get(probes::readyz))
        .route("/metrics", get(metrics::page))
        .route("/openapi.json", get(openapi::document))
        .with_state(state.clone());
    let passive = passive(state.receivers.clone());
    engine_routes(state, options).merge(told(own.merge(passive), options))
}

/// The routes that are about one engine.
pub(crate) fn engine_routes(state: HttpState, options: &ServerOptions) -> Router {
    let timeout = TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, options.http_timeout);
    let routes = Router::new()
        .route(
            "/user/{user_id}/resource_shadow",
            get(shadow::resource_shadow),
        )
        .route(
            "/admin/shadow_config",
            get(admin::shadow_config).post(admin::set_shadow_config),
        )
        .route(
            "/admin/shadow_override",
            post(admin::set_override).get(admin::overrides),
        )
        .route(
            "/admin/tenant_quota",
            get(admin::tenant_quotas).post(admin::set_tenant_quota),
        )
        .route("/fencing/{instance_id}", get(fencing::check))
        .route("/user/{user_id}", delete(shadow::delete_user))
        .route("/admin/explain", get(admin::explain))
        .route("/admin/pools/{pool}/live", post(admin::make_live))
        .route("/admin/pools/{pool}/drain", post(admin::drain_pool))
        .route(
            "/admin/instances/{instance}/drain",
            post(admin::drain_instance),
        )
        .route("/admin/audit", get(admin::audit))
        .route("/admin/retrain", post(admin::retrain))
        .route("/api/v1/pools", get(pools::list))
        .route("/api/v1/pools/{pool}", get(pools::one))
        .route("/api/v1/pools/{pool}/history", get(pools::history))
        .route(
            "/api/v1/allocations",
            get(allocations::list).post(allocations::allocate),
        )
        .route("/api/v1/allocations/{id}/renew", post(allocations::renew))
        .route(
            "/api/v1/allocations/{id}/release",
            post(allocations::release),
        )
        .route("/api/v1/allocations/{id}/cancel", post(allocations::cancel))
        .route("/admin/models", get(admin::models).post(admin::use_model))
        .route("/integrations/agones/{pool}", post(agones::review))
        .route("/api/v1/adaptation", get(admin::adaptation))
        .route("/api/v1/overview", get(overview::overview))
        .method_not_allowed_fallback(wrong_method)
        .layer(timeout)
        .layer(DefaultBodyLimit::max(options.max_http_body_bytes))
        .with_state(state);
    told(routes, options)
}

/// Neither an HTTP route nor a service.
pub(crate) async fn not_found(uri: Uri, headers: axum::http::HeaderMap) -> Response {
    if is_grpc(&headers) {
        let message = format!("there is no service for {}", uri.path());
        return tonic::Status::unimplemented(message).into_http();
    }
    let message = format!("there is nothing at {}; see /openapi.json", uri.path());
    ApiError::new(Code::NotFound, StatusCode::NOT_FOUND, message).into_response()
}

async fn wrong_method(uri: Uri) -> ApiError {
    let message = format!(
        "{} does not take this method; see /openapi.json",
        uri.path()
    );
    ApiError::new(Code::Unimplemented, StatusCode::METHOD_NOT_ALLOWED, message)
}
