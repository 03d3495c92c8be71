//! Passive senders as they are, reports of our own, and what a crash must not lose.

#![expect(
    clippy::disallowed_methods,
    reason = "these tests wait for real processes"
)]

mod opentelemetry;
mod prometheus;
mod reports;

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use foreshadow_api::v1::{
    AllocateRequest, ReleaseRequest, allocate_request::Target, allocation::State,
    allocations_client::AllocationsClient,
};
use foreshadow_history::{HistoryPaths, PanelLimits, PanelOptions, RequestReader, load_panel};
use foreshadow_tests::{PATIENCE, Server, notebook_pool};
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::sleep;

const PAGE: &str = include_str!("../../../docs/telemetry.md");

fn now_nanos() -> u128 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
    since_epoch.expect("the clock is past 1970").as_nanos()
}

fn json(body: &str) -> Value {
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body}"))
}

/// The mean and the number of samples of a metric in a shadow.
fn metric(server: &Server, user: &str, name: &str) -> Option<(f64, u64)> {
    let (status, body) = server.http("GET", &format!("/user/{user}/resource_shadow"), "");
    if status != 200 {
        return None;
    }
    let shadow = json(&body);
    let metrics = shadow["metrics"].as_array()?;
    let one = metrics.iter().find(|one| one["metric"] == name)?;
    let samples = one["samples"].as_str()?.parse().ok()?;
    Some((one["mean"].as_f64().unwrap_or(0.0), samples))
}

fn export(service: &str, value: u32) -> String {
    // A second apart, up to now: one series has one sample at a time.
    let at = now_nanos() - u128::from(30 - value.min(30)) * 1_000_000_000;
    format!(
        r#"{{"resourceMetrics":[{{"resource":{{"attributes":[{{"key":"service.name","value":
        {{"stringValue":"{service}"}}}}]}},"scopeMetrics":[{{"metrics":[{{"name":"app.sessions",
        "gauge":{{"dataPoints":[{{"timeUnixNano":"{at}","asInt":"{value}"}}]}}}}]}}]}}]}}"#
    )
}

fn config() -> String {
    let mapping = r#"
[[telemetry.mapping]]
metric = "app.sessions"
application = "{service.name}"
as = "sessions"
"#;
    notebook_pool(0, 1, 2) + mapping
}

fn files(data: &Path, kind: &str) -> HistoryPaths {
    HistoryPaths::expand(&[data.join("history").join(kind)]).expect("there is history")
}

fn samples(data: &Path) -> usize {
    let options = PanelOptions {
        metrics: Some(vec!["sessions".to_owned()]),
        interval: Duration::from_millis(1),
        until: None,
        limits: PanelLimits::Refuse {
            max_values: 1 << 24,
        },
    };
    let panel = load_panel(&files(data, "usage"), &options).expect("the history is whole");
    let values = (0..panel.ids().len()).flat_map(|series| panel.series(series).to_vec());
    values.filter(|value| value.is_finite()).count()
}

