//! A call's trace goes on from the replica that is called to the one that has the shard.

use foreshadow_api::v1::{
    AllocateRequest, AllocateStreamRequest, allocate_request::Target,
    allocations_client::AllocationsClient,
};
use foreshadow_tests::Marked;
use tonic::Request;

use crate::{
    collector::{CALLER, Collector, Seen, traceparent},
    load::until_all_pools_grant,
    replicas::{Setting, pool},
    trial::Trial,
};

fn ask() -> AllocateRequest {
    AllocateRequest {
        tenant_id: "acme".to_owned(),
        target: Some(Target::Pool(pool(0))),
        ..AllocateRequest::default()
    }
}

/// A call as part of a trace.
fn traced<T>(message: T, trace: &str) -> Request<T> {
    let mut request = Request::new(message);
    let parent = traceparent(trace, "01").parse().expect("it is ASCII");
    request.metadata_mut().insert("traceparent", parent);
    request
}

/// Claims from a replica, as part of a trace.
async fn claim(address: String, trace: &str) {
    let client = AllocationsClient::connect(format!("http://{address}"));
    let mut client = client.await.expect("the replica listens");
    let answer = client.allocate(traced(ask(), trace)).await;
    answer.expect("the pool exists");
}

/// The same in a stream.
async fn claim_in_a_stream(address: String, trace: &str) {
    let client = AllocationsClient::connect(format!("http://{address}"));
    let batch = AllocateStreamRequest {
        requests: vec![ask()],
        releases: Vec::new(),
    };
    let request = traced(tokio_stream::once(batch), trace);
    let mut client = client.await.expect("the replica listens");
    let answers = client.allocate_stream(request).await;
    let mut answers = answers.expect("the stream opens").into_inner();
    let answer = answers.message().await.expect("it goes on");
    assert!(answer.is_some_and(|answer| answer.results.len() == 1));
    // Its end is the end of its span.
    assert_eq!(answers.message().await.expect("it ends in order"), None);
}

/// How many replicas a traced call passed, one below the other; the last has decided.
fn passed(spans: &[Seen], trace: &str, call: &str) -> usize {
    let below = |parent: &str, name: &str| {
        let of_trace = spans.iter().filter(|seen| seen.trace() == trace);
        let mut found = of_trace.filter(|seen| seen.parent() == parent && seen.span.name == name);
        let one = found.next().map(Seen::id);
        assert!(found.next().is_none(), "{name} is there twice: {spans:#?}");
        one
    };
    let mut last = CALLER.to_owned();
    let mut count = 0;
    while let Some(next) = below(&last, &format!("foreshadow.v1.Allocations/{call}")) {
        last = next;
        count += 1;
    }
    let exchange = below(&last, "exchange");
    let decided = below(exchange.as_ref().unwrap_or(&last), "decide");
    assert!(decided.is_some(), "{spans:#?}");
    count
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_goes_on_from_one_replica_to_the_next() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let instances = Marked::sleepers(85);
    let collector = Collector::start().await;
    let setting = Setting {
        more: collector.table("sample = 0.0"),
        ..Setting::processes(&instances)
    };
    let Some(mut trial) = Trial::start_with(folder.path(), &setting) else {
        return;
    };
    trial.spread().await;
    until_all_pools_grant(&trial.address(0), 0).await;
    let traces = ["a", "b", "c"].map(|digit| digit.repeat(32));
    let in_streams = ["d", "e", "f"].map(|digit| digit.repeat(32));
    for number in 0..traces.len() {
        claim(trial.address(number), &traces[number]).await;
        claim_in_a_stream(trial.address(number), &in_streams[number]).await;
    }
    for replica in &mut trial.replicas {
        replica.stop();
    }
    let spans = collector.spans();
    for (call, traces) in [("Allocate", traces), ("AllocateStream", in_streams)] {
        let mut passed = traces.map(|trace| passed(&spans, &trace, call));
        passed.sort_unstable();
        assert_eq!(passed, [1, 2, 2], "{call}: one replica has the shard");
    }
}
