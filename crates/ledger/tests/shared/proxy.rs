//! A relay in front of the server that cuts a connection when it is told to.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

/// What becomes of the message at which a connection is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Last {
    /// It is lost.
    Lost,
    /// The server gets it; its answer is lost.
    Unanswered,
    /// The server gets it when it is told so, long after.
    Late,
}

/// The relay; its threads end with the test's process.
pub(crate) struct Proxy {
    port: u16,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// How many more messages pass, and what becomes of the one after them.
    cut: Option<(usize, Last)>,
    late: Vec<(TcpStream, Vec<u8>)>,
}

impl Proxy {
    pub(crate) fn before(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::<Mutex<State>>::default();
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for client in listener.incoming() {
                relay(client.unwrap(), server, &shared);
            }
        });
        Self { port, state }
    }

    /// The URL that leads through here.
    pub(crate) fn through(&self, url: &str, server: u16) -> String {
        url.replace(&format!(":{server}/"), &format!(":{}/", self.port))
    }

    /// Cuts the connection at a later message of a client.
    pub(crate) fn cut_after(&self, messages: usize, last: Last) {
        self.state.lock().unwrap().cut = Some((messages, last));
    }

    /// Whether the cut is still to come; if so, it is called off.
    pub(crate) fn call_off(&self) -> bool {
        self.state.lock().unwrap().cut.take().is_some()
    }

    /// Brings late messages to the server and waits for what it does with them.
    pub(crate) fn deliver_late(&self) -> usize {
        let late = std::mem::take(&mut self.state.lock().unwrap().late);
        let count = late.len();
        for (mut server, message) in late {
            // The server may have closed the connection long ago.
            let _sent = server.write_all(&message);
            let _ended = server.shutdown(Shutdown::Write);
            let _answered = std::io::copy(&mut server, &mut std::io::sink());
        }
        count
    }
}

fn relay(client: TcpStream, server: u16, state: &Arc<Mutex<State>>) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", server)) else {
        return;
    };
    server.set_nodelay(true).unwrap();
    client.set_nodelay(true).unwrap();
    let back = (server.try_clone().unwrap(), client.try_clone().unwrap());
    thread::spawn(move || {
        let (mut server, mut client) = back;
        let _ended = std::io::copy(&mut server, &mut client);
        let _shut = client.shutdown(Shutdown::Both);
    });
    let state = Arc::clone(state);
    thread::spawn(move || forward(client, server, &state));
}

/// A client waits for each answer, so that what is read at once is one message.
fn forward(mut client: TcpStream, mut server: TcpStream, state: &Mutex<State>) {
    let mut buffer = vec![0; 1 << 20];
    while let Ok(length @ 1..) = client.read(&mut buffer) {
        let message = &buffer[..length];
        let Some(last) = state.lock().unwrap().pass() else {
            if server.write_all(message).is_err() {
                break;
            }
            continue;
        };
        let _shut = client.shutdown(Shutdown::Both);
        match last {
            Last::Lost => {}
            Last::Unanswered => server.write_all(message).unwrap(),
            Last::Late => {
                let mut state = state.lock().unwrap();
                state.late.push((server, message.to_vec()));
                return;
            }
        }
        break;
    }
    let _shut = server.shutdown(Shutdown::Write);
}

impl State {
    /// Counts a message; what becomes of it if it is the last.
    fn pass(&mut self) -> Option<Last> {
        let (left, last) = self.cut.take()?;
        if left > 0 {
            self.cut = Some((left - 1, last));
            return None;
        }
        Some(last)
    }
}
