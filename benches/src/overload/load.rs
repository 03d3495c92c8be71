//! Clients that claim and give back, on a few connections of one thread: as many at a time as are told, or
//! at times fixed beforehand, whether or not earlier answers have come.

use std::{
    collections::HashMap,
    io::{ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use foreshadow_api::{
    duration_to_proto,
    v1::{AllocateRequest, Allocation, ReleaseRequest},
};
use prost::Message as _;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::wire::{Ended, Wire};
use crate::{allocate::ask, clock::Watch};

const ALLOCATE: &str = "/foreshadow.v1.Allocations/Allocate";
const RELEASE: &str = "/foreshadow.v1.Allocations/Release";
/// How long a lease lasts: longer than any release is on its way.
const LEASE: Duration = Duration::from_secs(5);
/// Bytes that wait for the connection, beyond which a client claims no more.
const MOST_UNWRITTEN: usize = 64 * 1024;
/// The longest that nothing is looked at.
const PAUSE: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 500_000,
};

/// What became of the claims.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) granted: u64,
    pub(super) refused: u64,
    /// Not sent: the server took no more calls on the connection, or did not read it.
    pub(super) held_back: u64,
    /// Seconds until each was granted, and until each was refused.
    pub(super) times: [Vec<f64>; 2],
}

/// Who claims when.
#[derive(Debug, Clone, Copy)]
pub(super) enum Arrivals {
    /// So many clients, each again once it has given back or was refused.
    Closed(usize),
    /// So many a second.
    Open(f64),
}

/// A call under way.
enum Call {
    Claim { since: f64 },
    Release,
}

struct Connection {
    stream: TcpStream,
    wire: Wire,
    calls: HashMap<u32, Call>,
    /// Leases to be given back as soon as the server takes the call.
    due: Vec<ReleaseRequest>,
    buffer: Vec<u8>,
}

/// Some connections to one server.
pub(super) struct Clients {
    connections: Vec<Connection>,
    next: usize,
    counts: Counts,
    /// Clients of the closed loop that have nothing under way.
    free: usize,
}

impl Clients {
    pub(super) fn connect(address: SocketAddr, connections: usize) -> anyhow::Result<Self> {
        let connections = (0..connections).map(|_| Connection::open(address));
        Ok(Self {
            connections: connections.collect::<anyhow::Result<_>>()?,
            next: 0,
            counts: Counts::default(),
            free: 0,
        })
    }

    /// What became of all claims that were due within `lasting`; `look` is called a few times a second.
    ///
    /// # Errors
    /// When a connection is closed or a call fails otherwise than by a refusal.
    pub(super) fn run(
        mut self,
        arrivals: Arrivals,
        lasting: Duration,
        mut look: impl FnMut() -> anyhow::Result<()>,
    ) -> anyhow::Result<Counts> {
        let (started, mut sent, mut looked) = (Watch::start(), 0_u64, 0_u128);
        if let Arrivals::Closed(clients) = arrivals {
            self.free = clients;
        }
        while started.elapsed() < lasting {
            let now = started.elapsed().as_secs_f64();
            let due = match arrivals {
                Arrivals::Closed(_) => std::mem::take(&mut self.free) as u64,
                Arrivals::Open(per_second) => (now * per_second) as u64 - sent,
            };
            sent += due;
            for _ in 0..due {
                self.claim(now);
            }
            for index in 0..self.connections.len() {
                self.turn(index, started)?;
            }
            self.wait()?;
            let part = started.elapsed().as_millis() / 200;
            if part != looked {
                looked = part;
                look()?;
            }
        }
        Ok(self.counts)
    }

    fn claim(&mut self, now: f64) {
        self.next = (self.next + 1) % self.connections.len();
        if !self.connections[self.next].claim(now) {
            self.counts.held_back += 1;
            self.free += 1;
        }
    }

    /// Gives back what is due, writes what there is, and takes what was answered.
    fn turn(&mut self, index: usize, started: Watch) -> anyhow::Result<()> {
        let connection = &mut self.connections[index];
        connection.give_back();
        connection.write()?;
        let ended = connection.read()?;
        let now = started.elapsed().as_secs_f64();
        for (call, end) in ended {
            match (call, end) {
                (Call::Claim { since }, Ended::Answered(message)) => {
                    self.counts.granted += 1;
                    self.counts.times[0].push(now - since);
                    let lease = Allocation::decode(&*message)?;
                    ensure!(lease.warm, "a claim was answered by {:?}", lease.state());
                    connection.due.push(ReleaseRequest {
                        allocation_id: lease.allocation_id,
                        fencing_token: lease.fencing_token,
                    });
                }
                (Call::Claim { since }, Ended::Refused) => {
                    self.counts.refused += 1;
                    self.counts.times[1].push(now - since);
                    self.free += 1;
                }
                (Call::Release, Ended::Answered(_)) => self.free += 1,
                (Call::Release, Ended::Refused) => bail!("a release was refused"),
                (_, Ended::Failed) => bail!("a call failed otherwise than by a refusal"),
            }
        }
        Ok(())
    }

    fn wait(&self) -> anyhow::Result<()> {
        let mut streams: Vec<PollFd<'_>> = self
            .connections
            .iter()
            .map(|connection| PollFd::new(&connection.stream, PollFlags::IN))
            .collect();
        poll(&mut streams, Some(&PAUSE))?;
        Ok(())
    }
}

impl Connection {
    fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream,
            wire: Wire::new(address.to_string()),
            calls: HashMap::new(),
            due: Vec::new(),
            buffer: vec![0; 1 << 16],
        })
    }

    /// Whether the claim is on its way.
    fn claim(&mut self, now: f64) -> bool {
        if self.wire.out().len() > MOST_UNWRITTEN {
            return false;
        }
        let request = AllocateRequest {
            lease_duration: Some(duration_to_proto(LEASE)),
            ..ask()
        };
        let stream = self.wire.call(ALLOCATE, &request);
        if let Some(stream) = stream {
            self.calls.insert(stream, Call::Claim { since: now });
        }
        stream.is_some()
    }

    fn give_back(&mut self) {
        while let Some(release) = self.due.last()
            && let Some(stream) = self.wire.call(RELEASE, release)
        {
            self.calls.insert(stream, Call::Release);
            self.due.pop();
        }
    }

    fn write(&mut self) -> anyhow::Result<()> {
        let out = self.wire.out();
        while !out.is_empty() {
            match self.stream.write(out) {
                Ok(written) => drop(out.drain(..written)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error).context("the server is gone"),
            }
        }
        Ok(())
    }

    fn read(&mut self) -> anyhow::Result<Vec<(Call, Ended)>> {
        let mut ended = Vec::new();
        loop {
            match self.stream.read(&mut self.buffer) {
                Ok(0) => bail!("the server has closed a connection"),
                Ok(read) => {
                    let calls = &mut self.calls;
                    self.wire.read(&self.buffer[..read], |stream, end| {
                        ended.extend(calls.remove(&stream).map(|call| (call, end)));
                    })?;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(ended),
                Err(error) => return Err(error).context("the server is gone"),
            }
        }
    }
}
