//! An external provider within the test.

#![allow(dead_code, reason = "each test binary uses a part of this")]

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
};

use foreshadow_providers::wire::v1::{
    GetRequest, HoldRequest, HoldResponse, Instance, ListRequest, ResetRequest, StartRequest,
    StopRequest, ThawRequest, ThawResponse,
    instance::State,
    provider_server::{Provider, ProviderServer},
};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, metadata::MetadataMap};

/// What there is, by owner and instance.
pub(crate) type Instances = BTreeMap<(String, String), Instance>;

/// A provider within the test: what it starts is ready at once.
#[derive(Clone, Default)]
pub(crate) struct Elsewhere {
    instances: Arc<Mutex<Instances>>,
    starts: Arc<Mutex<Vec<MetadataMap>>>,
}

impl Elsewhere {
    pub(crate) fn all(&self) -> MutexGuard<'_, Instances> {
        self.instances.lock().expect("no call panicked")
    }

    fn find(&self, owner: String, id: String) -> Result<Response<Instance>, Status> {
        let found = self.all().get(&(owner, id)).cloned();
        let found = found.ok_or_else(|| Status::not_found("there is no such instance"));
        found.map(Response::new)
    }

    /// What came with each call to start something.
    pub(crate) fn starts(&self) -> MutexGuard<'_, Vec<MetadataMap>> {
        self.starts.lock().expect("no call panicked")
    }

    /// Where it listens, until the test ends.
    pub(crate) async fn serve(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let server = tonic::transport::Server::builder()
            .add_service(ProviderServer::new(self.clone()))
            .serve_with_incoming(TcpListenerStream::new(listener));
        tokio::spawn(server);
        format!("http://{address}")
    }
}

#[tonic::async_trait]
impl Provider for Elsewhere {
    type ListStream = tokio_stream::Iter<std::vec::IntoIter<Result<Instance, Status>>>;

    async fn start(&self, request: Request<StartRequest>) -> Result<Response<Instance>, Status> {
        let (metadata, _, request) = request.into_parts();
        self.starts().push(metadata);
        let StartRequest {
            owner, instance_id, ..
        } = request;
        let mut all = self.all();
        let number = all.len();
        let key = (owner, instance_id.clone());
        let instance = all.entry(key).or_insert_with(|| Instance {
            instance_id,
            address: format!("10.0.0.1:{}", 1_000 + number),
            state: State::Ready.into(),
            ..Instance::default()
        });
        Ok(Response::new(instance.clone()))
    }

    async fn get(&self, request: Request<GetRequest>) -> Result<Response<Instance>, Status> {
        let GetRequest { owner, instance_id } = request.into_inner();
        self.find(owner, instance_id)
    }

    async fn reset(&self, request: Request<ResetRequest>) -> Result<Response<Instance>, Status> {
        let ResetRequest { owner, instance_id } = request.into_inner();
        self.find(owner, instance_id)
    }

    async fn hold(&self, _: Request<HoldRequest>) -> Result<Response<HoldResponse>, Status> {
        Ok(Response::new(HoldResponse {}))
    }

    async fn thaw(&self, _: Request<ThawRequest>) -> Result<Response<ThawResponse>, Status> {
        Ok(Response::new(ThawResponse {}))
    }

    async fn stop(&self, request: Request<StopRequest>) -> Result<Response<Instance>, Status> {
        let StopRequest {
            owner, instance_id, ..
        } = request.into_inner();
        self.all().remove(&(owner, instance_id.clone()));
        Ok(Response::new(Instance {
            instance_id,
            state: State::Gone.into(),
            ..Instance::default()
        }))
    }

    async fn list(
        &self,
        request: Request<ListRequest>,
    ) -> Result<Response<Self::ListStream>, Status> {
        let owner = request.into_inner().owner;
        let all = self.all();
        let own = all.iter().filter(|((of, _), _)| *of == owner);
        let own: Vec<_> = own.map(|(_, instance)| Ok(instance.clone())).collect();
        Ok(Response::new(tokio_stream::iter(own)))
    }
}
