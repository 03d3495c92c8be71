//! gRPC against a real engine.

#![expect(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

mod support;

use std::{pin::pin, time::Duration};

use axum::http::uri::PathAndQuery;
use foreshadow_api::{
    v1::{
        self, AllocateRequest, Allocation, ListRequest, ReleaseRequest, RenewRequest, WatchRequest,
        admin_client::AdminClient, allocate_request::Target, allocate_result, allocation::State,
        allocations_client::AllocationsClient,
    },
    well_known,
};
use foreshadow_server::ServerOptions;
use futures::StreamExt;
use support::{Served, granted, notebook};
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::{once, wrappers::ReceiverStream};
use tonic::{Code, client::Grpc};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_prost::ProstCodec;
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};

#[tokio::test]
async fn an_instance_is_granted_renewed_and_released() {
    let served = Served::start(None).await;
    let mut client = AllocationsClient::new(served.channel().await);
    let lease = granted(&mut client, notebook()).await;
    assert!(lease.fencing_token > 0);
    assert!(!lease.instance.as_ref().unwrap().id.is_empty());
    let renew = RenewRequest {
        allocation_id: lease.allocation_id.clone(),
        fencing_token: lease.fencing_token,
        lease_duration: Some(well_known::Duration {
            seconds: 3600,
            nanos: 0,
        }),
    };
    let renewed = client.renew(renew).await.unwrap().into_inner();
    assert!(
        renewed.lease_expires_at.unwrap().seconds > lease.lease_expires_at.unwrap().seconds - 60
    );
    let release = |fencing_token| ReleaseRequest {
        allocation_id: lease.allocation_id.clone(),
        fencing_token,
    };
    let stale = client
        .release(release(lease.fencing_token + 1))
        .await
        .unwrap_err();
    assert_eq!(stale.code(), Code::FailedPrecondition, "{stale}");
    let released = client
        .release(release(lease.fencing_token))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(released.state(), State::Released);
    let page = client.list(ListRequest {
        user_id: "ada".to_owned(),
        ..ListRequest::default()
    });
    assert_eq!(page.await.unwrap().into_inner().allocations.len(), 1);
    served.stop().await;
}

#[tokio::test]
async fn bad_requests_get_the_right_code_and_name_the_field() {
    let served = Served::start(None).await;
    let mut client = AllocationsClient::new(served.channel().await);
    let negative = Some(well_known::Duration {
        seconds: -5,
        nanos: 0,
    });
    let of = |pool: &str| Some(Target::Pool(pool.to_owned()));
    for (request, code, word) in [
        (
            AllocateRequest {
                target: None,
                ..notebook()
            },
            Code::InvalidArgument,
            "`pool`",
        ),
        (
            AllocateRequest {
                max_wait: negative,
                ..notebook()
            },
            Code::InvalidArgument,
            "`max_wait`",
        ),
        (
            AllocateRequest {
                target: of("nope"),
                ..notebook()
            },
            Code::NotFound,
            "nope",
        ),
    ] {
        let status = client.allocate(request).await.unwrap_err();
        assert_eq!(status.code(), code, "{status}");
        assert!(status.message().contains(word), "{status}");
    }
    let id = |text: &str| v1::CancelRequest {
        allocation_id: text.to_owned(),
    };
    let malformed = client.cancel(id("zz")).await.unwrap_err();
    assert_eq!(malformed.code(), Code::InvalidArgument);
    assert_eq!(
        client.cancel(id("a-999999")).await.unwrap_err().code(),
        Code::NotFound
    );
    served.stop().await;
}

#[tokio::test]
async fn a_full_queue_is_refused_with_a_delay() {
    let served = Served::start(None).await;
    let mut client = AllocationsClient::new(served.channel().await);
    for _ in 0..2 {
        granted(&mut client, notebook()).await;
    }
    let queued = client.allocate(notebook()).await.unwrap().into_inner();
    assert_eq!((queued.state(), queued.queue_position), (State::Queued, 1));
    let refused = client.allocate(notebook()).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
    let details = String::from_utf8_lossy(refused.details()).into_owned();
    assert!(details.contains("google.rpc.RetryInfo"), "{details}");
    served.stop().await;
}

