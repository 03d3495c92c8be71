//! `AllocateStream` over shards: each message is divided, each part goes down a stream of its shard, and
//! the answers are put together in the order of what was asked.

use std::collections::BTreeMap;

use axum::{body::Body, extract::Request, response::Response};
use foreshadow_api::v1::{self, allocate_request::Target, allocate_result};
use foreshadow_types::{AllocationId, ShardId};
use futures::{
    StreamExt,
    future::{BoxFuture, join_all, ready},
    stream::BoxStream,
};
use tonic::{Code, Status, Streaming, server::StreamingService};
use tonic_prost::ProstCodec;

use super::{
    Credentials, Front,
    lanes::{Lanes, WINDOW},
};
use crate::{
    error::ApiError,
    grpc::{messages, with_goodbye},
};

pub(super) async fn exchange(front: Front, credentials: Credentials, request: Request) -> Response {
    let most = front.shared.max_message_bytes;
    let mut grpc = tonic::server::Grpc::new(ProstCodec::default())
        .apply_max_message_size_config(Some(most), None);
    let exchange = Exchange(Lanes::new(front, credentials));
    grpc.streaming(exchange, request).await.map(Body::new)
}

/// One caller's stream.
#[derive(Debug, Clone)]
struct Exchange(Lanes);

impl StreamingService<v1::AllocateStreamRequest> for Exchange {
    type Response = v1::AllocateStreamResponse;
    type ResponseStream = BoxStream<'static, Result<v1::AllocateStreamResponse, Status>>;
    type Future = BoxFuture<'static, Result<tonic::Response<Self::ResponseStream>, Status>>;

    fn call(
        &mut self,
        request: tonic::Request<Streaming<v1::AllocateStreamRequest>>,
    ) -> Self::Future {
        let exchange = self.clone();
        let stopping = &self.0.front.shared.stopping;
        let answers = messages(request.into_inner(), Ok, stopping)
            .map(move |batch| {
                let exchange = exchange.clone();
                async move { Ok(exchange.decide(batch?).await) }
            })
            .buffered(WINDOW);
        let answers = with_goodbye(answers, stopping);
        Box::pin(ready(Ok(tonic::Response::new(answers))))
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
        let by_requirements = by_requirements(&batch);
        let parts = self.divided(batch);
        let answers = parts.into_iter().map(async |(shard, places)| {
            let answer = self.0.ask(shard, places.part).await;
            (places.requests, places.releases, answer)
        });
        for (requests, releases, answer) in join_all(answers).await {
            put(&mut whole, &requests, &releases, answer);
        }
        for (place, request) in by_requirements {
            self.look_on(&mut whole, place, request).await;
        }
        whole
    }

    /// A request that names no pool and that nothing fits in its first shard is tried in the others.
    async fn look_on(
        &self,
        whole: &mut v1::AllocateStreamResponse,
        place: usize,
        request: v1::AllocateRequest,
    ) {
        let mut others = self.0.front.from(self.0.front.first_for(&request)).skip(1);
        while fits_nowhere(&whole.results[place])
            && let Some(shard) = others.next()
        {
            let part = v1::AllocateStreamRequest {
                requests: vec![request.clone()],
                releases: Vec::new(),
            };
            put(whole, &[place], &[], self.0.ask(shard, part).await);
        }
    }

    fn divided(&self, batch: v1::AllocateStreamRequest) -> BTreeMap<ShardId, Places> {
        let mut parts: BTreeMap<ShardId, Places> = BTreeMap::new();
        for (place, request) in batch.requests.into_iter().enumerate() {
            let part = parts.entry(self.shard_of(&request)).or_default();
            part.requests.push(place);
            part.part.requests.push(request);
        }
        for (place, release) in batch.releases.into_iter().enumerate() {
            let shard = self.0.front.of_id::<AllocationId>(&release.allocation_id);
            let part = parts.entry(shard).or_default();
            part.releases.push(place);
            part.part.releases.push(release);
        }
        parts
    }

    fn shard_of(&self, request: &v1::AllocateRequest) -> ShardId {
        match &request.target {
            Some(Target::Pool(pool)) => self.0.front.of_pool(pool),
            Some(Target::Requirements(_)) | None => self.0.front.first_for(request),
        }
    }
}

/// The requests that name no pool, with their places.
fn by_requirements(batch: &v1::AllocateStreamRequest) -> Vec<(usize, v1::AllocateRequest)> {
    let places = batch.requests.iter().enumerate();
    let named = places.filter(|(_, one)| matches!(one.target, Some(Target::Requirements(_))));
    named
        .map(|(place, request)| (place, request.clone()))
        .collect()
}

fn fits_nowhere(result: &v1::AllocateResult) -> bool {
    match &result.result {
        Some(allocate_result::Result::Error(error)) => {
            error.code == Code::FailedPrecondition as i32
        }
        Some(allocate_result::Result::Allocation(_)) | None => false,
    }
}

/// Puts a shard's answer, or its refusal, in the places that it is about.
fn put(
    whole: &mut v1::AllocateStreamResponse,
    requests: &[usize],
    releases: &[usize],
    answer: Result<v1::AllocateStreamResponse, ApiError>,
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
        Err(error) => {
            let error = v1::AllocateError::from(error);
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
