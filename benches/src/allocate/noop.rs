//! A server on the same wire that does nothing: the limit that the transport sets.

use std::{net::SocketAddr, pin::Pin};

use foreshadow_api::{
    timestamp_to_proto,
    v1::{
        AllocateRequest, AllocateResult, AllocateStreamRequest, AllocateStreamResponse, Allocation,
        CancelRequest, CheckTokenRequest, CheckTokenResponse, ListRequest, ListResponse,
        ReleaseRequest, ReleaseResult, RenewRequest, WatchRequest, allocate_result, allocation,
        allocations_server::{Allocations, AllocationsServer},
    },
};
use foreshadow_types::Timestamp;
use tokio::net::TcpListener;
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request, Response, Status, Streaming, transport::server::TcpIncoming};

use super::ours::{GrpcClient, clients};

/// The server at its address; it ends with the process.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
}

impl Server {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        tokio::spawn(
            tonic::transport::Server::builder()
                .add_service(AllocationsServer::new(Noop))
                .serve_with_incoming(incoming),
        );
        Ok(Self { address })
    }

    pub(crate) async fn clients(&self, count: usize) -> anyhow::Result<Vec<GrpcClient>> {
        clients(self.address, count).await
    }
}

/// Grants everything at once and remembers nothing.
#[derive(Debug, Default)]
struct Noop;

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// With the fields that ours has, as long as ours, so that both put as much on the wire.
fn granted() -> Allocation {
    let time = |millis| Some(timestamp_to_proto(Timestamp::from_millis(millis)));
    Allocation {
        allocation_id: "a-1000000".to_owned(),
        state: allocation::State::Granted.into(),
        warm: true,
        instance: Some(allocation::Instance {
            id: "i-512".to_owned(),
            address: "127.0.0.1:40000".to_owned(),
        }),
        fencing_token: 1_000_000,
        lease_expires_at: time(1_800_000_300_123),
        durability: allocation::Durability::Fsync.into(),
        pool: "bench".to_owned(),
        tenant_id: "bench".to_owned(),
        user_id: "user".to_owned(),
        requested_at: time(1_800_000_000_123),
        availability_time: time(1_800_000_000_123),
        ..Allocation::default()
    }
}

fn answer(message: AllocateStreamRequest) -> AllocateStreamResponse {
    let grant = |_| AllocateResult {
        result: Some(allocate_result::Result::Allocation(granted())),
    };
    AllocateStreamResponse {
        results: message.requests.into_iter().map(grant).collect(),
        releases: vec![ReleaseResult::default(); message.releases.len()],
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
        request: Request<Streaming<AllocateStreamRequest>>,
    ) -> Result<Response<Self::AllocateStreamStream>, Status> {
        let answers = request.into_inner().map(|message| message.map(answer));
        Ok(Response::new(Box::pin(answers)))
    }

    async fn watch(&self, _: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        Err(Status::unimplemented("not measured"))
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

    async fn check_token(
        &self,
        _: Request<CheckTokenRequest>,
    ) -> Result<Response<CheckTokenResponse>, Status> {
        Ok(Response::new(CheckTokenResponse {}))
    }

    async fn list(&self, _: Request<ListRequest>) -> Result<Response<ListResponse>, Status> {
        Ok(Response::new(ListResponse::default()))
    }
}
