//! A real engine with one pool of real processes behind a real port.

#![allow(dead_code, reason = "each test binary uses a part of this")]

use std::{net::SocketAddr, time::Duration};

use foreshadow_access::{Directory, Grant, Role, TokenHash};
use foreshadow_api::v1::{
    AllocateRequest, Allocation, WatchRequest, allocate_request::Target, allocation::State,
    allocations_client::AllocationsClient,
};
use foreshadow_engine::{
    Engine, EngineConfig, EngineHandle,
    config::{Durability, OnShutdown, PoolConfig},
};
use foreshadow_providers::{ProcessSpec, Readiness};
use foreshadow_server::{Access, ServeError, Server, ServerOptions};
use foreshadow_types::{InstanceCount, PoolName};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    sync::oneshot,
    task::JoinHandle,
};
use tonic::transport::{Channel, Endpoint};

pub(crate) struct Served {
    pub(crate) address: SocketAddr,
    engine: EngineHandle,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), ServeError>>,
    _data: TempDir,
}

/// One warm instance, two at the most, one request in the queue.
fn pool() -> PoolConfig {
    let command = ["sh", "-c", "echo ready; exec sleep 600"].map(str::to_owned);
    let mut process = ProcessSpec::new(command.to_vec());
    process.ready = Readiness::Stdout("ready".to_owned());
    let mut pool = PoolConfig::new(PoolName::new("notebook").unwrap(), process, 2);
    pool.spec.min = InstanceCount(1);
    pool.spec.max_queue = 1;
    pool
}

impl Served {
    pub(crate) async fn start(token: Option<&str>) -> Self {
        let access = token.map(|token| directory(&[(token, grant("admin", Role::Admin))]));
        Self::start_with(|options| options.access = access.map(Access::new)).await
    }

    pub(crate) async fn start_with(set: impl FnOnce(&mut ServerOptions)) -> Self {
        let data = tempfile::tempdir().unwrap();
        let mut config = EngineConfig::new(data.path());
        config.durability = Durability::Memory;
        config.on_shutdown = OnShutdown::StopAll;
        config.shadow.tick = Duration::from_millis(200);
        config.shadow.horizon = Duration::from_secs(10);
        config.pools = vec![pool()];
        let engine = Engine::start(config).await.unwrap();
        let mut options = ServerOptions::new("127.0.0.1:0".parse().unwrap());
        set(&mut options);
        let server = Server::bind(options).await.unwrap();
        let address = server.local_addr();
        let (stop, stopped) = oneshot::channel::<()>();
        let running = server.run(engine.clone(), async move {
            let _ = stopped.await;
        });
        Self {
            address,
            engine,
            stop,
            task: tokio::spawn(running),
            _data: data,
        }
    }

    pub(crate) async fn stop(self) {
        self.stop.send(()).unwrap();
        self.task.await.unwrap().unwrap();
        self.engine.shutdown().await.unwrap();
    }

    pub(crate) async fn channel(&self) -> Channel {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address)).unwrap();
        endpoint.connect().await.unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], "").await
    }

    pub(crate) async fn post(&self, path: &str, body: &str) -> Answer {
        self.ask("POST", path, &[], body).await
    }

    /// One HTTP/1.1 request on a connection of its own.
    pub(crate) async fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let stream = TcpStream::connect(self.address).await.unwrap();
        ask_over(
            stream,
            &self.address.to_string(),
            method,
            path,
            headers,
            body,
        )
        .await
        .unwrap()
    }
}

/// One HTTP/1.1 request on a connection that is closed then.
pub(crate) async fn ask_over(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    host: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> std::io::Result<Answer> {
    let mut text = format!(
        "{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        text.push_str(name);
        text.push_str(": ");
        text.push_str(value);
        text.push_str("\r\n");
    }
    text.push_str("\r\n");
    text.push_str(body);
    stream.write_all(text.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let whole = answer.contains("\r\n\r\n");
    whole
        .then(|| Answer::read(&answer))
        .ok_or_else(|| std::io::ErrorKind::UnexpectedEof.into())
}

/// What a caller is granted, bound to nothing.
pub(crate) fn grant(name: &str, role: Role) -> Grant {
    Grant {
        name: name.to_owned(),
        role,
        tenant: None,
        users: None,
        rate: None,
    }
}

/// Those who show these tokens.
pub(crate) fn directory(tokens: &[(&str, Grant)]) -> Directory {
    let mut directory = Directory::default();
    for (token, grant) in tokens {
        let added = directory.add_token(TokenHash::of(token), grant.clone());
        added.unwrap();
    }
    directory
}

/// What a server answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    fn read(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Self {
            status,
            head: head.to_ascii_lowercase(),
            body: body.to_owned(),
        }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

/// A request of somebody for the pool.
pub(crate) fn notebook() -> AllocateRequest {
    AllocateRequest {
        user_id: "ada".to_owned(),
        application_id: "jupyter".to_owned(),
        target: Some(Target::Pool("notebook".to_owned())),
        ..AllocateRequest::default()
    }
}

/// The allocation once it holds a ready instance.
pub(crate) async fn granted(
    client: &mut AllocationsClient<Channel>,
    request: AllocateRequest,
) -> Allocation {
    let asked = client.allocate(request).await.unwrap().into_inner();
    let watch = WatchRequest {
        allocation_id: asked.allocation_id.clone(),
    };
    let mut changes = client.watch(watch).await.unwrap().into_inner();
    let waiting = async {
        while let Some(now) = changes.message().await.unwrap() {
            if now.state() == State::Granted {
                return now;
            }
        }
        panic!("it ended without a grant");
    };
    tokio::time::timeout(Duration::from_secs(20), waiting)
        .await
        .unwrap()
}
