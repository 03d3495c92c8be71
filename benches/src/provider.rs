//! A provider whose instances are there at once and cost nothing.

use std::net::SocketAddr;

use foreshadow_providers::wire::v1::{
    GetRequest, HoldRequest, HoldResponse, Instance, ListRequest, ResetRequest, StartRequest,
    StopRequest, ThawRequest, ThawResponse,
    instance::State,
    provider_server::{Provider, ProviderServer},
};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

struct Instant;

fn instance(id: String, state: State) -> Response<Instance> {
    Response::new(Instance {
        address: "127.0.0.1:9".to_owned(),
        state: state.into(),
        instance_id: id,
        ..Instance::default()
    })
}

#[tonic::async_trait]
impl Provider for Instant {
    type ListStream = tokio_stream::Empty<Result<Instance, Status>>;

    async fn start(&self, request: Request<StartRequest>) -> Result<Response<Instance>, Status> {
        Ok(instance(request.into_inner().instance_id, State::Ready))
    }

    async fn get(&self, request: Request<GetRequest>) -> Result<Response<Instance>, Status> {
        Ok(instance(request.into_inner().instance_id, State::Ready))
    }

    async fn reset(&self, request: Request<ResetRequest>) -> Result<Response<Instance>, Status> {
        Ok(instance(request.into_inner().instance_id, State::Ready))
    }

    async fn hold(&self, _: Request<HoldRequest>) -> Result<Response<HoldResponse>, Status> {
        Ok(Response::new(HoldResponse {}))
    }

    async fn thaw(&self, _: Request<ThawRequest>) -> Result<Response<ThawResponse>, Status> {
        Ok(Response::new(ThawResponse {}))
    }

    async fn stop(&self, request: Request<StopRequest>) -> Result<Response<Instance>, Status> {
        Ok(instance(request.into_inner().instance_id, State::Gone))
    }

    async fn list(&self, _: Request<ListRequest>) -> Result<Response<Self::ListStream>, Status> {
        Ok(Response::new(tokio_stream::empty()))
    }
}

/// Serves on a free port, as long as the runtime lasts.
pub(crate) async fn serve() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    let server = tonic::transport::Server::builder()
        .add_service(ProviderServer::new(Instant))
        .serve_with_incoming(TcpListenerStream::new(listener));
    tokio::spawn(server);
    Ok(address)
}
