//! `foreshadow.v1.Allocations`.

use std::sync::Arc;

use foreshadow_allocator::{Allocation, AllocationRequest};
use foreshadow_api::{
    FieldError, ListQuery, allocation_id, allocation_to_proto, check_stream_batch,
    positive_duration, release_from_proto,
    v1::{self, allocate_result, allocation::Durability, allocations_server::Allocations},
};
use foreshadow_engine::{EngineError, EngineHandle};
use foreshadow_types::{FencingToken, InstanceId};
use futures::{StreamExt, stream::BoxStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use super::stream::until_shutdown;
use crate::{convert::durability_to_proto, error::ApiError};

/// Messages of one stream that are decided before the first of them is answered.
const STREAM_WINDOW: usize = 32;

#[derive(Debug, Clone)]
pub(crate) struct AllocationsService {
    pub(crate) engine: EngineHandle,
    /// One permit for each call under way.
    pub(crate) permits: Arc<Semaphore>,
    pub(crate) shutdown: CancellationToken,
}

impl AllocationsService {
    fn durability(&self) -> Durability {
        durability_to_proto(self.engine.durability())
    }

    fn answer(
        &self,
        outcome: Result<Allocation, EngineError>,
    ) -> Result<Response<v1::Allocation>, Status> {
        let allocation = outcome.map_err(ApiError::from)?;
        Ok(Response::new(allocation_to_proto(
            allocation,
            self.durability(),
        )))
    }

    /// Decides one message of a stream: what cannot be read is refused in its place.
    async fn decide(
        self,
        batch: v1::AllocateStreamRequest,
    ) -> Result<v1::AllocateStreamResponse, ApiError> {
        check_stream_batch(&batch)?;
        let (releases, given_back) = sorted(batch.releases.iter().map(release_from_proto));
        let (requests, asked) = sorted(batch.requests.into_iter().map(AllocationRequest::try_from));
        let outcome = self.engine.exchange(given_back, asked).await?;
        let durability = self.durability();
        let mut released = outcome.released.into_iter();
        let mut decided = outcome.granted.into_iter();
        Ok(v1::AllocateStreamResponse {
            releases: releases
                .into_iter()
                .map(|read| v1::ReleaseResult {
                    error: in_place(read, &mut released).err().map(Into::into),
                })
                .collect(),
            results: requests
                .into_iter()
                .map(|read| in_place(read, &mut decided))
                .map(|outcome| match outcome {
                    Ok(allocation) => granted(allocation, durability),
                    Err(error) => refused(error),
                })
                .collect(),
        })
    }
}

/// What could be read, and for each in its place whether it could.
fn sorted<T>(
    read: impl Iterator<Item = Result<T, FieldError>>,
) -> (Vec<Result<(), FieldError>>, Vec<T>) {
    let mut good = Vec::with_capacity(read.size_hint().0);
    let places = read.map(|one| one.map(|value| good.push(value))).collect();
    (places, good)
}

/// The next outcome for what could be read, and the refusal of what could not.
fn in_place(
    read: Result<(), FieldError>,
    outcomes: &mut impl Iterator<Item = Result<Allocation, EngineError>>,
) -> Result<Allocation, ApiError> {
    read?;
    Ok(outcomes.next().unwrap_or(Err(EngineError::Stopped))?)
}

/// Whether a token is the present one of an instance: for gRPC and HTTP alike.
pub(crate) async fn check_token(
    engine: &EngineHandle,
    instance: &str,
    token: u64,
) -> Result<(), ApiError> {
    let instance: InstanceId = instance
        .parse()
        .map_err(|error| FieldError::new("instance_id", error))?;
    Ok(engine.check_token(instance, FencingToken(token)).await?)
}

fn granted(allocation: Allocation, durability: Durability) -> v1::AllocateResult {
    let allocation = allocation_to_proto(allocation, durability);
    v1::AllocateResult {
        result: Some(allocate_result::Result::Allocation(allocation)),
    }
}

fn refused(error: ApiError) -> v1::AllocateResult {
    v1::AllocateResult {
        result: Some(allocate_result::Result::Error(error.into())),
    }
}

#[tonic::async_trait]
impl Allocations for AllocationsService {
    type AllocateStreamStream = BoxStream<'static, Result<v1::AllocateStreamResponse, Status>>;
    type WatchStream = BoxStream<'static, Result<v1::Allocation, Status>>;

    async fn allocate(
        &self,
        request: Request<v1::AllocateRequest>,
    ) -> Result<Response<v1::Allocation>, Status> {
        let _permit = self.permits.try_acquire().map_err(|_| ApiError::busy())?;
        let request = AllocationRequest::try_from(request.into_inner()).map_err(ApiError::from)?;
        self.answer(self.engine.allocate(request).await)
    }

    async fn allocate_stream(
        &self,
        request: Request<Streaming<v1::AllocateStreamRequest>>,
    ) -> Result<Response<Self::AllocateStreamStream>, Status> {
        let service = self.clone();
        let answers = request
            .into_inner()
            .map(move |batch| {
                let service = service.clone();
                async move { service.decide(batch?).await.map_err(Status::from) }
            })
            .buffered(STREAM_WINDOW);
        Ok(Response::new(until_shutdown(answers, &self.shutdown)))
    }

    async fn watch(
        &self,
        request: Request<v1::WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let id = allocation_id(&request.into_inner().allocation_id).map_err(ApiError::from)?;
        let changes = self.engine.watch(id).await.map_err(ApiError::from)?;
        let durability = self.durability();
        let answers = changes.map(move |change| Ok(allocation_to_proto(change, durability)));
        Ok(Response::new(until_shutdown(answers, &self.shutdown)))
    }

    async fn renew(
        &self,
        request: Request<v1::RenewRequest>,
    ) -> Result<Response<v1::Allocation>, Status> {
        let wire = request.into_inner();
        let id = allocation_id(&wire.allocation_id).map_err(ApiError::from)?;
        let duration =
            positive_duration("lease_duration", wire.lease_duration).map_err(ApiError::from)?;
        let token = FencingToken(wire.fencing_token);
        self.answer(self.engine.renew(id, token, duration).await)
    }

    async fn release(
        &self,
        request: Request<v1::ReleaseRequest>,
    ) -> Result<Response<v1::Allocation>, Status> {
        let wire = request.into_inner();
        let id = allocation_id(&wire.allocation_id).map_err(ApiError::from)?;
        let token = FencingToken(wire.fencing_token);
        self.answer(self.engine.release(id, token).await)
    }

    async fn cancel(
        &self,
        request: Request<v1::CancelRequest>,
    ) -> Result<Response<v1::Allocation>, Status> {
        let id = allocation_id(&request.into_inner().allocation_id).map_err(ApiError::from)?;
        self.answer(self.engine.cancel(id).await)
    }

    async fn check_token(
        &self,
        request: Request<v1::CheckTokenRequest>,
    ) -> Result<Response<v1::CheckTokenResponse>, Status> {
        let wire = request.into_inner();
        check_token(&self.engine, &wire.instance_id, wire.fencing_token).await?;
        Ok(Response::new(v1::CheckTokenResponse {}))
    }

    async fn list(
        &self,
        request: Request<v1::ListRequest>,
    ) -> Result<Response<v1::ListResponse>, Status> {
        let query = ListQuery::try_from(request.into_inner()).map_err(ApiError::from)?;
        let page = self
            .engine
            .list(query.filter, query.after, query.limit)
            .await;
        let page = page.map_err(ApiError::from)?;
        let durability = self.durability();
        Ok(Response::new(v1::ListResponse {
            allocations: page
                .allocations
                .into_iter()
                .map(|allocation| allocation_to_proto(allocation, durability))
                .collect(),
            next_page_token: page.next.map(|id| id.to_string()).unwrap_or_default(),
        }))
    }
}
