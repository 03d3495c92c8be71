//! What stands between replicas and their database, and cuts them off.

use std::{
    net::TcpListener as Bound,
    sync::{Arc, Mutex},
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::AbortHandle,
};

/// Passes connections on, until it cuts them.
#[derive(Debug)]
pub(crate) struct Proxy {
    port: u16,
    open: Arc<Mutex<Vec<AbortHandle>>>,
    listening: AbortHandle,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.listening.abort();
        self.cut();
    }
}

impl Proxy {
    /// To be called within a runtime.
    pub(crate) fn before(port: u16) -> Self {
        let bound = Bound::bind("127.0.0.1:0").expect("a port is free");
        bound.set_nonblocking(true).expect("it is a socket");
        let own = bound.local_addr().expect("it is bound").port();
        let open = Arc::<Mutex<Vec<AbortHandle>>>::default();
        let listener = TcpListener::from_std(bound).expect("it is a socket");
        let listening = tokio::spawn(pass_on(listener, port, open.clone()));
        Self {
            port: own,
            open,
            listening: listening.abort_handle(),
        }
    }

    /// The same database by way of this.
    pub(crate) fn through(&self, url: &str, port: u16) -> String {
        url.replace(&format!(":{port}/"), &format!(":{}/", self.port))
    }

    /// Cuts every connection there is; new ones may come at once.
    pub(crate) fn cut(&self) {
        let mut open = self.open.lock().expect("no connection panicked");
        for one in open.drain(..) {
            one.abort();
        }
    }
}

async fn pass_on(listener: TcpListener, port: u16, open: Arc<Mutex<Vec<AbortHandle>>>) {
    while let Ok((mut near, _)) = listener.accept().await {
        let passing = tokio::spawn(async move {
            if let Ok(mut far) = TcpStream::connect(("127.0.0.1", port)).await {
                // Either side may end at any time.
                let _ = copy_bidirectional(&mut near, &mut far).await;
            }
        });
        let mut open = open.lock().expect("no connection panicked");
        open.retain(|one| !one.is_finished());
        open.push(passing.abort_handle());
    }
}
