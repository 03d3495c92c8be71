//! The gRPC services, one file each.

mod admin;
mod allocations;
mod audit;
mod external_scaler;
mod forecasts;
mod otlp;
mod pools;
mod shadows;
mod stream;
mod telemetry;

pub(crate) use admin::{
    AdminService, delete_user, drain_instance, drain_pool, explain, make_live, models, overrides,
    retrain, set_override, set_shadow_config, set_tenant_quota, tenant_quotas, use_model,
};
pub(crate) use allocations::{AllocationsService, check_token};
pub(crate) use audit::audit_events;
pub(crate) use external_scaler::ExternalScalerService;
pub(crate) use forecasts::ForecastsService;
pub(crate) use otlp::OtlpService;
pub(crate) use pools::{pool, pool_history, pools};
pub(crate) use shadows::{ShadowsService, shadow_of};
pub(crate) use stream::{messages, with_goodbye};
pub(crate) use telemetry::TelemetryService;

use tonic::Request;

use crate::{access::Caller, error::ApiError};

/// Who calls, and what for.
fn called<T>(request: Request<T>) -> Result<(Caller, T), ApiError> {
    let caller = Caller::of(request.extensions())?;
    Ok((caller, request.into_inner()))
}
