//! `foreshadow.v1.Allocations`.

use foreshadow_allocator::{Allocation, AllocationRequest};
use foreshadow_api::{
    FieldError, ListQuery, allocation_id, allocation_to_proto, check_stream_batch,
    positive_duration, release_from_proto,
    v1::{self, allocate_result, allocation::Durability, allocations_server::Allocations},
};
use foreshadow_engine::{EngineError, EngineHandle, trace};
use foreshadow_types::{AllocationId, FencingToken, InstanceId};
use futures::{StreamExt, future::join_all, stream::BoxStream};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};
use tracing::Instrument;

use super::{
    called,
    stream::{decided, messages, until_shutdown, with_goodbye},
};
use crate::{
    access::{Caller, too_often},
    clock::now,
    convert::durability_to_proto,
    error::ApiError,
    traces::{exchange, exchanged, not_taken},
    turns::Turns,
};

/// Messages of one stream that are decided before the first of them is answered.
const STREAM_WINDOW: usize = 32;

#[derive(Debug, Clone)]
pub(crate) struct AllocationsService {
    pub(crate) engine: EngineHandle,
    /// Of messages of streams; claims had theirs at the gate.
    pub(crate) turns: Turns,
    pub(crate) shutdown: CancellationToken,
}

impl AllocationsService {
    fn durability(&self) -> Durability {
        durability_to_proto(self.engine.durability())
    }

    fn answer(&self, outcome: Result<Allocation, EngineError>) -> Result<v1::Allocation, ApiError> {
        Ok(allocation_to_proto(outcome?, self.durability()))
    }

    /// Claims a resource: for gRPC and HTTP alike, as what follows.
    pub(crate) async fn claim(
        &self,
        caller: &Caller,
        request: v1::AllocateRequest,
    ) -> Result<v1::Allocation, ApiError> {
        let request = own_request(caller, request).map_err(not_taken)?;
        self.answer(self.engine.allocate(request).await)
    }

    /// Puts off the end of a lease.
    pub(crate) async fn put_off(
        &self,
        caller: &Caller,
        request: v1::RenewRequest,
    ) -> Result<v1::Allocation, ApiError> {
        let id = self.own(caller, &request.allocation_id).await?;
        let duration = positive_duration("lease_duration", request.lease_duration)?;
        let token = FencingToken(request.fencing_token);
        self.answer(self.engine.renew(id, token, duration).await)
    }

    /// Gives a lease back.
    pub(crate) async fn give_back(
        &self,
        caller: &Caller,
        request: &v1::ReleaseRequest,
    ) -> Result<v1::Allocation, ApiError> {
        let (id, token) = self.owned_release(caller, request).await?;
        self.answer(self.engine.release(id, token).await)
    }

    /// Takes a request back that waits.
    pub(crate) async fn take_back(
        &self,
        caller: &Caller,
        request: &v1::CancelRequest,
    ) -> Result<v1::Allocation, ApiError> {
        let id = self.own(caller, &request.allocation_id).await?;
        self.answer(self.engine.cancel(id).await)
    }

    /// A page of allocations.
    pub(crate) async fn page(
        &self,
        caller: &Caller,
        mut request: v1::ListRequest,
    ) -> Result<v1::ListResponse, ApiError> {
        caller.narrow(&mut request)?;
        let query = ListQuery::try_from(request)?;
        let page = self.engine.list(query.filter, query.after, query.limit);
        let page = page.await?;
        let durability = self.durability();
        let allocations = page.allocations.into_iter();
        let allocations = allocations.map(|one| allocation_to_proto(one, durability));
        Ok(v1::ListResponse {
            allocations: allocations.collect(),
            next_page_token: page.next.map(|id| id.to_string()).unwrap_or_default(),
        })
    }

    /// The allocation of this id, if the caller may touch it.
    async fn own(&self, caller: &Caller, id: &str) -> Result<AllocationId, ApiError> {
        let id = allocation_id(id)?;
        caller.check_allocation(&self.engine, id).await?;
        Ok(id)
    }

    async fn owned_release(
        &self,
        caller: &Caller,
        wire: &v1::ReleaseRequest,
    ) -> Result<(AllocationId, FencingToken), ApiError> {
        let (id, token) = release_from_proto(wire)?;
        caller.check_allocation(&self.engine, id).await?;
        Ok((id, token))
    }

    /// Decides one message of a stream: what cannot be read is refused in its place.
    async fn decide(
        self,
        caller: Caller,
        batch: v1::AllocateStreamRequest,
    ) -> Result<v1::AllocateStreamResponse, ApiError> {
        let releases = batch.releases.iter();
        let owned = join_all(releases.map(|release| self.owned_release(&caller, release))).await;
        let (releases, given_back) = sorted(owned.into_iter());
        let (requests, asked) = sorted(
            batch
                .requests
                .into_iter()
                .map(|request| own_request(&caller, request)),
        );
        let outcome = self.engine.exchange(given_back, asked).await?;
        let durability = self.durability();
        let mut released = outcome.released.into_iter();
        let mut decided = outcome.granted.into_iter();
        let answer = v1::AllocateStreamResponse {
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
        };
        exchanged(&answer);
        Ok(answer)
    }
}

