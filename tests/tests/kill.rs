//! The server killed again and again under load: no acknowledged lease is lost, no instance has two
//! owners, a repeated request is one request, no process is leaked. `FORESHADOW_KILL_CYCLES` says how
//! often; a few times by default.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use foreshadow_api::v1::{Allocation, allocations_client::AllocationsClient};
use foreshadow_tests::{Marked, Server};
use tokio::{task::JoinSet, time::sleep};
use tonic::transport::Channel;

#[path = "support/worker.rs"]
mod worker;

use worker::{Client, Worker, check, held};

/// Clients that ask, hold and give back.
const WORKERS: usize = 12;
const MAX: usize = 16;

async fn connect(server: &Server) -> Client {
    let endpoint = Channel::from_shared(format!("http://{}", server.address()));
    let channel = endpoint.expect("the address is one").connect().await;
    AllocationsClient::new(channel.expect("the server listens"))
}

/// What the server says is held, by allocation.
async fn granted(client: &mut Client) -> BTreeMap<String, Allocation> {
    held(client).await.expect("the server answers")
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

async fn cycles(count: usize, data: &Path, instances: &Marked) -> (u64, usize) {
    let config = "tick = \"1s\"\n".to_owned() + &instances.pool("small", 4, MAX as u32);
    let workers: Vec<_> = (0..WORKERS)
        .map(|name| {
            let worker = Worker {
                name,
                pool: "small".to_owned(),
                hold: Duration::from_millis(3 * name as u64),
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
        let running = instances.running().len();
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
    let instances = Marked::sleepers(86);
    let (calls, held) = cycles(count, &folder.path().join("data"), &instances).await;
    assert!(calls > 0, "the clients got through");
    // Warm processes stop with the server, leased ones keep running until their server stops them.
    let leased = instances.running().len();
    assert_eq!(
        leased, held,
        "each lease keeps its process, and no other is left"
    );
}
