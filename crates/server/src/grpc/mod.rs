//! The gRPC services, one file each.

mod admin;
mod allocations;
mod external_scaler;
mod forecasts;
mod otlp;
mod shadows;
mod stream;
mod telemetry;

pub(crate) use admin::{
    AdminService, delete_user, explain, make_live, set_override, set_shadow_config,
    set_tenant_quota, tenant_quotas, use_model,
};
pub(crate) use allocations::{AllocationsService, check_token};
pub(crate) use external_scaler::ExternalScalerService;
pub(crate) use forecasts::ForecastsService;
pub(crate) use otlp::OtlpService;
pub(crate) use shadows::{ShadowsService, shadow_of};
pub(crate) use telemetry::TelemetryService;
