//! Who may call what, over the wire: every call and path with every role, tenants among each other,
//! rates, certificates, and what is written down of changes.

#![expect(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

mod support;

use std::collections::BTreeMap;

use foreshadow_access::{CallRate, Grant, Role};
use foreshadow_api::{
    DESCRIPTORS,
    v1::{
        AllocateRequest, AllocateStreamRequest, Allocation, CancelRequest, CheckTokenRequest,
        ListRequest, PredictRequest, ReleaseRequest, RenewRequest, WatchRequest,
        allocate_request::Target, allocate_result, allocations_client::AllocationsClient,
        forecasts_client::ForecastsClient, predict_request::Subject,
    },
    well_known,
};
use foreshadow_server::Access;
use foreshadow_types::TenantId;
use prost::Message;
use prost_types::FileDescriptorSet;
use serde_json::{Value, json};
use support::{Served, directory, grant};
use tonic::{
    Code, Request, Status, metadata::MetadataValue, service::interceptor::InterceptedService,
    transport::Channel,
};

const CLIENT: &str = "a-token-of-a-client";
const TELEMETRY: &str = "a-token-of-telemetry";
const OPERATOR: &str = "a-token-of-an-operator";
const ADMIN: &str = "a-token-of-an-admin";

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
        "get /user/{userId}/resource_shadow",
        [true, false, true, true],
    ),
    ("delete /user/{userId}", [false, false, false, true]),
    ("get /fencing/{instanceId}", [true, false, true, true]),
    ("get /api/v1/allocations", [true, false, true, true]),
    ("post /api/v1/allocations*", [true, false, true, true]),
    ("get /api/v1/pools", [false, false, true, true]),
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

