//! A server that is asked to end under load: what it has decided is told to whoever asked.

#![expect(
    clippy::disallowed_methods,
    reason = "these tests wait for real processes"
)]

use std::{collections::BTreeSet, time::Duration};

use foreshadow_api::{
    v1::{
        AllocateRequest, AllocateStreamRequest, ListRequest, allocate_request::Target,
        allocate_result::Result as Granted, allocation::State,
        allocations_client::AllocationsClient,
    },
    well_known,
};
use foreshadow_tests::{Marked, Server};
use tokio::{sync::mpsc, task::JoinSet, time::sleep};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, transport::Channel};

mod support;

use support::channel;

/// Streams at a time, and the requests of each of their messages.
const STREAMS: usize = 3;
const REQUESTS: usize = 16;

/// One instance is shared by as many as may; the others wait.
fn request(key: String) -> AllocateRequest {
    AllocateRequest {
        tenant_id: "acme".to_owned(),
        target: Some(Target::Pool("small".to_owned())),
        lease_duration: Some(well_known::Duration {
            seconds: 3_600,
            nanos: 0,
        }),
        merge_key: "one".to_owned(),
        idempotency_key: key,
        ..AllocateRequest::default()
    }
}

/// Sends as fast as it can until the stream ends; gives what was acknowledged and how it ended.
async fn stream(name: usize, mut client: AllocationsClient<Channel>) -> (Vec<String>, Code) {
    let (sending, sent) = mpsc::channel(1);
    tokio::spawn(async move {
        for message in 0.. {
            let requests = (0..REQUESTS).map(|place| request(format!("{name}-{message}-{place}")));
            let message = AllocateStreamRequest {
                requests: requests.collect(),
                ..AllocateStreamRequest::default()
            };
            if sending.send(message).await.is_err() {
                return;
            }
        }
    });
    let answers = client.allocate_stream(ReceiverStream::new(sent)).await;
    let mut answers = answers.expect("the stream opens").into_inner();
    let mut acknowledged = Vec::new();
    loop {
        let answer = match answers.message().await {
            Ok(Some(answer)) => answer,
            Ok(None) => return (acknowledged, Code::Ok),
            Err(status) => return (acknowledged, status.code()),
        };
        acknowledged.extend(answer.results.into_iter().map(|one| match one.result {
            Some(Granted::Allocation(allocation)) => allocation.allocation_id,
            other => panic!("a request was refused: {other:?}"),
        }));
    }
}

/// What lives in the ledger.
async fn live(client: &mut AllocationsClient<Channel>) -> BTreeSet<String> {
    let mut live = BTreeSet::new();
    let mut request = ListRequest {
        states: [State::Granted, State::Joined, State::Queued]
            .map(i32::from)
            .to_vec(),
        page_size: 1_000,
        ..ListRequest::default()
    };
    loop {
        let page = client.list(request.clone()).await;
        let page = page.expect("the server answers").into_inner();
        live.extend(page.allocations.into_iter().map(|one| one.allocation_id));
        if page.next_page_token.is_empty() {
            return live;
        }
        request.page_token = page.next_page_token;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_of_a_stream_that_was_decided_is_given_before_the_server_ends() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let instances = Marked::sleepers(87);
    let config =
        "tick = \"1s\"\n".to_owned() + &instances.pool("small", 1, 1) + "max_queue = 1000000\n";
    let data = folder.path().join("data");
    let server = Server::start(&config, &data);
    let mut streams = JoinSet::new();
    for name in 0..STREAMS {
        streams.spawn(stream(name, AllocationsClient::new(channel(&server).await)));
    }
    sleep(Duration::from_millis(400)).await;
    // It waits for the process, which the streams would not get a turn beside.
    tokio::task::block_in_place(|| server.stop());

    let mut acknowledged = BTreeSet::new();
    for (ids, end) in streams.join_all().await {
        assert_eq!(end, Code::Unavailable, "the server says goodbye");
        acknowledged.extend(ids);
    }
    let server = Server::start(&config, &data);
    let live = live(&mut AllocationsClient::new(channel(&server).await)).await;
    assert!(acknowledged.len() > 10 * REQUESTS, "there was load");
    let untold = live.difference(&acknowledged).count();
    assert_eq!(
        untold,
        0,
        "of {} live allocations nobody was told",
        live.len()
    );
    assert_eq!(live.len(), acknowledged.len());
    server.stop();
}
