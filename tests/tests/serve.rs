//! The server as its clients see it: real processes, real gRPC, real crashes.

#![expect(
    clippy::disallowed_methods,
    reason = "these tests wait for real processes"
)]

mod support;

use std::time::{Duration, Instant};

use foreshadow_api::{
    v1::{
        AllocateRequest, ListRequest, PredictRequest, ReleaseRequest, allocation::State,
        allocations_client::AllocationsClient, forecasts_client::ForecastsClient,
        predict_request::Subject,
    },
    well_known,
};
use foreshadow_tests::{Server, foreshadow, http, notebook_pool, processes_with};
use support::{PATIENCE, address, ask, channel, no_process_is_left, release, warm};
use tempfile::TempDir;
use tokio::time::sleep;
use tonic::Code;

#[tokio::test(flavor = "multi_thread")]
async fn a_warm_instance_is_granted_answers_and_is_given_back() {
    let data = TempDir::new().expect("a folder can be made");
    let server = Server::start(&notebook_pool(100, 2, 6), &data.path().join("data"));
    let mut client = AllocationsClient::new(channel(&server).await);

    let held = warm(&mut client, "notebook").await;
    assert_eq!(
        http(&address(&held), "GET", "/", "").0,
        200,
        "a thawed instance answers"
    );
    release(&mut client, &held).await;
    let stale = client
        .release(ReleaseRequest {
            allocation_id: held.allocation_id.clone(),
            fencing_token: held.fencing_token + 1,
        })
        .await
        .expect_err("a lease is given back once");
    assert_ne!(stale.code(), Code::Internal, "{stale}");
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_become_a_forecast_and_a_shadow() {
    let data = TempDir::new().expect("a folder can be made");
    let server = Server::start(&notebook_pool(50, 1, 6), &data.path().join("data"));
    let channel = channel(&server).await;
    let mut client = AllocationsClient::new(channel.clone());
    for _ in 0..3 {
        let held = warm(&mut client, "notebook").await;
        release(&mut client, &held).await;
    }
    let mut forecasts = ForecastsClient::new(channel);
    let request = PredictRequest {
        subject: Some(Subject::Pool("notebook".to_owned())),
        horizon: Some(well_known::Duration {
            seconds: 10,
            nanos: 0,
        }),
        ..PredictRequest::default()
    };
    let since = Instant::now();
    let forecast = loop {
        match forecasts.predict(request.clone()).await {
            Ok(forecast) => break forecast.into_inner(),
            Err(status) => assert!(since.elapsed() < PATIENCE, "{status}"),
        }
        sleep(Duration::from_millis(300)).await;
    };
    assert!(!forecast.steps.is_empty());
    for step in &forecast.steps {
        assert_eq!(step.quantiles.len(), forecast.levels.len());
        assert!(step.quantiles.is_sorted(), "quantiles do not cross");
    }
    let (status, shadow) = server.http("GET", "/user/ada/resource_shadow", "");
    assert_eq!(status, 200, "{shadow}");
    assert!(shadow.contains("\"entityId\":\"ada\""), "{shadow}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_keeps_its_leases_and_leaks_no_process() {
    let data = TempDir::new().expect("a folder can be made");
    let folder = data.path().join("data");
    // The start-up time marks this test's processes among those of others.
    let config = notebook_pool(123, 2, 5);
    let marker = "--startup-ms 123";
    let server = Server::start(&config, &folder);
    let mut client = AllocationsClient::new(channel(&server).await);
    let held = warm(&mut client, "notebook").await;
    server.kill();
    assert!(
        !processes_with(marker).is_empty(),
        "the processes outlive their server"
    );

    let server = Server::start(&config, &folder);
    let mut client = AllocationsClient::new(channel(&server).await);
    let listed = client
        .list(ListRequest::default())
        .await
        .expect("a list")
        .into_inner();
    let kept = listed
        .allocations
        .iter()
        .find(|allocation| allocation.allocation_id == held.allocation_id)
        .expect("the lease is still there");
    assert_eq!(kept.state(), State::Granted);
    assert_eq!(kept.fencing_token, held.fencing_token);
    assert_eq!(address(kept), address(&held));
    assert_eq!(
        http(&address(&held), "GET", "/", "").0,
        200,
        "the instance still serves"
    );
    release(&mut client, &held).await;
    server.stop();
    no_process_is_left(marker, data.path()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_requests_get_the_right_status() {
    let data = TempDir::new().expect("a folder can be made");
    let server = Server::start("", &data.path().join("data"));
    let channel = channel(&server).await;
    let mut client = AllocationsClient::new(channel);

    let unknown = client
        .allocate(ask("nowhere"))
        .await
        .expect_err("there is no such pool");
    assert_eq!(unknown.code(), Code::NotFound, "{unknown}");
    assert!(unknown.message().contains("nowhere"), "{unknown}");
    let negative = AllocateRequest {
        max_wait: Some(well_known::Duration {
            seconds: -5,
            nanos: 0,
        }),
        ..ask("nowhere")
    };
    let negative = client
        .allocate(negative)
        .await
        .expect_err("a wait is not negative");
    assert_eq!(negative.code(), Code::InvalidArgument, "{negative}");
    assert!(negative.message().contains("max_wait"), "{negative}");

    assert_eq!(
        server.http("GET", "/user/nobody/resource_shadow", "").0,
        404
    );
    let (status, answer) = server.http("POST", "/admin/shadow_config", r#"{"speed": 9}"#);
    assert_eq!(status, 400);
    assert!(answer.contains("speed"), "{answer}");
    assert_eq!(server.http("POST", "/admin/shadow_override", "{").0, 400);
    for path in ["/healthz", "/readyz", "/metrics", "/openapi.json", "/"] {
        assert_eq!(server.http("GET", path, "").0, 200, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_size_of_a_pool_is_explained_on_the_command_line_and_over_http() {
    let data = TempDir::new().expect("a folder can be made");
    let server = Server::start(&notebook_pool(0, 2, 4), &data.path().join("data"));
    let mut client = AllocationsClient::new(channel(&server).await);
    let held = warm(&mut client, "notebook").await;
    release(&mut client, &held).await;

    let url = format!("http://{}", server.address());
    let said = foreshadow(&["explain", "--pool", "notebook", "--server", &url]);
    let text = String::from_utf8_lossy(&said.stdout);
    assert!(said.status.success(), "{said:?}");
    assert!(text.starts_with("notebook at "), "{text}");
    assert!(text.contains("min: "), "the least target is named: {text}");

    let (status, answer) = server.http("GET", "/admin/explain?pool=notebook", "");
    assert_eq!(status, 200, "{answer}");
    assert!(answer.contains("\"target\":2"), "{answer}");

    let early = ["--pool", "notebook", "--at", "2020-01-01T00:00:00Z"];
    let args = [&["explain", "--server", &url], &early[..]].concat();
    let unknown = foreshadow(&args);
    assert_eq!(unknown.status.code(), Some(2), "{unknown:?}");
    let reason = String::from_utf8_lossy(&unknown.stderr);
    assert!(reason.contains("had no plan"), "{reason}");
    let path = "/admin/explain?pool=notebook&at=yesterday";
    assert_eq!(server.http("GET", path, "").0, 400);
    let path = "/admin/explain?pool=nowhere";
    assert_eq!(server.http("GET", path, "").0, 404);
    assert_eq!(server.http("POST", "/admin/pools/nowhere/live", "").0, 404);
}
