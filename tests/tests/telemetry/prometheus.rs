//! A real Prometheus that scrapes real exporters.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use foreshadow_history::{HistoryPaths, PanelLimits, PanelOptions, load_panel};
use foreshadow_tests::{Running, Server, foreshadow, free_port, http, installed, until};
use tempfile::TempDir;

use super::{json, metric};

/// A Prometheus that scrapes an exporter every second and sends on to a server.
struct Scraping {
    port: u16,
    _process: Running,
}

impl Scraping {
    fn start(folder: &Path, server: &Server, exporter: u16) -> Self {
        let config = prometheus_config(folder, server, exporter);
        let port = free_port();
        let prometheus = [
            format!("--config.file={}", config.display()),
            format!("--storage.tsdb.path={}", folder.join("tsdb").display()),
            format!("--web.listen-address=127.0.0.1:{port}"),
        ];
        Self {
            port,
            _process: Running::start("prometheus", &prometheus),
        }
    }
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
    let exporter = free_port();
    let listen = format!("--web.listen-address=127.0.0.1:{exporter}");
    let _exporter = Running::start("prometheus-node-exporter", &[listen]);
    let prometheus = Scraping::start(folder.path(), &server, exporter);
    let port = prometheus.port;

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

/// What the page gives an exporter of processes to go by.
const GROUPS: &str = "process_names:\n- name: '{{.Comm}}'\n  cmdline: ['.+']\n";

#[test]
fn what_a_real_exporter_says_of_processes_is_of_their_groups() {
    if !installed(&["prometheus", "prometheus-process-exporter"]) {
        return;
    }
    assert!(super::PAGE.contains(GROUPS), "the page has other groups");
    let folder = TempDir::new().expect("a folder");
    let groups = folder.path().join("groups.yml");
    std::fs::write(&groups, GROUPS).expect("it can be written");
    let server = Server::start("", &folder.path().join("data"));
    let exporter = free_port();
    let options = [
        format!("-config.path={}", groups.display()),
        format!("-web.listen-address=127.0.0.1:{exporter}"),
    ];
    let _exporter = Running::start("prometheus-process-exporter", &options);
    let _prometheus = Scraping::start(folder.path(), &server, exporter);
    // The server itself is a process of this machine.
    let (cpu, _) = until("a rate", || {
        metric(&server, "foreshadow", "cpu_usage_cores").filter(|(_, samples)| *samples >= 3)
    });
    assert!(cpu >= 0.0, "{cpu}");
    let (memory, _) = metric(&server, "foreshadow", "memory_usage_bytes").expect("it has come");
    assert!(memory > 1e6, "{memory}");
    let read = metric(&server, "foreshadow", "disk_read_bytes_per_s");
    assert!(read.is_some_and(|(rate, _)| rate >= 0.0), "{read:?}");
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