/// Allocates from the pool and gives back; twice, so that one lease is still held.
async fn one_released_and_one_held(server: &Server) {
    let endpoint = format!("http://{}", server.address());
    let mut client = AllocationsClient::connect(endpoint)
        .await
        .expect("the server listens");
    for (user, give_back) in [("ada", true), ("bob", false)] {
        let ask = AllocateRequest {
            tenant_id: "acme".to_owned(),
            user_id: user.to_owned(),
            target: Some(Target::Pool("notebook".to_owned())),
            ..AllocateRequest::default()
        };
        let mut held = client
            .allocate(ask)
            .await
            .expect("the pool exists")
            .into_inner();
        let since = Instant::now();
        while held.state() != State::Granted {
            assert!(since.elapsed() < PATIENCE, "{held:?}");
            sleep(Duration::from_millis(50)).await;
            let list = foreshadow_api::v1::ListRequest::default();
            let page = client.list(list).await.expect("a list").into_inner();
            let same = page
                .allocations
                .into_iter()
                .find(|one| one.allocation_id == held.allocation_id);
            held = same.expect("it is listed");
        }
        if give_back {
            sleep(Duration::from_millis(300)).await;
            let release = ReleaseRequest {
                allocation_id: held.allocation_id,
                fencing_token: held.fencing_token,
            };
            client.release(release).await.expect("it is held");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_a_kill() {
    let folder = TempDir::new().expect("a folder");
    let data = folder.path().join("data");
    let server = Server::start(&config(), &data);
    for value in 0..20 {
        let (status, body) = server.http("POST", "/v1/metrics", &export("checkout", value));
        assert_eq!((status, body.as_str()), (200, "{}"));
    }
    one_released_and_one_held(&server).await;
    server.kill();

    let server = Server::start(&config(), &data);
    assert_eq!(samples(&data), 20);
    let request = |user: &str| {
        let records = RequestReader::open(&files(&data, "requests")).expect("it can be read");
        let mut found: Vec<_> = records
            .map(|record| record.expect("it is whole"))
            .filter(|record| record.user.as_ref().is_some_and(|one| one.as_str() == user))
            .collect();
        assert!(found.len() <= 1, "once at the most: {found:?}");
        found.pop()
    };
    let released = request("ada").expect("an ended request is kept");
    let held = released.hold.expect("its hold is known");
    assert!(held >= Duration::from_millis(300), "{held:?}");
    assert!(released.vcpus.is_some_and(|vcpus| vcpus.as_f64() == 1.0));
    assert_eq!(released.memory.map(|memory| memory.0), Some(256 << 20));
    server.stop();
    let open = request("bob").expect("one that is held still is in the history too");
    assert_eq!(open.hold, None);
    assert_eq!(samples(&data), 20, "nothing is written twice");
}

/// Whether any file of a folder holds a text.
fn any_file_holds(folder: &Path, text: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(any_file_holds(&path, text));
        } else {
            let bytes = std::fs::read(&path).unwrap_or_default();
            let held = bytes
                .windows(text.len())
                .any(|window| window == text.as_bytes());
            found.extend(held.then_some(path));
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_is_deleted_is_nowhere_and_keeps_the_lease() {
    let folder = TempDir::new().expect("a folder");
    let data = folder.path().join("data");
    let server = Server::start(&config(), &data);
    one_released_and_one_held(&server).await;
    let (status, _) = server.http("POST", "/v1/metrics", &export("bob", 3));
    assert_eq!(status, 200);
    let set = r#"{"set":{"pool":"notebook","entityId":"bob","count":1,"reason":"an exam"}}"#;
    let (status, body) = server.http("POST", "/admin/shadow_override", set);
    assert_eq!(status, 200, "{body}");

    let (status, body) = server.http("DELETE", "/user/bob", "");
    assert_eq!(status, 200, "{body}");
    let deleted = json(&body);
    assert_eq!(deleted["shadow"], true, "{body}");
    assert_eq!(
        (&deleted["allocations"], &deleted["overrides"]),
        (&"1".into(), &"1".into())
    );
    assert_eq!(
        deleted["historyRows"], "1",
        "the sample; the open request is in no file yet: {body}"
    );
    let (status, _) = server.http("GET", "/user/bob/resource_shadow", "");
    assert_eq!(status, 404);
    let (status, _) = server.http("DELETE", "/user/bob", "");
    assert_eq!(status, 404, "there is nothing left to delete");
    let (status, _) = server.http("GET", "/user/ada/resource_shadow", "");
    assert_eq!(status, 200, "others stay");
    server.stop();
    let left = any_file_holds(&data, "bob");
    assert_eq!(left, Vec::<PathBuf>::new());

    let server = Server::start(&config(), &data);
    let endpoint = format!("http://{}", server.address());
    let mut client = AllocationsClient::connect(endpoint)
        .await
        .expect("the server listens");
    let list = foreshadow_api::v1::ListRequest::default();
    let page = client.list(list).await.expect("a list").into_inner();
    let held = page
        .allocations
        .iter()
        .find(|one| one.state() == State::Granted);
    let held = held.expect("the lease outlives its holder's name");
    let release = ReleaseRequest {
        allocation_id: held.allocation_id.clone(),
        fencing_token: held.fencing_token,
    };
    client
        .release(release)
        .await
        .expect("the token still counts");
}

#[test]
fn what_senders_send_wrongly_is_refused_with_the_reason() {
    let folder = TempDir::new().expect("a folder");
    let server = Server::start("", &folder.path().join("data"));
    let (status, body) = server.http("POST", "/v1/metrics", "{");
    assert_eq!(status, 400, "{body}");
    assert!(body.contains("ExportMetricsServiceRequest"), "{body}");
    let (status, body) = server.http("POST", "/api/v1/write", "no snappy");
    assert_eq!(status, 400, "{body}");
    assert!(body.contains("remote write 1.0"), "{body}");
    let (status, _) = server.http("GET", "/api/v1/write", "");
    assert_eq!(status, 405);
    server.stop();
}
