//! The server killed again and again under load: no acknowledged lease is lost, no instance has two
//! owners, a repeated request is one request, no process is leaked. `FORESHADOW_KILL_CYCLES` says how
//! often; a few times by default.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use foreshadow_api::{
    v1::{
        AllocateRequest, Allocation, ListRequest, ReleaseRequest, allocate_request::Target,
        allocation::State, allocations_client::AllocationsClient,
    },
    well_known,
};
use foreshadow_tests::{Server, processes_with};
use tokio::{task::JoinSet, time::sleep};
use tonic::{Code, Status, transport::Channel};

/// Clients that ask, hold and give back.
const WORKERS: usize = 12;
const MAX: usize = 16;

/// A pool of processes that nobody else starts, told apart by how long they sleep.
fn config(marker: &str) -> String {
    format!(
        r#"
tick = "1s"
[[pool]]
name = "small"
provider = "process"
command = ["sh", "-c", "echo ready; exec sleep {marker}"]
ready = {{ stdout = "ready" }}
recycle = "reuse"
min = 4
max = {MAX}
"#
    )
}

/// What a worker knows of its lease; what was said before a kill is still true after it.
#[derive(Debug, Clone, Default)]
enum Known {
    #[default]
    Nothing,
    /// Asked for with this key, not answered yet.
    Asked(String),
    /// Acknowledged.
    Held(Box<Allocation>),
    /// To be given back, not acknowledged yet.
    GivenBack(Box<Allocation>),
}

#[derive(Debug, Default)]
struct Worker {
    name: usize,
    asked: usize,
    known: Known,
}

type Client = AllocationsClient<Channel>;

impl Worker {
    /// One call; an error other than a refusal means that the server has gone.
    async fn step(&mut self, client: &mut Client) -> Result<(), Status> {
        match self.known.clone() {
            Known::Nothing => {
                self.asked += 1;
                self.known = Known::Asked(format!("{}-{}", self.name, self.asked));
                Ok(())
            }
            Known::Asked(key) => self.ask(client, key).await,
            Known::Held(lease) => {
                sleep(Duration::from_millis(3 * self.name as u64)).await;
                self.known = Known::GivenBack(lease);
                Ok(())
            }
            Known::GivenBack(lease) => {
                let release = ReleaseRequest {
                    allocation_id: lease.allocation_id,
                    fencing_token: lease.fencing_token,
                };
                client.release(release).await?;
                self.known = Known::Nothing;
                Ok(())
            }
        }
    }

    async fn ask(&mut self, client: &mut Client, key: String) -> Result<(), Status> {
        let seconds = |seconds| Some(well_known::Duration { seconds, nanos: 0 });
        let request = AllocateRequest {
            tenant_id: "acme".to_owned(),
            target: Some(Target::Pool("small".to_owned())),
            max_wait: seconds(0),
            lease_duration: seconds(3_600),
            idempotency_key: key,
            ..AllocateRequest::default()
        };
        match client.allocate(request).await {
            Ok(granted) => {
                self.known = Known::Held(Box::new(granted.into_inner()));
                Ok(())
            }
            Err(refused) if refused.code() == Code::ResourceExhausted => {
                self.known = Known::Nothing;
                sleep(Duration::from_millis(5)).await;
                Ok(())
            }
            Err(gone) => Err(gone),
        }
    }
}

async fn connect(server: &Server) -> Client {
    let endpoint = Channel::from_shared(format!("http://{}", server.address()));
    let channel = endpoint.expect("the address is one").connect().await;
    AllocationsClient::new(channel.expect("the server listens"))
}

/// What the server says is held, by allocation.
async fn granted(client: &mut Client) -> BTreeMap<String, Allocation> {
    let request = ListRequest {
        states: vec![State::Granted.into(), State::Joined.into()],
        page_size: 1_000,
        ..ListRequest::default()
    };
    let page = client.list(request).await.expect("the server answers");
    let all = page.into_inner().allocations.into_iter();
    all.map(|one| (one.allocation_id.clone(), one)).collect()
}