async fn guarded() -> Served {
    let tokens = [
        (CLIENT, grant("client", Role::Client)),
        (TELEMETRY, grant("telemetry", Role::Telemetry)),
        (OPERATOR, grant("operator", Role::Operator)),
        (ADMIN, grant("admin", Role::Admin)),
    ];
    let access = Access::new(directory(&tokens));
    Served::start_with(|options| options.access = Some(access)).await
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

/// Every RPC of the contract, as path and as it stands in [`EXPECTED`].
fn rpcs() -> Vec<(String, String)> {
    let set = FileDescriptorSet::decode(DESCRIPTORS).unwrap();
    let files = set
        .file
        .iter()
        .filter(|file| file.package() == "foreshadow.v1");
    let services = files.flat_map(|file| &file.service);
    let calls = services.flat_map(|service| {
        let name = service.name().to_owned();
        service.method.iter().map(move |method| {
            let (path, call) = (
                format!("/foreshadow.v1.{name}/{}", method.name()),
                format!("rpc {name}.{}", method.name()),
            );
            (path, call)
        })
    });
    calls.collect()
}

#[tokio::test]
async fn every_rpc_is_open_to_the_roles_listed_and_to_nobody_else() {
    let served = guarded().await;
    let rpcs = rpcs();
    assert!(rpcs.len() >= 27, "{}", rpcs.len());
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

async fn status(served: &Served, method: &str, path: &str, token: Option<&str>) -> u16 {
    let value = token.map(bearer);
    let headers: Vec<_> = value
        .iter()
        .map(|value| ("authorization", value.as_str()))
        .collect();
    let method = method.to_uppercase();
    let answer = served.ask(&method, path, &headers, "");
    answer.await.status
}

type Guarded = AllocationsClient<InterceptedService<Channel, Shown>>;

/// Shows a token with each call.
#[derive(Clone)]
struct Shown(&'static str);

impl tonic::service::Interceptor for Shown {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let value = MetadataValue::try_from(bearer(self.0)).unwrap();
        request.metadata_mut().insert("authorization", value);
        Ok(request)
    }
}

const ACME: &str = "a-token-of-acme";
const UMBRA: &str = "a-token-of-umbra";

fn of_tenant(name: &str, users: &[&str]) -> Grant {
    Grant {
        tenant: Some(TenantId::new(name).unwrap()),
        users: Some(users.iter().map(|user| user.parse().unwrap()).collect()),
        ..grant(name, Role::Client)
    }
}

async fn tenants() -> Served {
    let tokens = [
        (ACME, of_tenant("acme", &["ada", "acme-*"])),
        (UMBRA, of_tenant("umbra", &["*"])),
    ];
    let access = Access::new(directory(&tokens));
    Served::start_with(|options| options.access = Some(access)).await
}

async fn client(served: &Served, token: &'static str) -> Guarded {
    AllocationsClient::with_interceptor(served.channel().await, Shown(token))
}

fn asking(tenant: &str, user: &str) -> AllocateRequest {
    AllocateRequest {
        tenant_id: tenant.to_owned(),
        user_id: user.to_owned(),
        target: Some(Target::Pool("notebook".to_owned())),
        ..AllocateRequest::default()
    }
}

#[tokio::test]
async fn a_tenant_claims_for_itself_and_its_users_only() {
    let served = tenants().await;
    let mut acme = client(&served, ACME).await;
    let own = acme.allocate(asking("", "ada")).await.unwrap().into_inner();
    assert_eq!(own.tenant_id, "acme", "it is filled in");
    for (tenant, user) in [("umbra", "ada"), ("acme", "bob"), ("", "")] {
        let refused = acme.allocate(asking(tenant, user)).await.unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied, "{tenant} {user}");
    }
    let batch = AllocateStreamRequest {
        requests: vec![asking("umbra", "ada")],
        ..AllocateStreamRequest::default()
    };
    let mut answers = acme
        .allocate_stream(tokio_stream::once(batch))
        .await
        .unwrap()
        .into_inner();
    let answer = answers.message().await.unwrap().unwrap();
    let Some(allocate_result::Result::Error(error)) = &answer.results[0].result else {
        panic!("it was granted: {answer:?}");
    };
    assert_eq!(error.code, Code::PermissionDenied as i32);
    served.stop().await;
}

#[tokio::test]
async fn what_is_another_tenants_does_not_exist() {
    let served = tenants().await;
    let (mut acme, mut umbra) = (client(&served, ACME).await, client(&served, UMBRA).await);
    let own = acme.allocate(asking("", "ada")).await.unwrap().into_inner();
    for code in touched(&mut umbra, &own).await {
        assert_eq!(code, Code::NotFound);
    }
    let asked = CheckTokenRequest {
        instance_id: "i-1".to_owned(),
        fencing_token: 1,
    };
    let refused = umbra.check_token(asked).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    let over_http = status(&served, "get", "/fencing/i-1?token=1", Some(UMBRA)).await;
    assert_eq!(over_http, 403);
    let listed = umbra
        .list(ListRequest::default())
        .await
        .unwrap()
        .into_inner();
    assert!(listed.allocations.is_empty());
    let other = ListRequest {
        tenant_id: "acme".to_owned(),
        ..ListRequest::default()
    };
    let refused = umbra.list(other).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    let of_ada = ListRequest {
        user_id: "ada".to_owned(),
        ..ListRequest::default()
    };
    let listed = acme.list(of_ada).await.unwrap().into_inner();
    assert_eq!(listed.allocations.len(), 1);
    let watched = acme.watch(WatchRequest {
        allocation_id: own.allocation_id.clone(),
    });
    assert!(watched.await.is_ok());
    served.stop().await;
}

/// What somebody is told who tries everything with an allocation.
async fn touched(client: &mut Guarded, own: &Allocation) -> Vec<Code> {
    let (allocation_id, fencing_token) = (own.allocation_id.clone(), own.fencing_token.max(1));
    let release = ReleaseRequest {
        allocation_id: allocation_id.clone(),
        fencing_token,
    };
    let renew = RenewRequest {
        allocation_id: allocation_id.clone(),
        fencing_token,
        ..RenewRequest::default()
    };
    let cancel = CancelRequest {
        allocation_id: allocation_id.clone(),
    };
    let batch = AllocateStreamRequest {
        releases: vec![release.clone()],
        ..AllocateStreamRequest::default()
    };
    let mut streamed = client
        .allocate_stream(tokio_stream::once(batch))
        .await
        .unwrap()
        .into_inner();
    let streamed = streamed.message().await.unwrap().unwrap();
    vec![
        client.release(release).await.unwrap_err().code(),
        client.renew(renew).await.unwrap_err().code(),
        client.cancel(cancel).await.unwrap_err().code(),
        client
            .watch(WatchRequest { allocation_id })
            .await
            .unwrap_err()
            .code(),
        streamed.releases[0].error.as_ref().unwrap().code.into(),
    ]
}

#[tokio::test]
async fn shadows_and_forecasts_of_others_are_closed() {
    let served = tenants().await;
    let asked = |user: &'static str| {
        let served = &served;
        async move {
            let path = format!("/user/{user}/resource_shadow");
            status(served, "get", &path, Some(ACME)).await
        }
    };
    assert_eq!(asked("bob").await, 403);
    assert_eq!(asked("ada").await, 404, "it is its own, and not known yet");
    let channel = served.channel().await;
    let mut forecasts = ForecastsClient::with_interceptor(channel, Shown(ACME));
    for (subject, expected) in [
        (Subject::EntityId("bob".to_owned()), Code::PermissionDenied),
        (Subject::EntityId("ada".to_owned()), Code::NotFound),
        (Subject::Pool("notebook".to_owned()), Code::PermissionDenied),
    ] {
        let request = PredictRequest {
            subject: Some(subject.clone()),
            horizon: Some(well_known::Duration {
                seconds: 5,
                nanos: 0,
            }),
            ..PredictRequest::default()
        };
        let code = forecasts.predict(request).await.unwrap_err().code();
        assert_eq!(code, expected, "{subject:?}");
    }
    served.stop().await;
}

