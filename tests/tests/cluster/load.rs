//! Clients that go to whichever replica answers.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use foreshadow_api::v1::{Allocation, allocations_client::AllocationsClient};
use tokio::{
    sync::RwLock,
    task::JoinSet,
    time::{sleep, timeout},
};
use tonic::{Status, transport::Channel};

use crate::{
    replicas::{POOLS, pool},
    worker::{Client, Known, Worker, check, held},
};

/// How long a call may take before its client goes to another replica.
const PATIENCE: Duration = Duration::from_secs(15);
const WORKERS: usize = 12;

/// Where the replicas are that clients may go to.
pub(crate) type Addresses = Arc<Mutex<Vec<String>>>;

#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) steps: AtomicU64,
    pub(crate) errors: AtomicU64,
}

/// The clients, at work until dropped.
pub(crate) struct Load {
    workers: Vec<Arc<Mutex<Worker>>>,
    /// Read for each step, written by whoever wants to look at a moment between steps.
    gate: Arc<RwLock<()>>,
    addresses: Addresses,
    pub(crate) counts: Arc<Counts>,
    _running: JoinSet<()>,
}

impl Load {
    pub(crate) fn start(addresses: Addresses) -> Self {
        let worker = |name| Worker {
            name,
            pool: pool(name % POOLS),
            hold: Duration::from_millis(3 * name as u64),
            ..Worker::default()
        };
        let workers: Vec<_> = (0..WORKERS)
            .map(|name| Arc::new(Mutex::new(worker(name))))
            .collect();
        let gate = Arc::new(RwLock::new(()));
        let counts = Arc::<Counts>::default();
        let mut running = JoinSet::new();
        for (number, worker) in workers.iter().enumerate() {
            let client = Wanderer {
                addresses: addresses.clone(),
                next: number,
                client: None,
            };
            running.spawn(work(worker.clone(), gate.clone(), counts.clone(), client));
        }
        Self {
            workers,
            gate,
            addresses,
            counts,
            _running: running,
        }
    }

    /// At a moment between steps: everything that was acknowledged is as it was, and nothing is held
    /// twice or by nobody; how many leases there are.
    pub(crate) async fn check(&self, cycle: usize) -> usize {
        let _pause = self.gate.write().await;
        let held = granted(&self.addresses).await;
        check(cycle, &self.workers, &held);
        held.len()
    }
}

async fn work(
    shared: Arc<Mutex<Worker>>,
    gate: Arc<RwLock<()>>,
    counts: Arc<Counts>,
    mut client: Wanderer,
) {
    loop {
        let pass = gate.read().await;
        let mut worker = std::mem::take(&mut *shared.lock().expect("no worker panicked"));
        let done = match client.get().await {
            Ok(client) => timeout(PATIENCE, worker.step(client)).await,
            Err(error) => Ok(Err(error)),
        };
        *shared.lock().expect("no worker panicked") = worker;
        drop(pass);
        if let Ok(Ok(())) = done {
            counts.steps.fetch_add(1, Ordering::Relaxed);
        } else {
            counts.errors.fetch_add(1, Ordering::Relaxed);
            client.client = None;
            sleep(Duration::from_millis(50)).await;
        }
    }
}

/// A client that goes on to the next replica when one fails it.
struct Wanderer {
    addresses: Addresses,
    next: usize,
    client: Option<Client>,
}

impl Wanderer {
    async fn get(&mut self) -> Result<&mut Client, Status> {
        if self.client.is_none() {
            self.next += 1;
            let address = {
                let addresses = self.addresses.lock().expect("no worker panicked");
                addresses[self.next % addresses.len()].clone()
            };
            self.client = Some(connect(&address).await?);
        }
        self.client
            .as_mut()
            .ok_or_else(|| Status::unavailable("there is no client"))
    }
}

pub(crate) async fn connect(address: &str) -> Result<Client, Status> {
    let endpoint = Channel::from_shared(format!("http://{address}")).expect("the address is one");
    let endpoint = endpoint.connect_timeout(Duration::from_secs(1));
    let channel = endpoint.connect().await;
    let channel = channel.map_err(|error| Status::unavailable(error.to_string()))?;
    Ok(AllocationsClient::new(channel))
}

/// What the replicas say is held, by allocation, read page by page; asked until all shards answer.
async fn granted(addresses: &Addresses) -> BTreeMap<String, Allocation> {
    let since = Instant::now();
    let mut turn = 0;
    loop {
        turn += 1;
        let address = {
            let addresses = addresses.lock().expect("no worker panicked");
            addresses[turn % addresses.len()].clone()
        };
        match timeout(PATIENCE, pages(&address)).await {
            Ok(Ok(held)) => return held,
            failed => assert!(since.elapsed() < PATIENCE * 4, "no list: {failed:?}"),
        }
        sleep(Duration::from_millis(100)).await;
    }
}

async fn pages(address: &str) -> Result<BTreeMap<String, Allocation>, Status> {
    held(&mut connect(address).await?).await
}

/// Until every pool has granted something to a caller of this replica.
pub(crate) async fn until_all_pools_grant(address: &str, round: usize) -> Duration {
    let since = Instant::now();
    for number in 0..POOLS {
        let mut prober = Worker {
            name: 1_000_000 + round * POOLS + number,
            pool: pool(number),
            ..Worker::default()
        };
        let is_granted = |known: &Known| matches!(known, Known::Held(_));
        prober.step_until(is_granted, address, since).await;
        let is_given_back = |known: &Known| matches!(known, Known::Nothing);
        prober.step_until(is_given_back, address, since).await;
    }
    since.elapsed()
}

impl Worker {
    /// Whatever a call is answered, until it has come this far.
    async fn step_until(&mut self, done: fn(&Known) -> bool, address: &str, since: Instant) {
        let mut told = None;
        while !done(&self.known) {
            assert!(
                since.elapsed() < PATIENCE * 4,
                "{} does not get on: {:?}, {told:?}",
                self.pool,
                self.known
            );
            told = self.step_at(address).await.err();
            if told.is_some() {
                sleep(Duration::from_millis(20)).await;
            }
        }
    }

    async fn step_at(&mut self, address: &str) -> Result<(), Status> {
        let mut client = connect(address).await?;
        let step = timeout(PATIENCE, self.step(&mut client)).await;
        step.unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer")))
    }
}
