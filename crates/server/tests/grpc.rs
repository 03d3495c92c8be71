//! gRPC against a real engine.

#![expect(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

mod support;

use std::time::Duration;

use foreshadow_api::{
    v1::{
        self, AllocateRequest, Allocation, ListRequest, ReleaseRequest, RenewRequest, WatchRequest,
        admin_client::AdminClient, allocate_request::Target, allocate_result, allocation::State,
        allocations_client::AllocationsClient, forecasts_client::ForecastsClient, series,
        shadows_client::ShadowsClient, telemetry_client::TelemetryClient,
    },
    well_known,
};
use futures::StreamExt;
use support::Served;
use tokio_stream::once;
use tonic::{Code, transport::Channel};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};

fn notebook() -> AllocateRequest {
    AllocateRequest {
        user_id: "ada".to_owned(),
        application_id: "jupyter".to_owned(),
        target: Some(Target::Pool("notebook".to_owned())),
        ..AllocateRequest::default()
    }
}

/// The allocation once it holds a ready instance.
async fn granted(client: &mut AllocationsClient<Channel>, request: AllocateRequest) -> Allocation {
    let asked = client.allocate(request).await.unwrap().into_inner();
    let watch = WatchRequest {
        allocation_id: asked.allocation_id.clone(),
    };
    let mut changes = client.watch(watch).await.unwrap().into_inner();
    let waiting = async {
        while let Some(now) = changes.message().await.unwrap() {
            if now.state() == State::Granted {
                return now;
            }
        }
        panic!("it ended without a grant");
    };
    tokio::time::timeout(Duration::from_secs(20), waiting)
        .await
        .unwrap()
}

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
async fn reported_samples_make_a_shadow_and_a_forecast() {
    let served = Served::start(None).await;
    let channel = served.channel().await;
    let point = |value| v1::Point { at: None, value };
    let report = v1::ReportRequest {
        series: vec![v1::Series {
            entity: Some(series::Entity::UserId("ada".to_owned())),
            metric: "cpu_usage_pct".to_owned(),
            points: vec![point(40.0), point(f64::NAN)],
        }],
    };
    let mut telemetry = TelemetryClient::new(channel.clone());
    let mut answers = telemetry.report(once(report)).await.unwrap().into_inner();
    let answer = answers.message().await.unwrap().unwrap();
    assert_eq!((answer.accepted, answer.refused_not_finite), (1, 1));
    assert!(
        answer.first_error.contains("points[1].value"),
        "{}",
        answer.first_error
    );

    let over_http = served.get("/user/ada/resource_shadow").await.json();
    assert_eq!(over_http["metrics"][0]["latest"], 40.0);
    assert_eq!(over_http["metrics"][0]["class"], "CPU");
    let whose = v1::get_resource_shadow_request::Entity::UserId("ada".to_owned());
    let request = v1::GetResourceShadowRequest {
        entity: Some(whose),
        at: None,
    };
    let shadow = ShadowsClient::new(channel.clone())
        .get_resource_shadow(request)
        .await
        .unwrap();
    assert_eq!(shadow.into_inner().metrics[0].latest, 40.0);

    let question = v1::PredictRequest {
        subject: Some(v1::predict_request::Subject::EntityId("ada".to_owned())),
        metric: "cpu_usage_pct".to_owned(),
        horizon: Some(well_known::Duration {
            seconds: 2,
            nanos: 0,
        }),
        levels: vec![0.1, 0.5, 0.9],
    };
    let mut forecasts = ForecastsClient::new(channel);
    let forecast = at_the_next_tick(&mut forecasts, &question).await;
    assert_eq!(
        forecast.steps.len(),
        10,
        "two seconds at five ticks a second"
    );
    assert!(forecast.steps.iter().all(|step| step.quantiles.is_sorted()));
    let unknown = v1::PredictRequest {
        subject: Some(v1::predict_request::Subject::EntityId("nobody".to_owned())),
        ..question
    };
    assert_eq!(
        forecasts.predict(unknown).await.unwrap_err().code(),
        Code::NotFound
    );
    served.stop().await;
}

