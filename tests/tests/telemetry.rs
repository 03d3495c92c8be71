//! Passive senders as they are: a real Prometheus that scrapes a real exporter, and exports of
//! OpenTelemetry; and what a crash must not lose.

#![expect(
    clippy::disallowed_methods,
    reason = "these tests wait for real processes"
)]

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use foreshadow_api::v1::{
    AllocateRequest, ReleaseRequest, allocate_request::Target, allocation::State,
    allocations_client::AllocationsClient,
};
use foreshadow_history::{HistoryPaths, PanelLimits, PanelOptions, RequestReader, load_panel};
use foreshadow_tests::{PATIENCE, Server, foreshadow, http, notebook_pool, skip, until};
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::sleep;

/// A process that is killed at the end of its test.
struct Running(Child);

impl Running {
    fn start(program: &str, args: &[String]) -> Self {
        let child = Command::new(program)
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Self(child.unwrap_or_else(|error| panic!("{program}: {error}")))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.local_addr().expect("it has an address").port()
}

/// Whether programs are there; says so where they are not.
fn installed(programs: &[&str]) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let missing: Vec<&&str> = programs
        .iter()
        .filter(|program| !std::env::split_paths(&path).any(|dir| dir.join(program).exists()))
        .collect();
    if !missing.is_empty() {
        skip(&format!(
            "{missing:?} not found; install Debian's prometheus and prometheus-node-exporter"
        ));
    }
    missing.is_empty()
}

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

#[tokio::test]
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

#[tokio::test]
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

fn prometheus_config(folder: &Path, server: &Server, exporter: u16) -> PathBuf {
    let file = folder.join("prometheus.yml");
    let address = server.address();
    let text = format!(
        "global:\n  scrape_interval: 1s\n\
         scrape_configs:\n- job_name: node\n  static_configs:\n  - targets: ['127.0.0.1:{exporter}']\n\
         remote_write:\n- url: http://{address}/api/v1/write\n"
    );
    std::fs::write(&file, text).expect("it can be written");
    file
}

#[test]
fn a_real_prometheus_writes_what_it_scrapes_and_is_imported_from() {
    if !installed(&["prometheus", "prometheus-node-exporter"]) {
        return;
    }
    let folder = TempDir::new().expect("a folder");
    let server = Server::start("", &folder.path().join("data"));
    let (exporter, port) = (free_port(), free_port());
    let listen = format!("--web.listen-address=127.0.0.1:{exporter}");
    let _exporter = Running::start("prometheus-node-exporter", &[listen]);
    let config = prometheus_config(folder.path(), &server, exporter);
    let prometheus = [
        format!("--config.file={}", config.display()),
        format!(
            "--storage.tsdb.path={}",
            folder.path().join("tsdb").display()
        ),
        format!("--web.listen-address=127.0.0.1:{port}"),
    ];
    let _prometheus = Running::start("prometheus", &prometheus);

    let machine = format!("127.0.0.1:{exporter}");
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let (cpu, _) = until("a rate", || {
        metric(&server, &machine, "cpu_usage_cores").filter(|(_, samples)| *samples >= 5)
    });
    assert!(
        cpu > 0.0 && cpu <= cores as f64 + 0.5,
        "{cpu} of {cores} cores"
    );
    let (memory, _) = metric(&server, &machine, "memory_usage_bytes").expect("memory has come");
    assert!(memory > 1e6, "{memory}");
    let (_, page) = server.http("GET", "/metrics", "");
    assert!(page.contains("foreshadow_intake_samples_total{outcome=\"unmapped\"}"));

    let out = folder.path().join("usage.parquet");
    let url = format!("http://127.0.0.1:{port}");
    let args = |start: &str| {
        let out = out.to_str().expect("the path is text");
        let command = [
            "import",
            "prometheus",
            &url,
            "--start",
            start,
            "--step",
            "1s",
            "--out",
            out,
        ];
        foreshadow(&command)
    };
    let imported = args("2020-01-01T00:00:00Z");
    assert!(
        !imported.status.success(),
        "six years of seconds are refused"
    );
    let (_, answer) = http(
        &format!("127.0.0.1:{port}"),
        "GET",
        "/api/v1/query?query=time()",
        "",
    );
    let text = json(&answer)["data"]["result"][1]
        .as_str()
        .expect("a time")
        .to_owned();
    let seconds = text.parse::<f64>().expect("a number") as i64 - 120;
    let start = foreshadow_time(seconds);
    let imported = args(&start);
    assert!(imported.status.success(), "{imported:?}");
    let paths = HistoryPaths::expand(&[&out]).expect("it is there");
    let options = PanelOptions {
        metrics: None,
        interval: Duration::from_secs(1),
        until: None,
        limits: PanelLimits::Refuse {
            max_values: 1 << 24,
        },
    };
    let panel = load_panel(&paths, &options).expect("it is whole");
    let names: Vec<&str> = panel.ids().iter().map(|id| id.metric.as_str()).collect();
    assert!(
        names.contains(&"cpu_usage_cores") && names.contains(&"memory_usage_bytes"),
        "{names:?}"
    );
    server.stop();
}

/// RFC 3339 of seconds since the epoch, as `date` writes it.
fn foreshadow_time(seconds: i64) -> String {
    let output = Command::new("date")
        .args(["-u", "-d", &format!("@{seconds}"), "+%Y-%m-%dT%H:%M:%SZ"])
        .output()
        .expect("`date` is there");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
