//! Every call and path with every role.

use foreshadow_api::{DESCRIPTORS, v1::ListRequest};
use prost::Message;
use prost_types::FileDescriptorSet;
use tonic::{Code, Request, metadata::MetadataValue};

use crate::{ADMIN, CLIENT, OPERATOR, TELEMETRY, bearer, guarded, status, support::Served};

/// The roles as columns of [`EXPECTED`].
const TOKENS: [&str; 4] = [CLIENT, TELEMETRY, OPERATOR, ADMIN];

/// Who may call what: client, telemetry, operator, admin. A call that is not here fails the test.
const EXPECTED: &[(&str, [bool; 4])] = &[
    ("rpc Allocations.*", [true, false, true, true]),
    ("rpc Forecasts.*", [true, false, true, true]),
    ("rpc Shadows.*", [true, false, true, true]),
    ("rpc Telemetry.*", [false, true, false, true]),
    ("rpc Admin.GetShadowConfig", [false, false, true, true]),
    ("rpc Admin.SetShadowConfig", [false, false, false, true]),
    ("rpc Admin.MakeLive", [false, false, true, true]),
    ("rpc Admin.Explain", [false, false, true, true]),
    ("rpc Admin.SetOverride", [false, false, true, true]),
    ("rpc Admin.ListOverrides", [false, false, true, true]),
    ("rpc Admin.ListPools", [false, false, true, true]),
    ("rpc Admin.GetPool", [false, false, true, true]),
    ("rpc Admin.GetPoolHistory", [false, false, true, true]),
    ("rpc Admin.DrainInstance", [false, false, true, true]),
    ("rpc Admin.DrainPool", [false, false, true, true]),
    ("rpc Admin.SetTenantQuota", [false, false, false, true]),
    ("rpc Admin.ListTenantQuotas", [false, false, true, true]),
    ("rpc Admin.DeleteUser", [false, false, false, true]),
    ("rpc Admin.GetAdaptation", [false, false, true, true]),
    ("rpc Admin.ListModels", [false, false, true, true]),
    ("rpc Admin.UseModel", [false, false, true, true]),
    ("rpc Admin.Retrain", [false, false, true, true]),
    ("rpc Admin.ListAuditEvents", [false, false, false, true]),
    ("rpc Admin.GetOverview", [false, false, true, true]),
    (
        "rpc externalscaler.ExternalScaler.*",
        [false, false, true, true],
    ),
    (
        "rpc opentelemetry.proto.collector.metrics.v1.MetricsService.Export",
        [false, true, false, true],
    ),
    (
        "rpc grpc.reflection.v1.ServerReflection.ServerReflectionInfo",
        [true, true, true, true],
    ),
    (
        "rpc grpc.reflection.v1alpha.ServerReflection.ServerReflectionInfo",
        [true, true, true, true],
    ),
    (
        "get /user/{userId}/resource_shadow",
        [true, false, true, true],
    ),
    ("delete /user/{userId}", [false, false, false, true]),
    ("get /fencing/{instanceId}", [true, false, true, true]),
    ("get /api/v1/allocations", [true, false, true, true]),
    ("post /api/v1/allocations*", [true, false, true, true]),
    ("get /api/v1/pools*", [false, false, true, true]),
    ("get /api/v1/adaptation", [false, false, true, true]),
    ("get /api/v1/overview", [false, false, true, true]),
    ("get /metrics", [false, true, true, true]),
    ("post /integrations/*", [false, false, true, true]),
    ("get /admin/audit", [false, false, false, true]),
    ("get /admin/*", [false, false, true, true]),
    ("post /admin/shadow_config", [false, false, false, true]),
    ("post /admin/tenant_quota", [false, false, false, true]),
    ("post /admin/*", [false, false, true, true]),
];

fn expected(call: &str) -> [bool; 4] {
    let fits = |pattern: &str| match pattern.strip_suffix('*') {
        Some(start) => call.starts_with(start),
        None => call == pattern,
    };
    let found = EXPECTED.iter().find(|(pattern, _)| fits(pattern));
    let (_, allowed) = found.unwrap_or_else(|| panic!("say who may call {call}"));
    *allowed
}

/// Calls whose contracts are others', which the server answers too.
const OF_OTHERS: [(&str, &str); 3] = [
    (
        "opentelemetry.proto.collector.metrics.v1.MetricsService",
        "Export",
    ),
    (
        "grpc.reflection.v1.ServerReflection",
        "ServerReflectionInfo",
    ),
    (
        "grpc.reflection.v1alpha.ServerReflection",
        "ServerReflectionInfo",
    ),
];

