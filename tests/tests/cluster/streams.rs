//! A stream of claims goes on when a shard of its claims moves.

use foreshadow_api::v1::{
    AllocateRequest, AllocateResult, AllocateStreamRequest, AllocateStreamResponse,
    allocate_request::Target, allocate_result::Result, allocations_client::AllocationsClient,
};
use foreshadow_tests::Marked;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

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
        let wanted = |number| AllocateRequest {
            tenant_id: "acme".to_owned(),
            target: Some(Target::Pool(pool(number))),
            ..AllocateRequest::default()
        };
        let batch = AllocateStreamRequest {
            requests: (0..POOLS).map(wanted).collect(),
            releases: Vec::new(),
        };
        self.asking.send(batch).await.expect("the stream is open");
        let answer = self.answers.message().await.expect("it goes on");
        answer.expect("an answer").results
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