/// A sample is part of a forecast once its tick has closed.
async fn at_the_next_tick(
    forecasts: &mut ForecastsClient<Channel>,
    question: &v1::PredictRequest,
) -> v1::Forecast {
    for _ in 0..50 {
        match forecasts.predict(question.clone()).await {
            Ok(forecast) => return forecast.into_inner(),
            Err(status) => assert_eq!(status.code(), Code::NotFound, "{status}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("no forecast within five seconds");
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

/// Thirty samples of a user, a second apart up to now, that count up from 1.
async fn report_thirty(served: &Served, user: &str) -> i64 {
    let since_epoch = std::time::UNIX_EPOCH.elapsed().unwrap();
    let now_s = since_epoch.as_secs() as i64;
    let points = (1..=30).map(|number| v1::Point {
        at: Some(well_known::Timestamp {
            seconds: now_s - 30 + number,
            nanos: 0,
        }),
        value: number as f64,
    });
    let report = v1::ReportRequest {
        series: vec![v1::Series {
            entity: Some(series::Entity::UserId(user.to_owned())),
            metric: "cpu_usage_pct".to_owned(),
            points: points.collect(),
        }],
    };
    let mut telemetry = TelemetryClient::new(served.channel().await);
    let mut answers = telemetry.report(once(report)).await.unwrap().into_inner();
    assert_eq!(answers.message().await.unwrap().unwrap().accepted, 30);
    now_s
}

#[tokio::test]
async fn a_shadow_of_a_past_time_is_what_was_known_then() {
    let served = Served::start(None).await;
    let now_s = report_thirty(&served, "ada").await;
    let mut shadows = ShadowsClient::new(served.channel().await);
    let mut ask = async |user: &str, seconds: i64| {
        let whose = v1::get_resource_shadow_request::Entity::UserId(user.to_owned());
        let request = v1::GetResourceShadowRequest {
            entity: Some(whose),
            at: Some(well_known::Timestamp { seconds, nanos: 0 }),
        };
        shadows.get_resource_shadow(request).await
    };
    let then = ask("ada", now_s - 10).await.unwrap().into_inner();
    assert_eq!(
        (then.metrics[0].latest, then.metrics[0].samples),
        (20.0, 20)
    );
    assert!(then.forecasts.is_empty() && then.category.is_none());
    for (user, seconds, code) in [
        ("ada", now_s - 60, Code::NotFound),
        ("bob", now_s - 10, Code::NotFound),
        ("ada", now_s + 3_600, Code::InvalidArgument),
    ] {
        let refused = ask(user, seconds).await.unwrap_err();
        assert_eq!(refused.code(), code, "{user} {seconds}: {refused}");
    }

    let at = |text: &str| format!("/user/ada/resource_shadow?at={text}");
    let time = foreshadow_types::Timestamp::from_millis((now_s - 20) * 1_000);
    let over_http = served.get(&at(&time.to_string())).await.json();
    assert_eq!(over_http["metrics"][0]["latest"], 10.0);
    let as_of = over_http["asOf"].as_str().unwrap();
    assert_eq!(foreshadow_types::Timestamp::parse(as_of), Ok(time));
    for (text, word) in [
        ("yesterday", "RFC 3339"),
        ("2999-01-01T00:00:00Z", "has passed"),
    ] {
        let refused = served.get(&at(text)).await;
        assert_eq!(refused.status, 400, "{refused:?}");
        assert!(refused.body.contains(word), "{}", refused.body);
    }
    assert_eq!(
        served
            .get("/user/ada/resource_shadow?when=now")
            .await
            .status,
        400
    );
    served.stop().await;
}

#[tokio::test]
async fn hit_rates_are_told_by_pool_and_by_category_of_the_users() {
    let served = Served::start(None).await;
    report_thirty(&served, "ada").await;
    // Categories are found when the first bin has closed.
    let in_a_category = async || {
        let shadow = served.get("/user/ada/resource_shadow").await.json();
        shadow["category"]["label"].as_str().map(str::to_owned)
    };
    let category = eventually(in_a_category).await;
    let mut client = AllocationsClient::new(served.channel().await);
    let ask = AllocateRequest {
        user_id: "ada".to_owned(),
        ..notebook()
    };
    granted(&mut client, ask).await;
    let counted = async || {
        let adaptation = served.get("/api/v1/adaptation").await.json();
        let groups = adaptation["groups"].as_array()?.clone();
        let hit = |kind: &str, name: &str| {
            let group = groups
                .iter()
                .find(|one| one["kind"] == kind && one["name"] == name)?;
            (group["requests"] == "1").then(|| group["hitRate"].clone())
        };
        Some((hit("pool", "notebook")?, hit("category", &category)?))
    };
    assert_eq!(eventually(counted).await, (1.0.into(), 1.0.into()));
    let metrics = served.get("/metrics").await.body;
    let line = format!("foreshadow_group_hit_ratio{{kind=\"category\",name=\"{category}\"}} 1");
    assert!(metrics.contains(&line), "{metrics}");
    served.stop().await;
}

/// Asks again until there is an answer.
async fn eventually<T>(ask: impl AsyncFn() -> Option<T>) -> T {
    for _ in 0..300 {
        if let Some(answer) = ask().await {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("it has not happened in half a minute");
}
