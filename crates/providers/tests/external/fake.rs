//! A provider that keeps its instances in memory and misbehaves as it is told.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use foreshadow_providers::wire::v1::{
    GetRequest, HoldRequest, HoldResponse, Instance, ListRequest, ResetRequest, StartRequest,
    StopRequest, ThawRequest, ThawResponse,
    instance::State,
    provider_server::{Provider, ProviderServer},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UnixListener},
    sync::oneshot,
    task::JoinHandle,
    time::sleep,
};
use tokio_stream::{Stream, wrappers::UnixListenerStream};
use tonic::{
    Request, Response, Status,
    transport::{
        Server,
        server::{Connected, TcpIncoming},
    },
};

/// What it has, what it was asked, and how it is to behave.
#[derive(Default)]
pub(crate) struct World {
    pub(crate) instances: BTreeMap<String, State>,
    /// Each call as `method instance`, in order.
    pub(crate) calls: Vec<String>,
    pub(crate) owners: Vec<String>,
    pub(crate) authorization: Option<String>,
    pub(crate) parameters: BTreeMap<String, String>,
    /// How many more looks an instance takes until it is ready.
    pub(crate) looks_until_ready: u32,
    /// How many calls from now on are carried out but never answered.
    pub(crate) unanswered: u32,
    /// What every start is refused with.
    pub(crate) refuses_starts: Option<Status>,
    pub(crate) resets: bool,
    pub(crate) answers_about_another: bool,
    /// How many stops an instance takes until it is gone.
    pub(crate) stops_until_gone: u32,
}

impl World {
    pub(crate) fn count(&self, call: &str) -> usize {
        self.calls.iter().filter(|made| *made == call).count()
    }

    fn instance(&self, id: &str) -> Result<Instance, Status> {
        let unknown = || Status::not_found(format!("there is no {id}"));
        let state = *self.instances.get(id).ok_or_else(unknown)?;
        let name = if self.answers_about_another {
            "i-999"
        } else {
            id
        };
        Ok(Instance {
            instance_id: name.to_owned(),
            state: state as i32,
            address: format!("10.0.0.1:{}", &id[2..]),
            ..Instance::default()
        })
    }
}

#[derive(Clone, Default)]
pub(crate) struct Fake(Arc<Mutex<World>>);

impl Fake {
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap()
    }

    fn note<T>(&self, call: &str, owner: &str, request: &Request<T>) -> bool {
        let mut world = self.world();
        world.calls.push(call.to_owned());
        if !world.owners.iter().any(|known| known == owner) {
            world.owners.push(owner.to_owned());
        }
        let header = request.metadata().get("authorization");
        world.authorization = header.map(|value| value.to_str().unwrap().to_owned());
        let answered = world.unanswered == 0;
        world.unanswered = world.unanswered.saturating_sub(1);
        answered
    }

    /// Answers, or never does.
    async fn answer(&self, answered: bool, id: &str) -> Result<Response<Instance>, Status> {
        if !answered {
            sleep(Duration::from_hours(1)).await;
        }
        self.world().instance(id).map(Response::new)
    }
}

#[tonic::async_trait]
impl Provider for Fake {
    type ListStream = tokio_stream::Iter<std::vec::IntoIter<Result<Instance, Status>>>;

    async fn start(&self, request: Request<StartRequest>) -> Result<Response<Instance>, Status> {
        let wire = request.get_ref().clone();
        let call = format!("start {}", wire.instance_id);
        let answered = self.note(&call, &wire.owner, &request);
        {
            let mut world = self.world();
            if let Some(status) = &world.refuses_starts {
                return Err(status.clone());
            }
            world.parameters = wire.parameters;
            let state = if world.looks_until_ready == 0 {
                State::Ready
            } else {
                State::Starting
            };
            world
                .instances
                .entry(wire.instance_id.clone())
                .or_insert(state);
        }
        self.answer(answered, &wire.instance_id).await
    }

