//! `foreshadow.v1.Allocations`.

use std::sync::Arc;

use foreshadow_allocator::{Allocation, AllocationRequest};
use foreshadow_api::{
    FieldError, ListQuery, allocation_id, allocation_to_proto, check_stream_batch,
    positive_duration,
    v1::{self, allocate_result, allocation::Durability, allocations_server::Allocations},
};
use foreshadow_engine::{EngineError, EngineHandle};
use foreshadow_types::FencingToken;
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
        let read: Vec<Result<AllocationRequest, FieldError>> = batch
            .requests
            .into_iter()
            .map(AllocationRequest::try_from)
            .collect();
        let good = read
            .iter()
            .filter_map(|request| request.as_ref().ok().cloned())
            .collect();
        let mut outcomes = self.engine.allocate_many(good).await?.into_iter();
        let durability = self.durability();
        let results = read
            .into_iter()
            .map(|request| {
                let outcome = match request {
                    Ok(_) => outcomes.next().unwrap_or(Err(EngineError::Stopped)),
                    Err(error) => return refused(error.into()),
                };
                match outcome {
                    Ok(allocation) => granted(allocation, durability),
                    Err(error) => refused(error.into()),
                }
            })
            .collect();
        Ok(v1::AllocateStreamResponse { results })
    }
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