/// Every RPC that the server answers but those of health, as path and as it stands in [`EXPECTED`].
fn rpcs() -> Vec<(String, String)> {
    let set = FileDescriptorSet::decode(DESCRIPTORS).unwrap();
    // Providers answer the other one.
    let files = set
        .file
        .iter()
        .filter(|file| file.package() != "foreshadow.provider.v1");
    let mut calls: Vec<(String, String)> = OF_OTHERS
        .iter()
        .map(|(service, call)| ((*service).to_owned(), (*call).to_owned()))
        .collect();
    for file in files {
        for service in &file.service {
            let service_name = format!("{}.{}", file.package(), service.name());
            let of_service = service.method.iter();
            calls.extend(of_service.map(|one| (service_name.clone(), one.name().to_owned())));
        }
    }
    let written = calls.into_iter().map(|(service, call)| {
        let short = service.strip_prefix("foreshadow.v1.").unwrap_or(&service);
        (format!("/{service}/{call}"), format!("rpc {short}.{call}"))
    });
    written.collect()
}

#[tokio::test]
async fn every_rpc_is_open_to_the_roles_listed_and_to_nobody_else() {
    let served = guarded().await;
    let rpcs = rpcs();
    assert!(rpcs.len() >= 34, "{}", rpcs.len());
    for (path, call) in rpcs {
        for (token, allowed) in TOKENS.iter().zip(expected(&call)) {
            let code = grpc_code(&served, &path, Some(token)).await;
            let refused = matches!(code, Code::PermissionDenied | Code::Unauthenticated);
            assert_eq!(!refused, allowed, "{call} with {token}: {code:?}");
        }
        for token in [None, Some("a-token-of-nobody")] {
            let code = grpc_code(&served, &path, token).await;
            assert_eq!(code, Code::Unauthenticated, "{call} with {token:?}");
        }
    }
    served.stop().await;
}

#[tokio::test]
async fn health_is_told_to_everybody() {
    let served = guarded().await;
    for call in ["Check", "Watch"] {
        let path = format!("/grpc.health.v1.Health/{call}");
        for token in [None, Some("a-token-of-nobody"), Some(CLIENT)] {
            let code = grpc_code(&served, &path, token).await;
            assert_eq!(code, Code::Ok, "{call} with {token:?}");
        }
    }
    served.stop().await;
}

/// The code of a call with an empty message. The gate answers before it is read.
async fn grpc_code(served: &Served, path: &str, token: Option<&str>) -> Code {
    let mut client = tonic::client::Grpc::new(served.channel().await);
    client.ready().await.unwrap();
    let mut request = Request::new(tokio_stream::once(ListRequest::default()));
    if let Some(token) = token {
        let value = MetadataValue::try_from(bearer(token)).unwrap();
        request.metadata_mut().insert("authorization", value);
    }
    let codec = tonic_prost::ProstCodec::<ListRequest, ()>::default();
    let path = path.parse().unwrap();
    match client.streaming(request, path, codec).await {
        Ok(_) => Code::Ok,
        Err(status) => status.code(),
    }
}

#[tokio::test]
async fn every_path_is_open_to_the_roles_listed_and_to_nobody_else() {
    let served = guarded().await;
    let shown = bearer(CLIENT);
    let headers = [("authorization", shown.as_str())];
    let document = served.ask("GET", "/openapi.json", &headers, "").await;
    let document = document.json();
    let mut tried = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            if ["/healthz", "/readyz"].contains(&path.as_str()) {
                continue;
            }
            tried += 1;
            let filled: String = path.replace("{userId}", "ada").replace(['{', '}'], "");
            let call = format!("{method} {path}");
            for (token, allowed) in TOKENS.iter().zip(expected(&call)) {
                let status = status(&served, method, &filled, Some(token)).await;
                assert_eq!(
                    ![401, 403].contains(&status),
                    allowed,
                    "{call}, {token}: {status}"
                );
            }
            let unknown = status(&served, method, &filled, Some("a-token-of-nobody")).await;
            let without = status(&served, method, &filled, None).await;
            assert_eq!((unknown, without), (401, 401), "{call}");
        }
    }
    assert!(tried >= 20, "{tried}");
    for passive in ["/api/v1/write", "/v1/metrics"] {
        let statuses =
            [CLIENT, TELEMETRY].map(|token| status(&served, "post", passive, Some(token)));
        let [client, telemetry] = statuses;
        assert_eq!(client.await, 403, "{passive}");
        assert_ne!(telemetry.await, 403, "{passive}");
    }
    served.stop().await;
}
