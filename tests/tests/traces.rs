//! Traces of the real binary, as a collector takes them.

#![expect(
    clippy::disallowed_methods,
    reason = "these tests wait for real processes"
)]

#[path = "support/collector.rs"]
mod collector;
#[path = "support/provider.rs"]
mod provider;
mod support;

use std::time::{Duration, Instant};

use foreshadow_api::v1::{
    AllocateRequest, AllocateStreamRequest, Allocation, allocation::State,
    allocations_client::AllocationsClient,
};
use foreshadow_tests::{Server, http_with, notebook_pool, until_async};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tonic::{Request, transport::Channel};

use self::{
    collector::{CALLER, Collector, Seen, traceparent},
    provider::Elsewhere,
    support::{ask, channel, granted, release, warm},
};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const OTHER_TRACE: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const QUIET_TRACE: &str = "0123456789abcdef0123456789abcdef";

/// Calls, with a context.
fn with<T>(message: T, trace: &str, flags: &str) -> Request<T> {
    let mut request = Request::new(message);
    let parent = traceparent(trace, flags).parse().expect("it is ASCII");
    request.metadata_mut().insert("traceparent", parent);
    request
}

async fn claim(
    client: &mut AllocationsClient<Channel>,
    request: Request<AllocateRequest>,
) -> Allocation {
    let answer = client.allocate(request).await;
    answer.expect("the pool exists").into_inner()
}

/// Nothing is left of a server's instances.
fn config(startup_ms: u32, min: u32) -> String {
    format!(
        "on_shutdown = \"stop-all\"\n{}",
        notebook_pool(startup_ms, min, 2)
    )
}

#[track_caller]
fn one<'a>(spans: &'a [Seen], trace: &str, name: &str) -> &'a Seen {
    let found: Vec<_> = spans
        .iter()
        .filter(|seen| seen.trace() == trace && seen.span.name == name)
        .collect();
    match *found {
        [one] => one,
        _ => panic!("{name} is there {} times: {spans:#?}", found.len()),
    }
}

const ALLOCATE: &str = "foreshadow.v1.Allocations/Allocate";

