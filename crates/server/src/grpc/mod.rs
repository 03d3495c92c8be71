//! The gRPC services, one file each.

mod admin;
mod allocations;
mod forecasts;
mod shadows;
mod stream;
mod telemetry;

pub(crate) use admin::{
    AdminService, set_override, set_shadow_config, set_tenant_quota, tenant_quotas,
};
pub(crate) use allocations::{AllocationsService, check_token};
pub(crate) use forecasts::ForecastsService;
pub(crate) use shadows::{ShadowsService, shadow_of};
pub(crate) use telemetry::TelemetryService;