#[tokio::test]
async fn a_stream_answers_each_request_in_its_place() {
    let served = Served::start(None).await;
    let mut client = AllocationsClient::new(served.channel().await);
    let held = granted(&mut client, notebook()).await;
    let batch = v1::AllocateStreamRequest {
        requests: vec![
            AllocateRequest {
                target: None,
                ..notebook()
            },
            notebook(),
            AllocateRequest {
                target: Some(Target::Pool("nope".to_owned())),
                ..notebook()
            },
        ],
        releases: vec![
            v1::ReleaseRequest {
                allocation_id: "nonsense".to_owned(),
                fencing_token: 1,
            },
            v1::ReleaseRequest {
                allocation_id: held.allocation_id,
                fencing_token: held.fencing_token,
            },
        ],
    };
    let mut answers = client
        .allocate_stream(once(batch))
        .await
        .unwrap()
        .into_inner();
    let answer = answers.message().await.unwrap().unwrap();
    let released = answer.releases.iter().map(|one| one.error.as_ref());
    let released: Vec<_> = released
        .map(|error| error.map(|error| error.code))
        .collect();
    assert_eq!(released, [Some(Code::InvalidArgument as i32), None]);
    let codes: Vec<i32> = answer
        .results
        .iter()
        .map(|result| match result.result.as_ref().unwrap() {
            allocate_result::Result::Allocation(_) => 0,
            allocate_result::Result::Error(error) => error.code,
        })
        .collect();
    assert_eq!(
        codes,
        [Code::InvalidArgument as i32, 0, Code::NotFound as i32]
    );
    assert!(answers.message().await.unwrap().is_none());
    served.stop().await;
}

#[tokio::test]
async fn a_resource_can_ask_whether_its_caller_still_holds_it() {
    let served = Served::start(None).await;
    let mut client = AllocationsClient::new(served.channel().await);
    let lease = granted(&mut client, notebook()).await;
    let instance = lease.instance.unwrap().id;
    let path = |token: u64| format!("/fencing/{instance}?token={token}");
    assert_eq!(served.get(&path(lease.fencing_token)).await.status, 204);
    assert_eq!(served.get(&path(lease.fencing_token + 1)).await.status, 409);
    assert_eq!(served.get("/fencing/i-999999?token=1").await.status, 404);
    assert_eq!(served.get("/fencing/nonsense?token=1").await.status, 400);
    assert_eq!(
        served.get(&format!("/fencing/{instance}")).await.status,
        400
    );
    let check = |fencing_token| v1::CheckTokenRequest {
        instance_id: instance.clone(),
        fencing_token,
    };
    assert!(client.check_token(check(lease.fencing_token)).await.is_ok());
    let stale = client.check_token(check(lease.fencing_token + 1)).await;
    assert_eq!(stale.unwrap_err().code(), Code::FailedPrecondition);
    let release = ReleaseRequest {
        allocation_id: lease.allocation_id,
        fencing_token: lease.fencing_token,
    };
    client.release(release).await.unwrap();
    assert_eq!(served.get(&path(lease.fencing_token)).await.status, 404);
    served.stop().await;
}

#[tokio::test]
async fn a_tenant_that_asks_too_often_is_refused_with_the_delay() {
    let served = Served::start(None).await;
    let mut client = AllocationsClient::new(served.channel().await);
    let mut admin = AdminClient::new(served.channel().await);
    let quota = v1::TenantQuota {
        tenant_id: "acme".to_owned(),
        live: None,
        rate: Some(v1::tenant_quota::Rate {
            per_second: 1,
            burst: 1,
        }),
        ..v1::TenantQuota::default()
    };
    admin.set_tenant_quota(quota).await.unwrap();
    let ask = || AllocateRequest {
        tenant_id: "acme".to_owned(),
        ..notebook()
    };
    client.allocate(ask()).await.unwrap();
    let refused = client.allocate(ask()).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
    assert!(refused.message().contains("1 a second"), "{refused}");
    assert!(!refused.details().is_empty(), "the delay is told");
    served.stop().await;
}

#[tokio::test]
async fn a_drained_pool_is_renewed() {
    let served = Served::start(None).await;
    let mut client = AllocationsClient::new(served.channel().await);
    let mut admin = AdminClient::new(served.channel().await);
    let before = granted(&mut client, notebook()).await.instance.unwrap().id;
    let pool = "notebook".to_owned();
    admin
        .drain_pool(v1::DrainPoolRequest { pool })
        .await
        .unwrap();
    let after = granted(&mut client, notebook()).await.instance.unwrap().id;
    assert_ne!(after, before);
    let pool = "nope".to_owned();
    let unknown = admin.drain_pool(v1::DrainPoolRequest { pool }).await;
    assert_eq!(unknown.unwrap_err().code(), Code::NotFound);
    served.stop().await;
}