#[tokio::test]
async fn a_page_of_another_site_calls_neither_paths_nor_services() {
    let served = Served::start(None).await;
    for path in [
        "/admin/pools/notebook/drain",
        "/foreshadow.v1.Admin/DrainPool",
        "/foreshadow.v1.Allocations/Allocate",
        "/api/v1/write",
    ] {
        let headers = [("origin", "https://evil.example")];
        let answer = served.ask("POST", path, &headers, "").await;
        assert_eq!(answer.status, 403, "{path}: {answer:?}");
        assert!(answer.body.contains("other sites"), "{answer:?}");
    }
    served.stop().await;
}

#[tokio::test]
async fn who_calls_too_often_is_told_when_to_come_back() {
    let token = "a-token-that-is-slow";
    let slow = Grant {
        rate: Some(CallRate::new(1, 2).unwrap()),
        ..grant("slow", Role::Operator)
    };
    let access = Access::new(directory(&[
        (token, slow),
        (ADMIN, grant("admin", Role::Admin)),
    ]));
    let served = Served::start_with(|options| options.access = Some(access.clone())).await;
    let value = bearer(token);
    let headers = [("authorization", value.as_str())];
    let mut statuses = BTreeMap::new();
    for _ in 0..6 {
        let answer = served.ask("GET", "/api/v1/pools", &headers, "").await;
        *statuses.entry(answer.status).or_insert(0) += 1;
        if answer.status == 429 {
            assert_eq!(answer.header("retry-after"), Some("1"), "{answer:?}");
        }
    }
    assert!(statuses[&200] >= 2 && statuses[&429] >= 1, "{statuses:?}");
    assert_eq!(
        status(&served, "get", "/api/v1/pools", Some(ADMIN)).await,
        200
    );
    access.replace(directory(&[(token, grant("admin", Role::Admin))]));
    assert_eq!(
        status(&served, "get", "/api/v1/pools", Some(ADMIN)).await,
        401
    );
    assert_eq!(
        status(&served, "get", "/admin/audit", Some(token)).await,
        200
    );
    served.stop().await;
}

#[tokio::test]
async fn changes_are_written_down_with_their_caller() {
    let served = guarded().await;
    let operator = bearer(OPERATOR);
    let headers = [("authorization", operator.as_str())];
    let set = json!({"set": {"name": "exam", "pool": "notebook", "count": 1,
                     "entityId": "ada", "reason": "exam week"}});
    let post = |path: &'static str, body: String| {
        let (served, headers) = (&served, &headers);
        async move { served.ask("POST", path, headers, &body).await }
    };
    let answer = post("/admin/shadow_override", set.to_string()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let refused = post("/admin/pools/nope/drain", String::new()).await;
    assert_eq!(refused.status, 404, "{refused:?}");
    let events = audited(&served, "").await;
    let events = events["events"].as_array().unwrap();
    let said = |event: &Value, key: &str| event[key].as_str().unwrap_or_default().to_owned();
    assert_eq!(events.len(), 2);
    assert_eq!(said(&events[0], "action"), "DrainPool");
    assert!(said(&events[0], "refusal").contains("nope"));
    assert_eq!(
        (
            said(&events[1], "who"),
            said(&events[1], "role"),
            said(&events[1], "refusal")
        ),
        ("operator".to_owned(), "operator".to_owned(), String::new())
    );
    assert!(said(&events[1], "request").contains("exam week"));
    assert!(said(&events[1], "peer").starts_with("127.0.0.1:"));
    let admin = bearer(ADMIN);
    let headers = [("authorization", admin.as_str())];
    let deleted = served.ask("DELETE", "/user/ada", &headers, "").await;
    assert_eq!(deleted.status, 200, "{deleted:?}");
    let events = audited(&served, "").await.to_string();
    assert!(
        !events.contains("ada") && events.contains("DeleteUser"),
        "{events}"
    );
    let drains = audited(&served, "?action=DrainPool&pageSize=1").await;
    assert_eq!(drains["events"].as_array().unwrap().len(), 1);
    served.stop().await;
}

async fn audited(served: &Served, query: &str) -> Value {
    let admin = bearer(ADMIN);
    let headers = [("authorization", admin.as_str())];
    let path = format!("/admin/audit{query}");
    served.ask("GET", &path, &headers, "").await.json()
}
