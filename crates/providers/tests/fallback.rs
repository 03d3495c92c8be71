//! The allocator that a pool falls back on, over real HTTP, and all that may go wrong with it.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::post,
};
use foreshadow_providers::{
    Claim, FallbackSpec, GoneReason, ProcessSpec, Provider, ProviderEvent, Providers, Readiness,
};
use foreshadow_types::{AllocationId, InstanceId, PoolName, TenantId, UserId};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    net::TcpListener,
    sync::mpsc,
    task::JoinHandle,
    time::{sleep, timeout},
};

const PATIENCE: Duration = Duration::from_secs(30);
const ONE: InstanceId = InstanceId(1);
const TWO: InstanceId = InstanceId(2);

/// What the allocator was asked, and how it is to behave.
#[derive(Default)]
struct World {
    allocated: Vec<Value>,
    released: Vec<Value>,
    /// What it answers to a claim instead of granting it.
    refuses: Option<StatusCode>,
    answers_nonsense: bool,
    never_answers: bool,
    refuses_releases: bool,
    refused_releases: usize,
}

#[derive(Clone, Default)]
struct Fake(Arc<Mutex<World>>);

impl Fake {
    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap()
    }

    async fn listen(&self, at: &str) -> (SocketAddr, JoinHandle<()>) {
        let listener = TcpListener::bind(at).await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new()
            .route("/game/allocate", post(allocate))
            .route("/game/release", post(release))
            .with_state(self.clone());
        let serving = async move { axum::serve(listener, router).await.unwrap() };
        (address, tokio::spawn(serving))
    }
}

async fn allocate(State(fake): State<Fake>, Json(asked): Json<Value>) -> Response {
    let never_answers = {
        let mut world = fake.world();
        world.allocated.push(asked);
        world.never_answers
    };
    if never_answers {
        sleep(Duration::from_hours(1)).await;
    }
    let world = fake.world();
    if let Some(status) = world.refuses {
        return status.into_response();
    }
    if world.answers_nonsense {
        return "granted!".into_response();
    }
    let number = world.allocated.len();
    Json(json!({"id": format!("vm-{number}"), "address": "10.9.9.9:80"})).into_response()
}

