//! A stream of claims goes on when a shard of its claims moves, and nothing that was decided for it is
//! kept from it by a replica that ends in order.

use std::{collections::BTreeSet, time::Duration};

use foreshadow_api::v1::{
    AllocateRequest, AllocateResult, AllocateStreamRequest, AllocateStreamResponse, ListRequest,
    allocate_request::Target, allocate_result::Result, allocation::State,
    allocations_client::AllocationsClient,
};
use foreshadow_tests::Marked;
use tokio::{sync::mpsc, task::block_in_place, time::sleep};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Streaming};

use crate::{
    load::until_all_pools_grant,
    replicas::{POOLS, pool},
    trial::Trial,
};

/// An open stream, and what is sent down it.
struct Stream {
    asking: mpsc::Sender<AllocateStreamRequest>,
    answers: Streaming<AllocateStreamResponse>,
}

impl Stream {
    async fn open(address: String) -> Self {
        let client = AllocationsClient::connect(format!("http://{address}"));
        let mut client = client.await.expect("the replica listens");
        let (asking, asked) = mpsc::channel(1);
        let opened = client.allocate_stream(ReceiverStream::new(asked)).await;
        Self {
            asking,
            answers: opened.expect("the stream opens").into_inner(),
        }
    }

    /// Asks once for each pool, whichever shards they are in.
    async fn ask(&mut self) -> Vec<AllocateResult> {
        let sent = self.asking.send(of_each_pool()).await;
        sent.expect("the stream is open");
        let answer = self.answers.message().await.expect("it goes on");
        answer.expect("an answer").results
    }
}

/// A request for each pool.
fn of_each_pool() -> AllocateStreamRequest {
    let wanted = |number| AllocateRequest {
        tenant_id: "acme".to_owned(),
        target: Some(Target::Pool(pool(number))),
        ..AllocateRequest::default()
    };
    AllocateStreamRequest {
        requests: (0..POOLS).map(wanted).collect(),
        releases: Vec::new(),
    }
}

fn refused(results: &[AllocateResult]) -> Vec<&AllocateResult> {
    let results = results.iter();
    let refused = |one: &&AllocateResult| !matches!(one.result, Some(Result::Allocation(_)));
    results.filter(refused).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_goes_where_its_shards_go() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let instances = Marked::sleepers(84);
    let Some(mut trial) = Trial::start(folder.path(), &instances) else {
        return;
    };
    trial.spread().await;
    until_all_pools_grant(&trial.address(0), 0).await;
    let mut stream = Stream::open(trial.address(0)).await;
    let first = stream.ask().await;
    assert!(refused(&first).is_empty(), "{first:#?}");
    // Both others go, one in order and one not; what they had comes to the one that is left.
    trial.replicas[1].stop();
    let second = stream.ask().await;
    assert!(refused(&second).is_empty(), "{second:#?}");
    trial.replicas[2].kill();
    let third = stream.ask().await;
    for one in refused(&third) {
        let Some(Result::Error(error)) = &one.result else {
            panic!("no result");
        };
        // What was under way to it is not known; it may be asked again, and when.
        assert!(error.retry_after.is_some(), "{error:?}");
    }
    let fourth = stream.ask().await;
    assert!(refused(&fourth).is_empty(), "{fourth:#?}");
}

/// What lives in the ledgers of all shards.
async fn live(address: String) -> BTreeSet<String> {
    let client = AllocationsClient::connect(format!("http://{address}"));
    let mut client = client.await.expect("the replica listens");
    let states = [State::Granted, State::Joined, State::Queued, State::Booked];
    let mut request = ListRequest {
        states: states.map(i32::from).to_vec(),
        page_size: 1_000,
        ..ListRequest::default()
    };
    let (mut live, mut patience) = (BTreeSet::new(), 100);
    loop {
        let page = match client.list(request.clone()).await {
            Ok(page) => page.into_inner(),
            // A shard moves.
            Err(status) => {
                assert!(patience > 0, "{status}");
                patience -= 1;
                sleep(Duration::from_millis(300)).await;
                continue;
            }
        };
        live.extend(page.allocations.into_iter().map(|one| one.allocation_id));
        if page.next_page_token.is_empty() {
            return live;
        }
        request.page_token = page.next_page_token;
    }
}

/// Asks again and again without waiting for answers; what was acknowledged until the stream ended.
async fn acknowledged(stream: Stream) -> (BTreeSet<String>, Code) {
    let Stream {
        asking,
        mut answers,
    } = stream;
    tokio::spawn(async move {
        while asking.send(of_each_pool()).await.is_ok() {
            sleep(Duration::from_millis(2)).await;
        }
    });
    let mut acknowledged = BTreeSet::new();
    loop {
        let answer = match answers.message().await {
            Ok(Some(answer)) => answer,
            Ok(None) => return (acknowledged, Code::Ok),
            Err(status) => return (acknowledged, status.code()),
        };
        let granted = answer.results.into_iter();
        acknowledged.extend(granted.filter_map(|one| match one.result {
            Some(Result::Allocation(allocation)) => Some(allocation.allocation_id),
            Some(Result::Error(_)) | None => None,
        }));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_ends_in_order_keeps_no_answer_to_itself() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let instances = Marked::sleepers(94);
    let Some(mut trial) = Trial::start(folder.path(), &instances) else {
        return;
    };
    trial.spread().await;
    until_all_pools_grant(&trial.address(0), 0).await;
    let before = live(trial.address(0)).await;
    let stream = Stream::open(trial.address(0)).await;
    let asking = tokio::spawn(acknowledged(stream));
    sleep(Duration::from_millis(300)).await;
    // First one that the stream is sent on to, then the one that it is open to.
    block_in_place(|| trial.replicas[1].stop());
    block_in_place(|| trial.replicas[0].stop());
    let (acknowledged, end) = asking.await.expect("the stream is read to its end");
    assert_eq!(end, Code::Unavailable, "the replica says goodbye");
    assert!(acknowledged.len() > 10 * POOLS, "there was load");
    let live = live(trial.address(2)).await;
    let untold: Vec<_> = live.difference(&before).collect();
    let untold = untold.iter().filter(|id| !acknowledged.contains(**id));
    assert_eq!(untold.count(), 0, "of {} nobody was told", live.len());
}