#[tokio::test]
async fn health_and_reflection_answer() {
    let served = Served::start(None).await;
    let channel = served.channel().await;
    let request = HealthCheckRequest {
        service: "foreshadow.v1.Allocations".to_owned(),
    };
    let mut changes = HealthClient::new(channel.clone())
        .watch(request)
        .await
        .unwrap()
        .into_inner();
    let serving = async { while changes.message().await.unwrap().unwrap().status != 1 {} };
    tokio::time::timeout(Duration::from_secs(5), serving)
        .await
        .unwrap();

    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut client = ServerReflectionClient::new(channel);
    let mut answers = client
        .server_reflection_info(once(request))
        .await
        .unwrap()
        .into_inner();
    let answer = answers.message().await.unwrap().unwrap().message_response;
    let Some(MessageResponse::ListServicesResponse(list)) = answer else {
        panic!("{answer:?}")
    };
    let names: Vec<&str> = list
        .service
        .iter()
        .map(|service| service.name.as_str())
        .collect();
    for name in ["Admin", "Allocations", "Forecasts", "Shadows", "Telemetry"] {
        assert!(
            names.contains(&format!("foreshadow.v1.{name}").as_str()),
            "{names:?}"
        );
    }
    served.stop().await;
}

#[tokio::test]
async fn a_shutdown_ends_streams_with_unavailable() {
    let served = Served::start(None).await;
    let mut client = AllocationsClient::new(served.channel().await);
    let asked = client.allocate(notebook()).await.unwrap().into_inner();
    let watch = WatchRequest {
        allocation_id: asked.allocation_id,
    };
    let changes = client.watch(watch).await.unwrap().into_inner();
    served.stop().await;
    let last = changes.collect::<Vec<_>>().await.pop().unwrap();
    assert_eq!(last.unwrap_err().code(), Code::Unavailable);
}

#[tokio::test]
async fn who_watches_health_is_told_of_the_end_and_delays_it_not() {
    let patient = |options: &mut ServerOptions| options.drain = Duration::from_hours(1);
    let served = Served::start_with(patient).await;
    let changes = HealthClient::new(served.channel().await)
        .watch(HealthCheckRequest::default())
        .await
        .unwrap()
        .into_inner();
    served.stop().await;
    let last = changes.collect::<Vec<_>>().await.pop().unwrap().unwrap();
    assert_eq!(last.status(), ServingStatus::NotServing);
}

/// A claim is under way whose message has not come yet; health says that the server stops, then the
/// message comes, and it is answered.
#[tokio::test]
async fn health_turns_before_calls_under_way_are_answered() {
    let served = Served::start(None).await;
    let mut health = HealthClient::new(served.channel().await)
        .watch(HealthCheckRequest::default())
        .await
        .unwrap()
        .into_inner();
    let channel = served.channel().await;
    let mut client = Grpc::new(channel.clone());
    client.ready().await.unwrap();
    let (sending, sent) = mpsc::channel(1);
    let path = PathAndQuery::from_static("/foreshadow.v1.Allocations/Allocate");
    let codec = ProstCodec::<AllocateRequest, Allocation>::default();
    let request = tonic::Request::new(ReceiverStream::new(sent));
    let mut answer = pin!(client.client_streaming(request, path, codec));
    assert!(futures::poll!(&mut answer).is_pending());
    // What is asked after it on the same connection is answered, so it has come.
    let mut lists = AllocationsClient::new(channel);
    lists.list(ListRequest::default()).await.unwrap();
    let stopped = tokio::spawn(served.stop());
    let not_serving = async { while health.message().await.unwrap().unwrap().status != 2 {} };
    let patience = Duration::from_secs(5);
    timeout(patience, not_serving).await.unwrap();
    assert!(!stopped.is_finished(), "a call is under way");
    sending.send(notebook()).await.unwrap();
    drop(sending);
    let answer = timeout(patience, answer).await.unwrap();
    let answer = answer.unwrap().into_inner();
    assert!(!answer.allocation_id.is_empty(), "{answer:?}");
    drop((health, lists));
    stopped.await.unwrap();
}

#[tokio::test]
async fn with_a_token_calls_without_it_are_unauthenticated() {
    let served = Served::start(Some("correct-horse-battery")).await;
    let mut client = AllocationsClient::new(served.channel().await);
    let refused = client.list(ListRequest::default()).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated, "{refused}");
    let mut request = tonic::Request::new(ListRequest::default());
    let bearer = "Bearer correct-horse-battery".parse().unwrap();
    request.metadata_mut().insert("authorization", bearer);
    assert!(client.list(request).await.is_ok());
    served.stop().await;
}