async fn release(State(fake): State<Fake>, Json(asked): Json<Value>) -> StatusCode {
    let mut world = fake.world();
    if world.refuses_releases {
        world.refused_releases += 1;
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    world.released.push(asked);
    StatusCode::NO_CONTENT
}

struct Setup {
    fake: Fake,
    url: String,
    listening: JoinHandle<()>,
    providers: Providers,
    events: mpsc::Receiver<ProviderEvent>,
    folder: TempDir,
}

fn pool() -> PoolName {
    PoolName::new("game").unwrap()
}

fn claim() -> Claim {
    Claim {
        allocation: AllocationId(9),
        tenant: TenantId::new("acme").unwrap(),
        user: Some(UserId::new("ada").unwrap()),
        application: None,
    }
}

fn open(folder: &Path, url: &str) -> (Providers, mpsc::Receiver<ProviderEvent>) {
    let (sender, events) = mpsc::channel(16);
    let providers = Providers::open(folder, None, sender).unwrap();
    let command = ["sh", "-c", "echo ready; exec sleep 60"].map(str::to_owned);
    let mut process = ProcessSpec::new(command.to_vec());
    process.ready = Readiness::Stdout("ready".to_owned());
    providers.define_process(pool(), process).unwrap();
    providers
        .define_fallback(pool(), FallbackSpec::new(url))
        .unwrap();
    (providers, events)
}

impl Setup {
    async fn new() -> Self {
        let fake = Fake::default();
        let (address, listening) = fake.listen("127.0.0.1:0").await;
        let url = format!("http://{address}/game");
        let folder = tempfile::tempdir().unwrap();
        let (providers, events) = open(folder.path(), &url);
        Self {
            fake,
            url,
            listening,
            providers,
            events,
            folder,
        }
    }

    async fn next(&mut self) -> ProviderEvent {
        timeout(PATIENCE, self.events.recv())
            .await
            .unwrap()
            .unwrap()
    }

    /// Where the pool's own provider started it.
    async fn started(&mut self) {
        match self.next().await {
            ProviderEvent::Ready { address, .. } => assert!(address.starts_with("127.0.0.1:")),
            other => panic!("not ready but {other:?}"),
        }
    }

    /// Given by the fallback.
    async fn given(&mut self) {
        match self.next().await {
            ProviderEvent::Given { address, .. } => assert_eq!(address, "10.9.9.9:80"),
            other => panic!("not given but {other:?}"),
        }
    }

    async fn until(&self, what: &str, holds: impl Fn(&World) -> bool) {
        let wait = async {
            while !holds(&self.fake.world()) {
                sleep(Duration::from_millis(5)).await;
            }
        };
        assert!(timeout(PATIENCE, wait).await.is_ok(), "{what}");
    }

    fn records(&self) -> usize {
        let folder = std::fs::read_dir(self.folder.path().join("fallback"));
        folder.map_or(0, Iterator::count)
    }

    /// The next run, which knows these instances.
    async fn restart(&mut self, known: &[InstanceId]) {
        self.providers.close(&[]).await;
        (self.providers, self.events) = open(self.folder.path(), &self.url);
        let known: BTreeSet<InstanceId> = known.iter().copied().collect();
        self.providers.reconcile(&known).unwrap();
    }

    async fn end(mut self) {
        self.providers.stop(ONE);
        self.providers.stop(TWO);
        self.next().await;
        self.next().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_is_waited_for_is_given_by_the_fallback_and_given_back_at_its_end() {
    let mut test = Setup::new().await;
    test.providers.start_for(&pool(), ONE, &claim());
    test.given().await;
    let asked = test.fake.world().allocated[0].clone();
    assert_eq!(asked["pool"], "game");
    assert_eq!(asked["tenantId"], "acme");
    assert_eq!(asked["userId"], "ada");
    assert_eq!(asked["allocationId"], AllocationId(9).to_string());
    test.providers.hold(ONE);
    test.providers.thaw(ONE, None);
    test.providers.stop(ONE);
    let gone = test.next().await;
    let reason = GoneReason::Stopped;
    assert_eq!(
        gone,
        ProviderEvent::Gone {
            instance: ONE,
            reason
        }
    );
    test.until("it is given back", |world| world.released.len() == 1)
        .await;
    let released = test.fake.world().released[0].clone();
    assert_eq!(
        released,
        json!({"requestId": asked["requestId"], "id": "vm-1"})
    );
    let wait = async {
        while test.records() > 0 {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, wait).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_nobody_waits_for_is_the_pools_own() {
    let mut test = Setup::new().await;
    test.providers.start(&pool(), ONE);
    test.started().await;
    assert!(test.fake.world().allocated.is_empty());
    test.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_fallback_does_not_give_is_the_pools_own() {
    let mut test = Setup::new().await;
    test.fake.world().refuses = Some(StatusCode::CONFLICT);
    test.providers.start_for(&pool(), ONE, &claim());
    test.started().await;
    assert!(test.fake.world().released.is_empty(), "nothing was given");
    // It has nothing, which is no failure: it is asked again at once.
    test.fake.world().refuses = None;
    test.providers.start_for(&pool(), TWO, &claim());
    test.given().await;
    test.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_never_comes_or_makes_no_sense_is_given_back_and_not_waited_for_again() {
    for nonsense in [false, true] {
        let mut test = Setup::new().await;
        test.fake.world().never_answers = !nonsense;
        test.fake.world().answers_nonsense = nonsense;
        test.providers.start_for(&pool(), ONE, &claim());
        test.started().await;
        test.until("it is given back", |world| world.released.len() == 1)
            .await;
        {
            let world = test.fake.world();
            let (asked, released) = (&world.allocated[0], &world.released[0]);
            assert_eq!(asked["requestId"], released["requestId"]);
        }
        // For a while after that it is not asked.
        test.providers.start_for(&pool(), TWO, &claim());
        test.started().await;
        assert_eq!(test.fake.world().allocated.len(), 1);
        test.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fallback_that_is_away_leaves_all_starts_to_the_pool() {
    let mut test = Setup::new().await;
    test.listening.abort();
    let _ = (&mut test.listening).await;
    for id in [ONE, TWO] {
        test.providers.start_for(&pool(), id, &claim());
        test.started().await;
    }
    test.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_is_gone_at_once_though_the_fallback_takes_it_back_later() {
    let mut test = Setup::new().await;
    test.providers.start_for(&pool(), ONE, &claim());
    test.given().await;
    test.fake.world().refuses_releases = true;
    test.providers.stop(ONE);
    assert!(matches!(test.next().await, ProviderEvent::Gone { .. }));
    test.until("it is refused", |world| world.refused_releases > 0)
        .await;
    test.fake.world().refuses_releases = false;
    test.until("it is given back", |world| world.released.len() == 1)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_gives_it_back_and_starts_the_pools_own_in_its_place() {
    let mut test = Setup::new().await;
    test.providers.start_for(&pool(), ONE, &claim());
    test.given().await;
    test.providers.reset(&pool(), ONE);
    test.started().await;
    test.until("it is given back", |world| world.released.len() == 1)
        .await;
    test.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_run_keeps_what_is_known_and_gives_the_rest_back() {
    let mut test = Setup::new().await;
    for id in [ONE, TWO] {
        test.providers.start_for(&pool(), id, &claim());
        test.given().await;
    }
    test.restart(&[ONE]).await;
    test.until("the other is given back", |world| world.released.len() == 1)
        .await;
    assert_eq!(test.fake.world().released[0]["id"], "vm-2");
    test.providers.verify(&pool(), ONE);
    test.given().await;
    test.providers.close(&[ONE]).await;
    assert_eq!(
        test.fake.world().released.len(),
        2,
        "a shutdown waits for it"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_run_takes_the_pools_own_instance_for_its_own() {
    let mut test = Setup::new().await;
    test.fake.world().refuses_releases = true;
    test.providers.start_for(&pool(), ONE, &claim());
    test.given().await;
    test.providers.reset(&pool(), ONE);
    test.started().await;
    // What the fallback gave is being given back still.
    test.restart(&[ONE]).await;
    test.providers.verify(&pool(), ONE);
    test.started().await;
    test.fake.world().refuses_releases = false;
    test.until("it is given back", |world| world.released.len() == 1)
        .await;
    test.providers.stop(ONE);
    assert!(matches!(test.next().await, ProviderEvent::Gone { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_run_asks_for_nothing_that_an_earlier_one_has_begun() {
    let mut test = Setup::new().await;
    test.providers.start(&pool(), ONE);
    test.started().await;
    test.restart(&[ONE]).await;
    test.providers.start_for(&pool(), ONE, &claim());
    test.started().await;
    assert!(test.fake.world().allocated.is_empty());
    test.providers.stop(ONE);
    assert!(matches!(test.next().await, ProviderEvent::Gone { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_used_instance_of_an_earlier_run_is_given_to_nobody() {
    let mut test = Setup::new().await;
    test.providers.start_for(&pool(), ONE, &claim());
    test.given().await;
    test.restart(&[ONE]).await;
    test.providers.reset(&pool(), ONE);
    test.started().await;
    test.until("it is given back", |world| world.released.len() == 1)
        .await;
    test.providers.stop(ONE);
    assert!(matches!(test.next().await, ProviderEvent::Gone { .. }));
}