#[tokio::test(flavor = "multi_thread")]
async fn a_claims_trace_goes_on_to_the_decision_and_the_commit() {
    let folder = TempDir::new().expect("a folder");
    let collector = Collector::start().await;
    let table = collector.table("service = \"pools\"");
    let server = Server::start(&(config(0, 1) + &table), &folder.path().join("data"));
    let mut client = AllocationsClient::new(channel(&server).await);
    let first = warm(&mut client, "notebook").await;
    release(&mut client, &first).await;
    let held = claim(&mut client, with(ask("notebook"), TRACE, "01")).await;
    let refused = client
        .allocate(with(ask("no-such"), OTHER_TRACE, "01"))
        .await;
    refused.expect_err("there is no such pool");
    server.stop();

    let spans = collector.spans();
    let call = one(&spans, TRACE, ALLOCATE);
    assert_eq!((call.parent(), call.span.kind), (CALLER.to_owned(), 2));
    for (name, value) in [
        ("rpc.system", "grpc"),
        ("rpc.service", "foreshadow.v1.Allocations"),
        ("rpc.method", "Allocate"),
        ("rpc.grpc.status_code", "#0"),
        ("foreshadow.pool", "notebook"),
        ("foreshadow.allocation.id", &held.allocation_id),
    ] {
        assert_eq!(call.get(name), value, "{name}");
    }
    let stands = ["granted", "joined", "queued"];
    assert!(stands.contains(&call.get("foreshadow.outcome")), "{call:?}");
    for name in ["decide", "commit"] {
        let below = one(&spans, TRACE, name);
        assert_eq!(below.parent(), call.id(), "{name}");
        let (from, until) = (
            below.span.start_time_unix_nano,
            below.span.end_time_unix_nano,
        );
        assert!(call.span.start_time_unix_nano <= from && from <= until);
        assert!(
            until <= call.span.end_time_unix_nano,
            "{below:?} of {call:?}"
        );
    }
    assert_eq!(call.resource["service.name"], "pools");

    let call = one(&spans, OTHER_TRACE, ALLOCATE);
    assert_eq!(call.get("foreshadow.outcome"), "refused");
    assert_ne!(call.get("rpc.grpc.status_code"), "#0");
    for name in ["tick", "start"] {
        assert!(spans.iter().any(|seen| seen.span.name == name), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_over_http_and_messages_of_streams_are_in_their_traces() {
    let folder = TempDir::new().expect("a folder");
    let collector = Collector::start().await;
    let server = Server::start(
        &(config(0, 1) + &collector.table("")),
        &folder.path().join("data"),
    );
    let parent = traceparent(TRACE, "01");
    let body = r#"{"tenantId":"acme","userId":"secret-user","pool":"notebook"}"#;
    let path = "/api/v1/allocations";
    let headers = [("traceparent", &*parent)];
    let answer = http_with(server.address(), "POST", path, &headers, body);
    assert_eq!(answer.status, 200, "{}", answer.body);
    let parent = traceparent(OTHER_TRACE, "01");
    let shadow = "/user/secret-user/resource_shadow";
    // Whatever it says of itself, it is no call over gRPC.
    let headers = [
        ("traceparent", &*parent),
        ("content-type", "application/grpc"),
    ];
    http_with(server.address(), "GET", shadow, &headers, "");

    let mut client = AllocationsClient::new(channel(&server).await);
    let batch = AllocateStreamRequest {
        requests: vec![ask("notebook"), ask("no-such")],
        ..AllocateStreamRequest::default()
    };
    let request = with(tokio_stream::once(batch), QUIET_TRACE, "01");
    let answers = client.allocate_stream(request).await;
    let mut answers = answers.expect("the stream opens").into_inner();
    answers.message().await.expect("it answers").expect("once");
    let end = answers.message().await.expect("it ends in order");
    assert_eq!(end, None);
    server.stop();

    let spans = collector.spans();
    let call = one(&spans, TRACE, "POST /api/v1/allocations");
    assert_eq!((call.parent(), call.span.kind), (CALLER.to_owned(), 2));
    assert_eq!(call.get("http.request.method"), "POST");
    assert_eq!(call.get("http.route"), path);
    assert_eq!(call.get("http.response.status_code"), "#200");
    assert_eq!(call.get("foreshadow.pool"), "notebook");
    assert_eq!(one(&spans, TRACE, "decide").parent(), call.id());
    one(&spans, OTHER_TRACE, "GET /user/{user_id}/resource_shadow");
    let bytes = collector.bytes();
    let user = b"secret-user";
    assert!(!bytes.windows(user.len()).any(|window| window == user));

    let call = one(
        &spans,
        QUIET_TRACE,
        "foreshadow.v1.Allocations/AllocateStream",
    );
    let message = one(&spans, QUIET_TRACE, "exchange");
    assert_eq!(message.parent(), call.id());
    assert_eq!(message.get("foreshadow.requests"), "#2");
    assert_eq!(message.get("foreshadow.refused"), "#1");
    assert_eq!(one(&spans, QUIET_TRACE, "decide").parent(), message.id());
    assert!(message.span.end_time_unix_nano <= call.span.end_time_unix_nano);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cold_claim_is_linked_to_the_start_that_it_waits_for() {
    let folder = TempDir::new().expect("a folder");
    let collector = Collector::start().await;
    // Of the traces that begin here none is kept, so that what is there is there for the claim.
    let table = collector.table("sample = 0.0");
    let server = Server::start(&(config(500, 0) + &table), &folder.path().join("data"));
    let mut client = AllocationsClient::new(channel(&server).await);
    let first = claim(&mut client, with(ask("notebook"), TRACE, "01")).await;
    assert_ne!(first.state(), State::Granted, "nothing is warm");
    let held = granted(&mut client, first).await;
    server.stop();

    let spans = collector.spans();
    let instance = held.instance.expect("it is granted").id;
    let call = one(&spans, TRACE, ALLOCATE);
    let wait = one(&spans, TRACE, "wait");
    assert_eq!(wait.parent(), call.id());
    assert_eq!(wait.get("foreshadow.outcome"), "granted");
    assert_eq!(wait.get("foreshadow.instance.id"), instance);
    let waited = wait.span.end_time_unix_nano - wait.span.start_time_unix_nano;
    assert!(waited >= 400_000_000, "{waited}");
    assert!(call.span.end_time_unix_nano < wait.span.end_time_unix_nano);

    let linked = (TRACE.to_owned(), wait.id());
    let start = spans.iter().find(|seen| seen.links().contains(&linked));
    let start = start.unwrap_or_else(|| panic!("no start is linked: {spans:#?}"));
    assert_eq!((&*start.span.name, &*start.parent()), ("start", ""));
    for (name, value) in [
        ("foreshadow.pool", "notebook"),
        ("foreshadow.instance.id", &instance),
        ("foreshadow.provider", "process"),
        ("foreshadow.outcome", "ready"),
    ] {
        assert_eq!(start.get(name), value, "{name}");
    }
    let others = spans.iter().filter(|seen| seen.trace() != TRACE);
    assert_eq!(
        others.count(),
        1,
        "no ticks, no calls but that one: {spans:#?}"
    );
}

/// Waits for a span; batches are sent every few seconds.
async fn until_there_is(collector: &Collector, wanted: impl Fn(&Seen) -> bool) -> Seen {
    until_async("the span", async || {
        collector.spans().into_iter().find(&wanted)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_elsewhere_is_told_of_the_trace_of_a_start() {
    let folder = TempDir::new().expect("a folder");
    let collector = Collector::start().await;
    let elsewhere = Elsewhere::default();
    let config = format!(
        "tick = \"1s\"\n[[pool]]\nname = \"far\"\nprovider = \"grpc\"\nendpoint = \"{}\"\nmin = 1\n\
         max = 2\n{}",
        elsewhere.serve().await,
        collector.table("")
    );
    let server = Server::start(&config, &folder.path().join("data"));
    let started = until_there_is(&collector, |seen| {
        seen.span.name == "start" && seen.get("foreshadow.outcome") == "ready"
    });
    let started = started.await;
    server.stop();
    let spans = collector.spans();
    let name = "foreshadow.provider.v1.Provider/Start";
    let call = one(&spans, &started.trace(), name);
    assert_eq!((call.parent(), call.span.kind), (started.id(), 3));
    assert!(call.span.end_time_unix_nano <= started.span.end_time_unix_nano);
    let told = elsewhere.starts()[0].get("traceparent").cloned();
    let told = told.unwrap_or_else(|| panic!("{:?}", elsewhere.starts()));
    let expected = format!("00-{}-{}-01", call.trace(), call.id());
    assert_eq!(told.to_str().ok(), Some(&*expected));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_fails_tells_why() {
    let folder = TempDir::new().expect("a folder");
    let collector = Collector::start().await;
    let pool = config(0, 1).replace("\"demo-worker\"", "\"no-such-command\"");
    let server = Server::start(&(pool + &collector.table("")), &folder.path().join("data"));
    let failed = until_there_is(&collector, |seen| {
        seen.get("foreshadow.outcome") == "failed"
    });
    let failed = failed.await;
    server.stop();
    let status = failed.span.status.as_ref().expect("it has a status");
    assert_eq!(status.code, 2);
    assert!(!status.message.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_sampled_leaves_nothing_and_secrets_are_in_no_span() {
    const TOKEN: &str = "a-bearer-token-that-nobody-may-see";
    const KEY: &str = "a-key-for-the-collector";
    let folder = TempDir::new().expect("a folder");
    let collector = Collector::start().await;
    let headers = folder.path().join("headers");
    std::fs::write(&headers, format!("x-api-key: {KEY}\n")).expect("it can be written");
    let table = collector.table("headers = \"headers\"");
    let data = folder.path().join("data");
    let variables = [("FORESHADOW_TOKEN", TOKEN)];
    let server = Server::start_with(&(config(0, 1) + &table), &data, &variables);
    let mut client = AllocationsClient::new(channel(&server).await);
    let bearer: tonic::metadata::MetadataValue<_> =
        format!("Bearer {TOKEN}").parse().expect("it is ASCII");
    for (trace, flags) in [(TRACE, "01"), (QUIET_TRACE, "00")] {
        let mut request = with(ask("notebook"), trace, flags);
        let metadata = request.metadata_mut();
        metadata.insert("authorization", bearer.clone());
        claim(&mut client, request).await;
    }
    // A stranger leaves no trace.
    let stranger = client.allocate(with(ask("notebook"), OTHER_TRACE, "01"));
    stranger.await.expect_err("it shows no token");
    server.stop();

    let spans = collector.spans();
    one(&spans, TRACE, ALLOCATE);
    let traces: Vec<_> = spans.iter().map(Seen::trace).collect();
    assert!(
        !traces.iter().any(|trace| trace == QUIET_TRACE),
        "{traces:?}"
    );
    assert!(
        !traces.iter().any(|trace| trace == OTHER_TRACE),
        "{traces:?}"
    );
    let bytes = collector.bytes();
    for secret in [TOKEN, KEY] {
        let found = bytes
            .windows(secret.len())
            .any(|window| window == secret.as_bytes());
        assert!(!found, "{secret}");
    }
    let sent = collector.header("x-api-key");
    assert!(
        !sent.is_empty() && sent.iter().all(|value| value == KEY),
        "{sent:?}"
    );
    assert!(collector.header("authorization").is_empty());
}

/// Claims and ends while nobody takes the traces.
async fn serves_with(endpoint: &str) {
    let folder = TempDir::new().expect("a folder");
    let table = format!("\n[traces]\nendpoint = \"{endpoint}\"\n");
    let server = Server::start(&(config(0, 1) + &table), &folder.path().join("data"));
    let mut client = AllocationsClient::new(channel(&server).await);
    let since = Instant::now();
    for _ in 0..200 {
        let held = claim(&mut client, with(ask("notebook"), TRACE, "01")).await;
        let held = granted(&mut client, held).await;
        release(&mut client, &held).await;
        if since.elapsed() > Duration::from_secs(7) {
            break;
        }
    }
    let claimed = Instant::now();
    claim(&mut client, with(ask("notebook"), TRACE, "01")).await;
    assert!(claimed.elapsed() < Duration::from_secs(1), "{claimed:?}");
    let ending = Instant::now();
    server.stop();
    let took = ending.elapsed();
    assert!(took < Duration::from_secs(15), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_or_silent_holds_nobody_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    // It takes connections, and never answers.
    serves_with(&format!("http://{address}")).await;
    drop(listener);
    serves_with(&format!("http://{address}")).await;
}
