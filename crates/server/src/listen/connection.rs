//! A connection, plain or encrypted, and who is at its other end.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::OwnedSemaphorePermit,
    time::{Sleep, sleep},
};
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

use super::tls::names_of;

/// Who is at the other end.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    /// Where the connection comes from, unless it is gone already.
    pub(crate) address: Option<SocketAddr>,
    /// The names in the client certificate that was verified.
    pub(crate) names: Arc<[String]>,
}

#[derive(Debug)]
enum Transport {
    Plain(TcpStream),
    Encrypted(Box<TlsStream<TcpStream>>),
}

/// How long whoever connects may be silent, or send less than says which HTTP it speaks. What follows has
/// limits of its own in the transport; before, it waits for ever.
const FIRST_WORDS: Duration = Duration::from_secs(30);
/// What HTTP/2 begins with has so many bytes; what begins otherwise is HTTP/1.1.
const PREFACE: usize = 24;

/// A connection that counts against the limit until it is closed.
#[derive(Debug)]
pub(crate) struct Connection {
    transport: Transport,
    peer: Peer,
    /// Until it has said enough to be told apart.
    silent: Option<Silent>,
    /// Given back when the connection is dropped.
    _permit: Option<OwnedSemaphorePermit>,
}

impl Connection {
    pub(super) fn plain(stream: TcpStream) -> Self {
        let peer = Peer {
            address: stream.peer_addr().ok(),
            names: [].into(),
        };
        Self {
            transport: Transport::Plain(stream),
            peer,
            silent: Some(Silent::new()),
            _permit: None,
        }
    }

    pub(super) fn encrypted(stream: TlsStream<TcpStream>) -> Self {
        let (tcp, session) = stream.get_ref();
        let peer = Peer {
            address: tcp.peer_addr().ok(),
            names: names_of(session.peer_certificates().unwrap_or_default()).into(),
        };
        Self {
            transport: Transport::Encrypted(Box::new(stream)),
            peer,
            silent: Some(Silent::new()),
            _permit: None,
        }
    }

    pub(super) fn with_permit(self, permit: OwnedSemaphorePermit) -> Self {
        Self {
            _permit: Some(permit),
            ..self
        }
    }
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

/// How long nothing, or too little, has come.
#[derive(Debug)]
struct Silent {
    until: Pin<Box<Sleep>>,
    heard: usize,
}

impl Silent {
    fn new() -> Self {
        Self {
            until: Box::pin(sleep(FIRST_WORDS)),
            heard: 0,
        }
    }

    /// Whether what was heard tells the protocol.
    fn is_over(&mut self, words: &[u8]) -> bool {
        let other = self.heard == 0 && words.first().is_some_and(|first| *first != b'P');
        self.heard += words.len();
        other || self.heard >= PREFACE
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(silent) = &mut self.silent
            && silent.until.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let before = buf.filled().len();
        let read = match &mut self.transport {
            Transport::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Transport::Encrypted(stream) => Pin::new(stream).poll_read(cx, buf),
        };
        let words = &buf.filled()[before..];
        if self
            .silent
            .as_mut()
            .is_some_and(|silent| silent.is_over(words))
        {
            self.silent = None;
        }
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.transport {
            Transport::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Transport::Encrypted(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.transport {
            Transport::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Transport::Encrypted(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.transport {
            Transport::Plain(stream) => stream.is_write_vectored(),
            Transport::Encrypted(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.transport {
            Transport::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Transport::Encrypted(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.transport {
            Transport::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Transport::Encrypted(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
        time::Instant,
    };

    use super::*;

    async fn pair() -> (TcpStream, Connection) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let client = TcpStream::connect(address).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        (client, Connection::plain(stream))
    }

    #[tokio::test]
    async fn who_says_nothing_or_too_little_is_let_go() {
        for words in ["", "P", "PRI * HT"] {
            let (mut client, mut connection) = pair().await;
            client.write_all(words.as_bytes()).await.unwrap();
            if let Some(silent) = &mut connection.silent {
                silent
                    .until
                    .as_mut()
                    .reset(Instant::now() + Duration::from_millis(50));
            }
            let mut heard = Vec::new();
            let error = connection.read_to_end(&mut heard).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{words}");
            assert_eq!(heard, words.as_bytes());
        }
    }

    #[tokio::test]
    async fn who_has_said_what_it_speaks_is_waited_for_by_the_transport() {
        for words in ["G", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
            let (mut client, mut connection) = pair().await;
            client.write_all(words.as_bytes()).await.unwrap();
            let mut heard = vec![0; words.len()];
            connection.read_exact(&mut heard).await.unwrap();
            assert!(connection.silent.is_none(), "{words}");
        }
    }
}
