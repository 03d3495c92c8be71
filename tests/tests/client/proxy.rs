//! A way to the server that can lose answers and lead to another one.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    task::JoinSet,
};

/// Where the way leads, and whether answers come back on it.
#[derive(Debug, Clone, Copy)]
struct Way {
    server: SocketAddr,
    mute: bool,
}

/// A port that leads to a server.
pub(crate) struct Proxy {
    address: SocketAddr,
    way: Arc<Mutex<Way>>,
    _tasks: JoinSet<()>,
}

impl Proxy {
    pub(crate) async fn to(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let way = Arc::new(Mutex::new(Way {
            server: server.parse().expect("it is an address"),
            mute: false,
        }));
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, Arc::clone(&way)));
        Self {
            address,
            way,
            _tasks: tasks,
        }
    }

    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }

    /// From now on requests get through and answers do not. A connection that has lost some ends when
    /// they come back.
    pub(crate) fn lose_answers(&self) {
        self.way.lock().expect("nobody panicked").mute = true;
    }

    /// From now on the way leads there, and answers come back.
    pub(crate) fn lead_to(&self, server: &str) {
        let server = server.parse().expect("it is an address");
        *self.way.lock().expect("nobody panicked") = Way {
            server,
            mute: false,
        };
    }
}

async fn accept(listener: TcpListener, way: Arc<Mutex<Way>>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let server = way.lock().expect("nobody panicked").server;
        // Where nobody listens, the connection is closed at once.
        if let Ok(server) = TcpStream::connect(server).await {
            connections.spawn(carry(client, server, Arc::clone(&way)));
        }
    }
}

/// Carries bytes until one side ends.
async fn carry(client: TcpStream, server: TcpStream, way: Arc<Mutex<Way>>) {
    let (mut from_client, to_client) = client.into_split();
    let (from_server, mut to_server) = server.into_split();
    tokio::select! {
        _ = copy(&mut from_client, &mut to_server) => {}
        () = answers(from_server, to_client, &way) => {}
    }
}

async fn answers(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, way: &Mutex<Way>) {
    let mut bytes = vec![0; 16 * 1024];
    let mut lost = false;
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        if way.lock().expect("nobody panicked").mute {
            lost = true;
        } else if lost || to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}
