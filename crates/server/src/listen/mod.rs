//! Connections: taken in with a limit on how many, and with TLS where it is configured.

mod connection;
mod tls;

use std::{io, sync::Arc, time::Duration};

use futures::{Stream, stream::unfold};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc},
    task::JoinSet,
    time::timeout,
};

pub(crate) use connection::{Connection, Peer};
pub use tls::{ClientCertificates, Tls, TlsError, TlsFiles};

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long nothing is accepted after the system refused to, which it does without descriptors.
const PAUSE: Duration = Duration::from_millis(100);
/// Connections that wait to be served.
const WAITING: usize = 64;

/// The connections of a port. Handshakes run beside each other, and who is slow at it holds up nobody;
/// beyond `most` connections further ones wait in the system's queue.
pub(crate) fn connections(
    listener: TcpListener,
    tls: Option<Tls>,
    most: usize,
) -> impl Stream<Item = io::Result<Connection>> {
    let (ready, taken) = mpsc::channel(WAITING);
    // It ends with the stream: then nobody takes what it accepts.
    let mut acceptor = JoinSet::new();
    acceptor.spawn(accept(listener, tls, Arc::new(Semaphore::new(most)), ready));
    unfold((taken, acceptor), |(mut taken, acceptor)| async move {
        let connection = taken.recv().await?;
        Some((Ok(connection), (taken, acceptor)))
    })
}

async fn accept(
    listener: TcpListener,
    tls: Option<Tls>,
    permits: Arc<Semaphore>,
    ready: mpsc::Sender<Connection>,
) {
    let mut handshakes = JoinSet::new();
    loop {
        while handshakes.try_join_next().is_some() {}
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else {
            return;
        };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let (tls, ready) = (tls.clone(), ready.clone());
        handshakes.spawn(async move {
            if let Some(connection) = open(stream, tls).await {
                // The server has ended otherwise.
                let _ = ready.send(connection.with_permit(permit)).await;
            }
        });
    }
}

async fn open(stream: TcpStream, tls: Option<Tls>) -> Option<Connection> {
    let _ = stream.set_nodelay(true);
    let Some(tls) = tls else {
        return Some(Connection::plain(stream));
    };
    let address = stream.peer_addr().ok();
    match timeout(HANDSHAKE, tls.acceptor().accept(stream)).await {
        Ok(Ok(stream)) => Some(Connection::encrypted(stream)),
        Ok(Err(error)) => {
            tracing::debug!(?address, %error, "a handshake failed");
            None
        }
        Err(_) => {
            tracing::debug!(?address, "a handshake took too long");
            None
        }
    }
}
