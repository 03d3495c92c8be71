//! A call's trace goes on from the replica that is called to the one that has the shard.

use foreshadow_api::v1::{
    AllocateRequest, allocate_request::Target, allocations_client::AllocationsClient,
};
use foreshadow_tests::Marked;
use tonic::Request;

use crate::{
    collector::{CALLER, Collector, Seen, traceparent},
    load::until_all_pools_grant,
    replicas::{Setting, pool},
    trial::Trial,
};

/// Claims from a replica, as part of a trace.
async fn claim(address: String, trace: &str) {
    let client = AllocationsClient::connect(format!("http://{address}"));
    let ask = AllocateRequest {
        tenant_id: "acme".to_owned(),
        target: Some(Target::Pool(pool(0))),
        ..AllocateRequest::default()
    };
    let mut request = Request::new(ask);
    let parent = traceparent(trace, "01").parse().expect("it is ASCII");
    request.metadata_mut().insert("traceparent", parent);
    let mut client = client.await.expect("the replica listens");
    client.allocate(request).await.expect("the pool exists");
}

/// How many replicas a traced claim passed, one below the other; the last has decided.
fn passed(spans: &[Seen], trace: &str) -> usize {
    let below = |parent: &str, name: &str| {
        let of_trace = spans.iter().filter(|seen| seen.trace() == trace);
        let mut found = of_trace.filter(|seen| seen.parent() == parent && seen.span.name == name);
        let one = found.next().map(Seen::id);
        assert!(found.next().is_none(), "{name} is there twice: {spans:#?}");
        one
    };
    let mut last = CALLER.to_owned();
    let mut count = 0;
    while let Some(next) = below(&last, "foreshadow.v1.Allocations/Allocate") {
        last = next;
        count += 1;
    }
    assert!(below(&last, "decide").is_some(), "{spans:#?}");
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
    for (number, trace) in traces.iter().enumerate() {
        claim(trial.address(number), trace).await;
    }
    for replica in &mut trial.replicas {
        replica.stop();
    }
    let spans = collector.spans();
    let mut passed = traces.map(|trace| passed(&spans, &trace));
    passed.sort_unstable();
    assert_eq!(passed, [1, 2, 2], "one replica has the shard");
}
