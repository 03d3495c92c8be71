//! The real Python SDK of OpenTelemetry, as the page has it.

use std::process::Command;

use foreshadow_tests::{Server, python, skip, until};
use tempfile::TempDir;

use super::{PAGE, metric};

/// The address that the page has.
const ADDRESS: &str = "127.0.0.1:7070";
/// Adds what a counter needs to become a rate: a second time.
const GOES_ON: &str = "
import time
for _ in range(3):
    time.sleep(1)
    counter.add(0.5)
    assert provider.force_flush(), 'the server did not take it'
";

/// The page's program.
fn program() -> &'static str {
    let (_, rest) = PAGE.split_once("For the Python SDK").expect("it is there");
    let (_, rest) = rest.split_once("```python\n").expect("it has a program");
    rest.split("```").next().expect("it ends")
}

/// The SDK and both its exporters.
const MODULES: &str = "opentelemetry.sdk.metrics, opentelemetry.exporter.otlp.proto.http, \
                       opentelemetry.exporter.otlp.proto.grpc";

#[test]
fn the_python_sdk_reports_over_http_and_grpc() {
    let Some(python) = python(MODULES) else {
        return skip(
            "needs a Python with opentelemetry-sdk and opentelemetry-exporter-otlp; \
             name it in FORESHADOW_PYTHON",
        );
    };
    let folder = TempDir::new().expect("a folder");
    let server = Server::start("", &folder.path().join("data"));
    let over_http = program().replace(ADDRESS, server.address());
    let over_grpc = over_http
        .replace(".proto.http.", ".proto.grpc.")
        .replace("/v1/metrics", "")
        .replace("checkout", "basket");
    assert_ne!(over_http, over_grpc);
    for (service, program) in [("checkout", over_http), ("basket", over_grpc)] {
        let ran = Command::new(&python)
            .args(["-c", &format!("{program}{GOES_ON}")])
            .output()
            .expect("it runs");
        let said = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success(), "{service}: {said}");
        until("a rate", || {
            metric(&server, service, "cpu_usage_cores").filter(|(cores, _)| *cores > 0.0)
        });
    }
    server.stop();
}
