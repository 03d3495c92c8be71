//! A server on the same wire that does nothing: the limit that the transport sets.

use std::pin::Pin;

use foreshadow_api::v1::{
    AllocateRequest, AllocateStreamRequest, AllocateStreamResponse, Allocation, CancelRequest,
    ListRequest, ListResponse, ReleaseRequest, RenewRequest, WatchRequest, allocation,
    allocations_server::Allocations,
};
use tokio_stream::Stream;
use tonic::{Request, Response, Status, Streaming};

/// Grants everything at once and remembers nothing.
#[derive(Debug, Default)]
pub(crate) struct Noop;

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

fn granted() -> Allocation {
    Allocation {
        allocation_id: "a-1".to_owned(),
        state: allocation::State::Granted.into(),
        warm: true,
        instance: Some(allocation::Instance {
            id: "i-1".to_owned(),
            address: "127.0.0.1:1".to_owned(),
        }),
        fencing_token: 1,
        ..Allocation::default()
    }
}

#[tonic::async_trait]
impl Allocations for Noop {
    type AllocateStreamStream = Answers<AllocateStreamResponse>;
    type WatchStream = Answers<Allocation>;

    async fn allocate(&self, _: Request<AllocateRequest>) -> Result<Response<Allocation>, Status> {
        Ok(Response::new(granted()))
    }

    async fn allocate_stream(
        &self,
        _: Request<Streaming<AllocateStreamRequest>>,
    ) -> Result<Response<Self::AllocateStreamStream>, Status> {
        Err(Status::unimplemented("only unary calls are measured"))
    }

    async fn watch(&self, _: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        Err(Status::unimplemented("only unary calls are measured"))
    }

    async fn renew(&self, _: Request<RenewRequest>) -> Result<Response<Allocation>, Status> {
        Ok(Response::new(granted()))
    }

    async fn release(&self, _: Request<ReleaseRequest>) -> Result<Response<Allocation>, Status> {
        Ok(Response::new(granted()))
    }

    async fn cancel(&self, _: Request<CancelRequest>) -> Result<Response<Allocation>, Status> {
        Ok(Response::new(granted()))
    }

    async fn list(&self, _: Request<ListRequest>) -> Result<Response<ListResponse>, Status> {
        Ok(Response::new(ListResponse::default()))
    }
}
