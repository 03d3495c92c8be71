//! `AllocateStream` over shards: each message is divided, each part goes down a stream of its shard, and
//! the answers are put together in the order of what was asked.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{body::Body, extract::Request, response::Response};
use foreshadow_api::v1::{
    self, allocate_request::Target, allocate_result, allocations_client::AllocationsClient,
};
use foreshadow_types::{AllocationId, ShardId};
use futures::{
    StreamExt,
    future::{BoxFuture, join_all, ready},
    stream::BoxStream,
};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming, server::StreamingService};
use tonic_prost::ProstCodec;

use super::{Credentials, Front};

/// Messages of one stream that are under way at a time.
const WINDOW: usize = 32;

type Part = (
    v1::AllocateStreamRequest,
    oneshot::Sender<Result<v1::AllocateStreamResponse, Status>>,
);

pub(super) async fn exchange(front: Front, credentials: Credentials, request: Request) -> Response {
    let most = front.shared.max_body_bytes;
    let mut grpc = tonic::server::Grpc::new(ProstCodec::default())
        .apply_max_message_size_config(Some(most), None);
    let exchange = Exchange {
        front,
        credentials,
        lanes: Arc::default(),
    };
    grpc.streaming(exchange, request).await.map(Body::new)
}

/// One caller's stream.
#[derive(Debug, Clone)]
struct Exchange {
    front: Front,
    credentials: Credentials,
    /// The streams of shards that are open.
    lanes: Arc<Mutex<BTreeMap<ShardId, mpsc::Sender<Part>>>>,
}

impl StreamingService<v1::AllocateStreamRequest> for Exchange {
    type Response = v1::AllocateStreamResponse;
    type ResponseStream = BoxStream<'static, Result<v1::AllocateStreamResponse, Status>>;
    type Future = BoxFuture<'static, Result<tonic::Response<Self::ResponseStream>, Status>>;

    fn call(
        &mut self,
        request: tonic::Request<Streaming<v1::AllocateStreamRequest>>,
    ) -> Self::Future {
        let exchange = self.clone();
        let answers = request
            .into_inner()
            .map(move |batch| {
                let exchange = exchange.clone();
                async move { Ok(exchange.decide(batch?).await) }
            })
            .buffered(WINDOW);
        Box::pin(ready(Ok(tonic::Response::new(answers.boxed()))))
    }
}

/// Which places of a message a shard's part is about.
#[derive(Debug, Default)]
struct Places {
    requests: Vec<usize>,
    releases: Vec<usize>,
    part: v1::AllocateStreamRequest,
}

impl Exchange {
    async fn decide(&self, batch: v1::AllocateStreamRequest) -> v1::AllocateStreamResponse {
        let mut whole = v1::AllocateStreamResponse {
            results: vec![v1::AllocateResult::default(); batch.requests.len()],
            releases: vec![v1::ReleaseResult::default(); batch.releases.len()],
        };
        let parts = self.divided(batch);
        let answers = parts.into_iter().map(|(shard, places)| async move {
            let answer = self.ask(shard, places.part).await;
            (places.requests, places.releases, answer)
        });
        for (requests, releases, answer) in join_all(answers).await {
            put(&mut whole, &requests, &releases, answer);
        }
        whole
    }

    fn divided(&self, batch: v1::AllocateStreamRequest) -> BTreeMap<ShardId, Places> {
        let mut parts: BTreeMap<ShardId, Places> = BTreeMap::new();
        for (place, request) in batch.requests.into_iter().enumerate() {
            let part = parts.entry(self.shard_of(&request)).or_default();
            part.requests.push(place);
            part.part.requests.push(request);
        }
        for (place, release) in batch.releases.into_iter().enumerate() {
            let shard = self.front.of_id::<AllocationId>(&release.allocation_id);
            let part = parts.entry(shard).or_default();
            part.releases.push(place);
            part.part.releases.push(release);
        }
        parts
    }

    /// What names no pool is decided in one shard, by what it is for.
    fn shard_of(&self, request: &v1::AllocateRequest) -> ShardId {
        match &request.target {
            Some(Target::Pool(pool)) => self.front.of_pool(pool),
            Some(Target::Requirements(_)) | None => self.front.of_entity(&request.user_id),
        }
    }

    async fn ask(
        &self,
        shard: ShardId,
        part: v1::AllocateStreamRequest,
    ) -> Result<v1::AllocateStreamResponse, Status> {
        let (reply, answer) = oneshot::channel();
        let gone = || Status::unavailable("the shard's stream has ended; try again in a moment");
        let lane = self.lane(shard).await?;
        lane.send((part, reply)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    /// The open stream of a shard, or a new one.
    async fn lane(&self, shard: ShardId) -> Result<mpsc::Sender<Part>, Status> {
        let open = self.lanes().get(&shard).cloned();
        if let Some(lane) = open.filter(|lane| !lane.is_closed()) {
            return Ok(lane);
        }
        let reach = self.front.reach(shard, self.credentials.clone()).await?;
        let (lane, parts) = mpsc::channel(WINDOW);
        tokio::spawn(carry(AllocationsClient::new(reach), parts));
        self.lanes().insert(shard, lane.clone());
        Ok(lane)
    }

    fn lanes(&self) -> std::sync::MutexGuard<'_, BTreeMap<ShardId, mpsc::Sender<Part>>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Carries parts to a shard and its answers back, in order, until either side ends.
async fn carry(mut client: AllocationsClient<super::wire::Reach>, mut parts: mpsc::Receiver<Part>) {
    let (sending, sent) = mpsc::channel(WINDOW);
    let answers = match client.allocate_stream(ReceiverStream::new(sent)).await {
        Ok(answers) => answers,
        Err(status) => return refuse(parts, &status),
    };
    let mut answers = answers.into_inner();
    let (waiting, mut asked) = mpsc::channel::<oneshot::Sender<_>>(WINDOW);
    let send = async {
        while let Some((part, reply)) = parts.recv().await {
            if waiting.send(reply).await.is_err() || sending.send(part).await.is_err() {
                break;
            }
        }
        drop((sending, waiting));
    };
    let receive = async {
        while let Some(reply) = asked.recv().await {
            let answer = answers.message().await;
            let ended = || Status::unavailable("the shard's stream has ended");
            let answer = answer.and_then(|answer| answer.ok_or_else(ended));
            let over = answer.is_err();
            // A caller that has gone away needs no answer.
            let _ = reply.send(answer);
            if over {
                asked.close();
            }
        }
    };
    tokio::join!(send, receive);
}

fn refuse(mut parts: mpsc::Receiver<Part>, status: &Status) {
    parts.close();
    while let Ok((_, reply)) = parts.try_recv() {
        let _ = reply.send(Err(status.clone()));
    }
}

/// Puts a shard's answer, or its refusal, in the places that it is about.
fn put(
    whole: &mut v1::AllocateStreamResponse,
    requests: &[usize],
    releases: &[usize],
    answer: Result<v1::AllocateStreamResponse, Status>,
) {
    match answer {
        Ok(answer) => {
            for (&place, result) in requests.iter().zip(answer.results) {
                whole.results[place] = result;
            }
            for (&place, result) in releases.iter().zip(answer.releases) {
                whole.releases[place] = result;
            }
        }
        Err(status) => {
            let error = v1::AllocateError {
                code: status.code() as i32,
                message: status.message().to_owned(),
                retry_after: None,
            };
            for &place in requests {
                let result = Some(allocate_result::Result::Error(error.clone()));
                whole.results[place] = v1::AllocateResult { result };
            }
            for &place in releases {
                whole.releases[place].error = Some(error.clone());
            }
        }
    }
}