/// Whether a message of a stream can be taken as a whole.
fn taken(
    caller: &Caller,
    batch: v1::AllocateStreamRequest,
) -> Result<v1::AllocateStreamRequest, ApiError> {
    check_stream_batch(&batch)?;
    caller.take_call(now()).map_err(too_often)?;
    Ok(batch)
}

/// A request that its caller may make.
fn own_request(
    caller: &Caller,
    mut request: v1::AllocateRequest,
) -> Result<AllocationRequest, ApiError> {
    caller.claim(&mut request)?;
    Ok(AllocationRequest::try_from(request)?)
}

/// What could be read, and for each in its place whether it could.
fn sorted<T>(
    read: impl Iterator<Item = Result<T, ApiError>>,
) -> (Vec<Result<(), ApiError>>, Vec<T>) {
    let mut good = Vec::with_capacity(read.size_hint().0);
    let places = read.map(|one| one.map(|value| good.push(value))).collect();
    (places, good)
}

/// The next outcome for what could be read, and the refusal of what could not.
fn in_place(
    read: Result<(), ApiError>,
    outcomes: &mut impl Iterator<Item = Result<Allocation, EngineError>>,
) -> Result<Allocation, ApiError> {
    read?;
    Ok(outcomes.next().unwrap_or(Err(EngineError::Stopped))?)
}

/// Whether a token is the present one of an instance: for gRPC and HTTP alike.
pub(crate) async fn check_token(
    engine: &EngineHandle,
    caller: &Caller,
    instance: &str,
    token: u64,
) -> Result<(), ApiError> {
    caller.check_unbound("their fencing tokens")?;
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
        let (caller, request) = called(request)?;
        let answer = self.claim(&caller, request).await;
        Ok(answer.map(Response::new)?)
    }

    async fn allocate_stream(
        &self,
        request: Request<Streaming<v1::AllocateStreamRequest>>,
    ) -> Result<Response<Self::AllocateStreamStream>, Status> {
        let service = self.clone();
        let caller = Caller::of(request.extensions())?;
        let call = trace::current();
        let by = caller.clone();
        let read = move |batch| Ok(taken(&by, batch)?);
        let messages = messages(request.into_inner(), read, &self.shutdown);
        let answers = decided(messages, STREAM_WINDOW, move |batch| {
            let (service, caller, span) =
                (service.clone(), caller.clone(), exchange(&call, &batch));
            async move {
                let _turn = service.turns.wait().await;
                let decided = service.clone().decide(caller, batch);
                decided.instrument(span).await.map_err(Status::from)
            }
        });
        Ok(Response::new(with_goodbye(answers, &self.shutdown)))
    }

    async fn watch(
        &self,
        request: Request<v1::WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let caller = Caller::of(request.extensions())?;
        let id = self
            .own(&caller, &request.into_inner().allocation_id)
            .await?;
        let changes = self.engine.watch(id).await.map_err(ApiError::from)?;
        let durability = self.durability();
        let answers = changes.map(move |change| Ok(allocation_to_proto(change, durability)));
        Ok(Response::new(until_shutdown(answers, &self.shutdown)))
    }

    async fn renew(
        &self,
        request: Request<v1::RenewRequest>,
    ) -> Result<Response<v1::Allocation>, Status> {
        let (caller, request) = called(request)?;
        let answer = self.put_off(&caller, request).await;
        Ok(answer.map(Response::new)?)
    }

    async fn release(
        &self,
        request: Request<v1::ReleaseRequest>,
    ) -> Result<Response<v1::Allocation>, Status> {
        let (caller, request) = called(request)?;
        let answer = self.give_back(&caller, &request).await;
        Ok(answer.map(Response::new)?)
    }

    async fn cancel(
        &self,
        request: Request<v1::CancelRequest>,
    ) -> Result<Response<v1::Allocation>, Status> {
        let (caller, request) = called(request)?;
        let answer = self.take_back(&caller, &request).await;
        Ok(answer.map(Response::new)?)
    }

    async fn check_token(
        &self,
        request: Request<v1::CheckTokenRequest>,
    ) -> Result<Response<v1::CheckTokenResponse>, Status> {
        let (caller, wire) = called(request)?;
        check_token(&self.engine, &caller, &wire.instance_id, wire.fencing_token).await?;
        Ok(Response::new(v1::CheckTokenResponse {}))
    }

    async fn list(
        &self,
        request: Request<v1::ListRequest>,
    ) -> Result<Response<v1::ListResponse>, Status> {
        let (caller, request) = called(request)?;
        let answer = self.page(&caller, request).await;
        Ok(answer.map(Response::new)?)
    }
}
