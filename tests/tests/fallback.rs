//! A pool that falls back on an allocator that was there before, with the real server.

#![expect(
    clippy::disallowed_methods,
    reason = "these tests wait for real processes"
)]

mod support;

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::mpsc::{Receiver, Sender, channel as messages},
    thread,
};

use foreshadow_api::v1::{ListRequest, allocation::State, allocations_client::AllocationsClient};
use foreshadow_tests::{Server, notebook_pool};
use serde_json::{Value, json};
use support::{PATIENCE, address, ask, channel, granted, release, warm};
use tempfile::TempDir;

/// Where the allocator says that its instance is.
const GIVEN: &str = "10.9.9.9:80";

/// An allocator that grants everything, and tells of each call.
struct Allocator {
    url: String,
    calls: Receiver<(String, Value)>,
}

impl Allocator {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let (tell, calls) = messages();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let tell = tell.clone();
                thread::spawn(move || answer(stream, &tell));
            }
        });
        Self {
            url: format!("http://{address}/pools"),
            calls,
        }
    }

    fn next(&self) -> (String, Value) {
        let call = self.calls.recv_timeout(PATIENCE);
        call.expect("the allocator is called")
    }
}

/// Answers all calls of one connection.
fn answer(stream: TcpStream, tell: &Sender<(String, Value)>) {
    let mut reader = BufReader::new(stream);
    while let Some((path, body)) = read(&mut reader) {
        let given = json!({"id": "vm-1", "address": GIVEN}).to_string();
        let length = given.len();
        let text = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{given}");
        let told = tell.send((path, body));
        if told.is_err() || reader.get_mut().write_all(text.as_bytes()).is_err() {
            return;
        }
    }
}

fn read(reader: &mut BufReader<TcpStream>) -> Option<(String, Value)> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut length = 0;
    while line.trim() != "" {
        line.clear();
        reader.read_line(&mut line).ok()?;
        let header = line.to_ascii_lowercase();
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((path, serde_json::from_slice(&body).ok()?))
}

/// A pool that keeps so many instances, which take three seconds to start.
fn pool(keep: u32, url: &str) -> String {
    let pool = notebook_pool(3_000, 0, 4);
    format!("{pool}preview = {{ keep = {keep} }}\nfallback = {{ url = \"{url}\" }}\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_finds_nothing_warm_is_answered_by_the_fallback_and_survives_a_crash() {
    let data = TempDir::new().expect("a folder can be made");
    let folder = data.path().join("data");
    let allocator = Allocator::start();
    let config = pool(0, &allocator.url);
    let server = Server::start(&config, &folder);
    let mut client = AllocationsClient::new(channel(&server).await);
    let first = client.allocate(ask("notebook")).await;
    let first = first.expect("the pool exists").into_inner();
    let held = granted(&mut client, first).await;
    assert_eq!(address(&held), GIVEN);
    let (path, asked) = allocator.next();
    assert_eq!(path, "/pools/allocate");
    assert_eq!(asked["pool"], "notebook");
    assert_eq!(asked["userId"], "ada");
    assert_eq!(asked["applicationId"], "notebook");
    assert_eq!(asked["allocationId"], held.allocation_id.as_str());
    server.kill();

    let server = Server::start(&config, &folder);
    let mut client = AllocationsClient::new(channel(&server).await);
    let listed = client.list(ListRequest::default()).await;
    let listed = listed.expect("a list").into_inner().allocations;
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].state(), State::Granted);
    assert_eq!(address(&listed[0]), GIVEN);
    release(&mut client, &held).await;
    let (path, released) = allocator.next();
    assert_eq!(path, "/pools/release");
    let expected = json!({"requestId": asked["requestId"], "id": "vm-1"});
    assert_eq!(released, expected);
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fallback_that_is_away_costs_warm_instances_nothing_and_others_their_usual_start() {
    let data = TempDir::new().expect("a folder can be made");
    // Nobody listens on this port.
    let server = Server::start(&pool(1, "http://127.0.0.1:1"), &data.path().join("data"));
    let mut client = AllocationsClient::new(channel(&server).await);
    let at_once = warm(&mut client, "notebook").await;
    assert!(address(&at_once).starts_with("127.0.0.1:"));
    let second = client.allocate(ask("notebook")).await;
    let second = second.expect("the pool exists").into_inner();
    let started = granted(&mut client, second).await;
    assert!(address(&started).starts_with("127.0.0.1:"));
    release(&mut client, &at_once).await;
    release(&mut client, &started).await;
    server.stop();
}
