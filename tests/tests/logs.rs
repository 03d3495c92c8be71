//! What a server logs: as JSON where that is wanted, and never what is secret.

use std::{fs, path::Path};

use foreshadow_tests::{Server, http_with, notebook_pool, token, until};
use serde_json::Value;
use tempfile::TempDir;

const OPERATOR: &str = "a-secret-of-the-operator";
const GUESS: &str = "a-secret-that-is-nobodys";
const PASSWORD: &str = "a-secret-of-an-instance";
const KEY: &str = "a-secret-of-the-collector";

fn log_of(folder: &Path) -> String {
    fs::read_to_string(folder.join("log")).expect("it can be read")
}

fn started(config: &str, folder: &Path, variables: &[(&str, &str)]) -> Server {
    Server::start_with_stderr(config, &folder.join("data"), &folder.join("log"), variables)
}

#[test]
fn each_line_of_the_log_is_a_json_object_where_that_is_wanted() {
    let folder = TempDir::new().expect("a folder can be made");
    let config = notebook_pool(0, 1, 2);
    let variables = [
        ("FORESHADOW_LOG_FORMAT", "json"),
        ("FORESHADOW__TICK", "7s"),
    ];
    let server = started(&config, folder.path(), &variables);
    let (_, planning) = server.http("GET", "/admin/shadow_config", "");
    server.stop();
    assert!(planning.contains("\"7s\""), "a variable counts: {planning}");
    let log = log_of(folder.path());
    let lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}")))
        .collect();
    let adopted = lines
        .iter()
        .find(|line| line["message"] == "processes of earlier runs");
    let adopted = adopted.unwrap_or_else(|| panic!("{log}"));
    assert_eq!(adopted["kept"], 0, "fields keep their kinds: {adopted}");
    let device = lines.iter().find(|line| line["device"].is_string());
    let device = device.unwrap_or_else(|| panic!("{log}"));
    assert_eq!(device["device"], "cpu", "{device}");
    for key in ["timestamp", "level", "target"] {
        assert!(adopted[key].is_string(), "{adopted}");
    }
}

#[test]
fn secrets_are_in_no_log_and_on_no_page() {
    let folder = TempDir::new().expect("a folder can be made");
    let (client, table) = token("client", "client");
    fs::write(folder.path().join("headers"), format!("x-api-key: {KEY}\n"))
        .expect("it can be written");
    // Nobody listens there, so that what is not sent is told of.
    let traces = "\n[traces]\nendpoint = \"http://127.0.0.1:1\"\nheaders = \"headers\"\n";
    let pool = notebook_pool(0, 1, 2) + &format!("env = {{ PASSWORD = \"{PASSWORD}\" }}\n");
    let config = pool + traces + &table;
    let variables = [("FORESHADOW_TOKEN", OPERATOR), ("RUST_LOG", "trace")];
    let server = started(&config, folder.path(), &variables);
    let ask = |token: &str, path: &str| {
        let shown = format!("Bearer {token}");
        let headers = [("authorization", shown.as_str())];
        http_with(server.address(), "GET", path, &headers, "").body
    };
    let mut pages = String::new();
    for path in [
        "/",
        "/metrics",
        "/openapi.json",
        "/admin/shadow_config",
        "/admin/audit",
        "/admin/models",
        "/api/v1/overview",
        "/api/v1/pools",
        "/api/v1/allocations",
    ] {
        for token in [OPERATOR, &client, GUESS] {
            pages.push_str(&ask(token, path));
        }
    }
    until("a started instance", || {
        let pools = ask(OPERATOR, "/api/v1/pools");
        pools.contains("\"ready\":1").then_some(())
    });
    let hangup = std::process::Command::new("kill")
        .args(["-HUP", &server.pid().to_string()])
        .status();
    assert!(hangup.is_ok_and(|status| status.success()));
    until("another reading of the tokens", || {
        let log = log_of(folder.path());
        log.contains("were read again").then_some(())
    });
    server.stop();
    let log = log_of(folder.path());
    assert!(
        log.contains("TRACE") && log.contains("a call was refused"),
        "it tells of everything"
    );
    assert!(pages.contains("foreshadow_ready"), "pages are read");
    for secret in [OPERATOR, GUESS, PASSWORD, KEY, &client] {
        let told = log.lines().find(|line| line.contains(secret));
        assert_eq!(told, None, "{secret}");
        assert!(!pages.contains(secret), "{secret}");
    }
}