    async fn get(&self, request: Request<GetRequest>) -> Result<Response<Instance>, Status> {
        let wire = request.get_ref().clone();
        let call = format!("get {}", wire.instance_id);
        let answered = self.note(&call, &wire.owner, &request);
        {
            let mut world = self.world();
            world.looks_until_ready = world.looks_until_ready.saturating_sub(1);
            let ready = world.looks_until_ready == 0;
            if let Some(state) = world.instances.get_mut(&wire.instance_id)
                && *state == State::Starting
                && ready
            {
                *state = State::Ready;
            }
        }
        self.answer(answered, &wire.instance_id).await
    }

    async fn reset(&self, request: Request<ResetRequest>) -> Result<Response<Instance>, Status> {
        let wire = request.get_ref().clone();
        let call = format!("reset {}", wire.instance_id);
        let answered = self.note(&call, &wire.owner, &request);
        if !self.world().resets {
            return Err(Status::unimplemented("no resets here"));
        }
        self.answer(answered, &wire.instance_id).await
    }

    async fn hold(&self, request: Request<HoldRequest>) -> Result<Response<HoldResponse>, Status> {
        let wire = request.get_ref().clone();
        self.note(&format!("hold {}", wire.instance_id), &wire.owner, &request);
        Ok(Response::new(HoldResponse {}))
    }

    async fn thaw(&self, request: Request<ThawRequest>) -> Result<Response<ThawResponse>, Status> {
        let wire = request.get_ref().clone();
        self.note(&format!("thaw {}", wire.instance_id), &wire.owner, &request);
        Ok(Response::new(ThawResponse {}))
    }

    async fn stop(&self, request: Request<StopRequest>) -> Result<Response<Instance>, Status> {
        let wire = request.get_ref().clone();
        let call = format!("stop {}", wire.instance_id);
        let answered = self.note(&call, &wire.owner, &request);
        {
            let mut world = self.world();
            world.stops_until_gone = world.stops_until_gone.saturating_sub(1);
            let gone = world.stops_until_gone == 0;
            if gone {
                world.instances.remove(&wire.instance_id);
            } else if let Some(state) = world.instances.get_mut(&wire.instance_id) {
                *state = State::Stopping;
            }
        }
        self.answer(answered, &wire.instance_id).await
    }

    async fn list(
        &self,
        request: Request<ListRequest>,
    ) -> Result<Response<Self::ListStream>, Status> {
        let owner = request.get_ref().owner.clone();
        self.note("list", &owner, &request);
        let world = self.world();
        let all: Vec<_> = world
            .instances
            .keys()
            .map(|id| world.instance(id))
            .collect();
        Ok(Response::new(tokio_stream::iter(all)))
    }
}

/// A fake that listens; it is away once it is told to.
pub(crate) struct Listening {
    pub(crate) address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Listening {
    pub(crate) async fn at(address: SocketAddr, fake: &Fake) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        Self::on(TcpIncoming::from(listener), address, fake)
    }

    /// On a Unix socket.
    pub(crate) fn unix(path: &Path, fake: &Fake) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        Self::on(UnixListenerStream::new(listener), nowhere, fake)
    }

    fn on<C, I>(incoming: I, address: SocketAddr, fake: &Fake) -> Self
    where
        C: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
        I: Stream<Item = std::io::Result<C>> + Send + 'static,
    {
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = Server::builder()
            .add_service(ProviderServer::new(fake.clone()))
            .serve_with_incoming_shutdown(incoming, async move {
                let _ = stopped.await;
            });
        let task = tokio::spawn(async move { serving.await.unwrap() });
        Self {
            address,
            stop,
            task,
        }
    }

    pub(crate) async fn new(fake: &Fake) -> Self {
        Self::at("127.0.0.1:0".parse().unwrap(), fake).await
    }

    /// Goes away; its address is free then.
    pub(crate) async fn away(self) -> SocketAddr {
        let _ = self.stop.send(());
        self.task.await.unwrap();
        self.address
    }
}
