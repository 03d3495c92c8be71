//! What each call needs. What is not listed needs an administrator, so that nothing is open because
//! somebody forgot it here.

use axum::http::Method;
use foreshadow_access::Permission;

use crate::path::Parts;

use Permission::{Administer, Claim, Operate, Read, Report, Scrape};

/// What a call needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// Nothing: it says no more than whether the server works.
    Nothing,
    /// Any caller that is known.
    Known,
    /// A caller with a permission.
    Permission(Permission),
}

/// What a call of this method and path needs.
pub(super) fn need(method: &Method, path: &str) -> Need {
    let Some(parts) = Parts::of(path) else {
        return Need::Permission(Administer);
    };
    match &*parts {
        ["healthz" | "readyz"] | ["grpc.health.v1.Health", _] => Need::Nothing,
        ["" | "openapi.json"] => Need::Known,
        [service, _] if service.starts_with("grpc.reflection.") => Need::Known,
        ["foreshadow.v1.Admin", call] => Need::Permission(admin(call)),
        [service, _] if service.contains('.') => Need::Permission(other_service(service)),
        parts => Need::Permission(page(method == Method::GET, parts)),
    }
}

/// Whether what is sent by this call is a stream, which is open for as long as its caller likes.
pub(super) fn is_stream(path: &str) -> bool {
    match Parts::of(path).as_deref() {
        Some(
            ["foreshadow.v1.Allocations", "AllocateStream"] | ["foreshadow.v1.Telemetry", "Report"],
        ) => true,
        Some([service, _]) => service.starts_with("grpc.reflection."),
        Some(_) | None => false,
    }
}

/// Whether a call asks for an allocation.
pub(super) fn is_claim(method: &Method, path: &str) -> bool {
    let claims = ["/foreshadow.v1.Allocations/Allocate", "/api/v1/allocations"];
    method == Method::POST && claims.contains(&path)
}

fn other_service(service: &str) -> Permission {
    match service {
        "foreshadow.v1.Allocations" | "foreshadow.v1.Forecasts" | "foreshadow.v1.Shadows" => Claim,
        "foreshadow.v1.Telemetry" | "opentelemetry.proto.collector.metrics.v1.MetricsService" => {
            Report
        }
        "externalscaler.ExternalScaler" => Read,
        _ => Administer,
    }
}

fn admin(call: &str) -> Permission {
    match call {
        "GetShadowConfig" | "Explain" | "ListOverrides" | "ListPools" | "GetPool"
        | "GetPoolHistory" | "ListTenantQuotas" | "GetAdaptation" | "ListModels"
        | "GetOverview" => Read,
        "MakeLive" | "SetOverride" | "DrainInstance" | "DrainPool" | "UseModel" | "Retrain" => {
            Operate
        }
        _ => Administer,
    }
}

#[expect(
    clippy::match_same_arms,
    reason = "what reads and what writes stand apart"
)]
fn page(reads: bool, parts: &[&str]) -> Permission {
    match parts {
        ["user", _, "resource_shadow"] | ["fencing", _] if reads => Claim,
        ["api", "v1", "allocations"] | ["api", "v1", "allocations", _, _] => Claim,
        ["metrics"] if reads => Scrape,
        ["api", "v1", "write"] | ["v1", "metrics"] => Report,
        ["api", "v1", "adaptation" | "overview" | "pools"] if reads => Read,
        ["api", "v1", "pools", _] | ["api", "v1", "pools", _, "history"] if reads => Read,
        ["integrations", "agones", _] => Read,
        [
            "admin",
            "shadow_config" | "shadow_override" | "tenant_quota" | "models" | "explain",
        ] if reads => Read,
        ["admin", "shadow_override" | "models" | "retrain"]
        | ["admin", "pools" | "instances", _, _] => Operate,
        _ => Administer,
    }
}

#[cfg(test)]
mod tests {
    use foreshadow_api::DESCRIPTORS;
    use prost::Message;
    use prost_types::FileDescriptorSet;

    use super::*;

    #[test]
    fn streams_are_those_of_the_contract() {
        let set = FileDescriptorSet::decode(DESCRIPTORS).unwrap();
        let mut streams = 0;
        for file in &set.file {
            for service in &file.service {
                for call in &service.method {
                    let (package, service) = (file.package(), service.name());
                    let path = format!("/{package}.{service}/{}", call.name());
                    assert_eq!(is_stream(&path), call.client_streaming(), "{path}");
                    streams += usize::from(call.client_streaming());
                }
            }
        }
        assert_eq!(streams, 2);
        assert!(is_stream(
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
        ));
        assert!(!is_stream("/api/v1/write"));
    }

    #[test]
    fn what_is_not_listed_needs_an_administrator() {
        for path in [
            "/foreshadow.v1.Admin/DoSomethingNew",
            "/foreshadow.v2.Allocations/Allocate",
            "/admin/something_new",
            "/user/ada",
            "//admin/models",
            "/admin/models/",
            "/metrics/x",
            "/api/v1/allocations/a-1/renew/x",
        ] {
            for method in [Method::GET, Method::POST, Method::DELETE] {
                assert_eq!(need(&method, path), Need::Permission(Administer), "{path}");
            }
        }
        let put = need(&Method::PUT, "/user/ada/resource_shadow");
        assert_eq!(put, Need::Permission(Administer));
    }
}
