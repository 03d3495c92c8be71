//! Tenants among each other.

use foreshadow_access::{Grant, Role};
use foreshadow_api::{
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
use tonic::{
    Code, Request, Status, metadata::MetadataValue, service::interceptor::InterceptedService,
    transport::Channel,
};

use crate::{
    bearer, status,
    support::{Served, directory, grant},
};

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