/// Everything that was acknowledged is as it was, and nothing is held twice or by nobody.
fn check(cycle: usize, workers: &[Arc<Mutex<Worker>>], held: &BTreeMap<String, Allocation>) {
    let mut owned = BTreeSet::new();
    for lease in held.values() {
        let instance = &lease.instance.as_ref().expect("a lease has an instance").id;
        assert!(
            owned.insert(instance),
            "cycle {cycle}: {instance} has two owners"
        );
    }
    let mut explained = 0;
    for worker in workers {
        let worker = worker.lock().expect("no worker panicked");
        match &worker.known {
            Known::Nothing => {}
            Known::Asked(_) | Known::GivenBack(_) => explained += 1,
            Known::Held(lease) => {
                explained += 1;
                let found = held.get(&lease.allocation_id);
                let found = found.unwrap_or_else(|| panic!("cycle {cycle}: {lease:?} is lost"));
                assert_eq!(
                    (&found.instance, found.fencing_token),
                    (&lease.instance, lease.fencing_token),
                    "cycle {cycle}"
                );
            }
        }
    }
    assert!(
        held.len() <= explained,
        "cycle {cycle}: {} leases are held, {explained} at the most were asked for",
        held.len()
    );
}

/// Load until the server has gone.
fn load(client: &Client, workers: &[Arc<Mutex<Worker>>]) -> JoinSet<u64> {
    let mut running = JoinSet::new();
    for shared in workers {
        let (shared, mut client) = (shared.clone(), client.clone());
        running.spawn(async move {
            let mut worker = std::mem::take(&mut *shared.lock().expect("no worker panicked"));
            let mut calls = 0;
            while worker.step(&mut client).await.is_ok() {
                calls += 1;
            }
            *shared.lock().expect("no worker panicked") = worker;
            calls
        });
    }
    running
}

async fn cycles(count: usize, data: &Path, marker: &str) -> (u64, usize) {
    let config = config(marker);
    let workers: Vec<_> = (0..WORKERS)
        .map(|name| {
            let worker = Worker {
                name,
                ..Worker::default()
            };
            Arc::new(Mutex::new(worker))
        })
        .collect();
    let (mut calls, mut kept) = (0, 0);
    for cycle in 0..count {
        let server = Server::start(&config, data);
        let mut client = connect(&server).await;
        let held = granted(&mut client).await;
        check(cycle, &workers, &held);
        kept += held.len();
        let running = processes_with(marker).len();
        assert!(
            (held.len()..=MAX + WORKERS).contains(&running),
            "cycle {cycle}: {running} processes for {} leases",
            held.len()
        );
        let mut load = load(&client, &workers);
        // Another moment of the server's life each time.
        sleep(Duration::from_millis(40 + (cycle as u64 * 37) % 260)).await;
        server.kill();
        while let Some(done) = load.join_next().await {
            calls += done.expect("no worker panicked");
        }
    }
    assert!(kept > 0, "a kill found leases to keep");
    let server = Server::start(&config, data);
    let held = granted(&mut connect(&server).await).await;
    check(count, &workers, &held);
    server.stop();
    println!("{count} kills, {calls} steps of clients, {kept} leases found kept");
    (calls, held.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_under_load_keeps_what_it_acknowledged() {
    let count = std::env::var("FORESHADOW_KILL_CYCLES").map_or(5, |text| {
        text.parse().expect("FORESHADOW_KILL_CYCLES is a number")
    });
    let folder = tempfile::tempdir().expect("a folder can be made");
    let marker = format!("86{}", std::process::id());
    let (calls, held) = cycles(count, &folder.path().join("data"), &marker).await;
    assert!(calls > 0, "the clients got through");
    // Warm processes stop with the server, leased ones keep running until their server stops them.
    let leased = processes_with(&marker).len();
    assert_eq!(
        leased, held,
        "each lease keeps its process, and no other is left"
    );
    for pid in processes_with(&marker) {
        let ended = std::process::Command::new("kill")
            .arg(pid.to_string())
            .status();
        assert!(ended.is_ok());
    }
}
