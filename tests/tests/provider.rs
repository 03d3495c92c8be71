//! The example of an external provider, in Python, behind the real server.

#![expect(
    clippy::disallowed_methods,
    reason = "these tests wait for real processes"
)]

mod support;

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use foreshadow_api::v1::{ListRequest, allocation::State, allocations_client::AllocationsClient};
use foreshadow_tests::{Marked, Server, http, python, skip};
use support::{address, channel, no_process_is_left, release, warm};
use tempfile::TempDir;

/// The example as its readers run it.
struct Example {
    child: Child,
    address: String,
    /// They do not end with it.
    _instances: Marked,
}

impl Example {
    /// Starts it on a free port; its instances serve this folder.
    fn start(python: &Path, folder: &Path) -> Self {
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/python");
        let mut child = Command::new(python)
            .args(["provider.py", "0"])
            .current_dir(docs)
            .stdout(Stdio::piped())
            .spawn()
            .expect("Python starts");
        let stdout = child.stdout.take().expect("stdout is piped");
        let mut line = String::new();
        let read = BufReader::new(stdout).read_line(&mut line);
        read.expect("stdout is text");
        let address = line.trim().strip_prefix("listening on ");
        let address = address.unwrap_or_else(|| panic!("the example ended: {line:?}"));
        Self {
            address: address.to_owned(),
            child,
            _instances: Marked::by(folder.display().to_string()),
        }
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        let _killed = self.child.kill();
        let _status = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_in_python_starts_instances_that_outlive_a_crash_and_ends_them() {
    let Some(python) = python("grpc, grpc_tools") else {
        return skip("needs a Python with grpcio and grpcio-tools; name it in FORESHADOW_PYTHON");
    };
    let data = TempDir::new().expect("a folder can be made");
    let site = data.path().join("site-of-the-python-provider");
    std::fs::create_dir(&site).expect("a folder can be made");
    std::fs::write(site.join("index.html"), "served by an instance").expect("a file can be made");
    let example = Example::start(&python, &site);
    let config = format!(
        r#"
tick = "1s"
on_shutdown = "stop-all"

[[pool]]
name = "site"
provider = "grpc"
endpoint = "http://{}"
parameters = {{ folder = "{}" }}
min = 2
max = 4
"#,
        example.address,
        site.display()
    );
    let folder = data.path().join("data");
    let server = Server::start(&config, &folder);
    let mut client = AllocationsClient::new(channel(&server).await);
    let held = warm(&mut client, "site").await;
    let (status, body) = http(&address(&held), "GET", "/", "");
    assert_eq!((status, body.as_str()), (200, "served by an instance"));
    server.kill();

    let server = Server::start(&config, &folder);
    let mut client = AllocationsClient::new(channel(&server).await);
    let listed = client.list(ListRequest::default()).await;
    let listed = listed.expect("a list").into_inner().allocations;
    let kept = listed
        .iter()
        .find(|allocation| allocation.allocation_id == held.allocation_id)
        .expect("the lease is still there");
    assert_eq!(kept.state(), State::Granted);
    assert_eq!(http(&address(kept), "GET", "/", "").0, 200);
    release(&mut client, &held).await;
    let another = warm(&mut client, "site").await;
    assert_ne!(address(&another), address(&held), "each is used once");

    server.stop();
    no_process_is_left(&site.display().to_string(), data.path()).await;
}
