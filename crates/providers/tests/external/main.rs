//! External providers over real gRPC, and all that may go wrong with one.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod fake;

use std::{collections::BTreeSet, net::SocketAddr, path::Path, time::Duration};

use fake::{Fake, Listening};
use foreshadow_providers::{
    ExternalProvider, ExternalSpec, GoneReason, Hold, Provider, ProviderEvent,
    wire::v1::instance::State,
};
use foreshadow_types::{InstanceId, PoolName};
use tempfile::TempDir;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::{sleep, timeout},
};
use tonic::Status;

const PATIENCE: Duration = Duration::from_secs(30);
const ONE: InstanceId = InstanceId(1);
const TWO: InstanceId = InstanceId(2);

fn pool() -> PoolName {
    PoolName::new("game").unwrap()
}

fn spec(address: SocketAddr) -> ExternalSpec {
    ExternalSpec {
        hold: Hold::Freeze,
        ..ExternalSpec::new(format!("http://{address}"))
    }
}

struct Setup {
    fake: Fake,
    listening: Listening,
    provider: ExternalProvider,
    events: mpsc::Receiver<ProviderEvent>,
    folder: TempDir,
}

impl Setup {
    async fn new() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut ExternalSpec)) -> Self {
        let fake = Fake::default();
        let listening = Listening::new(&fake).await;
        let folder = tempfile::tempdir().unwrap();
        let mut spec = spec(listening.address);
        change(&mut spec);
        let (provider, events) = open(folder.path());
        provider.define(pool(), spec).unwrap();
        Self {
            fake,
            listening,
            provider,
            events,
            folder,
        }
    }

    async fn next(&mut self) -> ProviderEvent {
        next(&mut self.events).await
    }

    async fn ready(&mut self) -> String {
        match self.next().await {
            ProviderEvent::Ready { address, .. } => address,
            other => panic!("not ready but {other:?}"),
        }
    }

    async fn failed(&mut self) -> String {
        match self.next().await {
            ProviderEvent::Failed { reason, .. } => reason,
            other => panic!("not failed but {other:?}"),
        }
    }

    async fn gone(&mut self) -> GoneReason {
        gone(self.next().await)
    }

    async fn until(&self, what: &str, holds: impl Fn(&fake::World) -> bool) {
        let wait = async {
            while !holds(&self.fake.world()) {
                sleep(Duration::from_millis(5)).await;
            }
        };
        let came = timeout(PATIENCE, wait).await;
        assert!(came.is_ok(), "{what}: {:?}", self.fake.world().calls);
    }
}

fn open(folder: &Path) -> (ExternalProvider, mpsc::Receiver<ProviderEvent>) {
    let (sender, events) = mpsc::channel(16);
    let folder = folder.join("external");
    (
        ExternalProvider::open(&folder, None, sender).unwrap(),
        events,
    )
}

async fn next(events: &mut mpsc::Receiver<ProviderEvent>) -> ProviderEvent {
    timeout(PATIENCE, events.recv()).await.unwrap().unwrap()
}

fn gone(event: ProviderEvent) -> GoneReason {
    match event {
        ProviderEvent::Gone { reason, .. } => reason,
        other => panic!("not gone but {other:?}"),
    }
}

fn records(folder: &Path) -> usize {
    let files = std::fs::read_dir(folder.join("external")).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with("i-")).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_is_started_held_thawed_reset_and_stopped() {
    let tokens = tempfile::tempdir().unwrap();
    let token = tokens.path().join("token");
    std::fs::write(&token, "first-token\n").unwrap();
    let mut test = Setup::with(|spec| {
        spec.token_file = Some(token.clone());
        spec.parameters = [("map".to_owned(), "harbour".to_owned())].into();
    })
    .await;
    test.fake.world().looks_until_ready = 3;
    test.fake.world().resets = true;
    test.fake.world().stops_until_gone = 2;

    test.provider.start(&pool(), ONE);
    assert_eq!(test.ready().await, "10.0.0.1:1");
    assert_eq!(test.fake.world().count("start i-1"), 1);
    assert_eq!(test.fake.world().parameters["map"], "harbour");
    let sent = test.fake.world().authorization.clone();
    assert_eq!(sent.as_deref(), Some("Bearer first-token"));

    test.provider.hold(ONE);
    test.until("it is held", |world| world.count("hold i-1") == 1)
        .await;
    std::fs::write(&token, "second-token\n").unwrap();
    test.provider.thaw(ONE, None);
    test.until("it is thawed", |world| world.count("thaw i-1") == 1)
        .await;
    let sent = test.fake.world().authorization.clone();
    assert_eq!(sent.as_deref(), Some("Bearer second-token"));

    test.provider.reset(&pool(), ONE);
    test.ready().await;
    test.provider.stop(ONE);
    assert_eq!(test.gone().await, GoneReason::Stopped);
    assert_eq!(test.fake.world().count("stop i-1"), 2, "until it is gone");
    assert_eq!(
        test.fake.world().count("start i-1"),
        1,
        "a reset is no start"
    );
    assert_eq!(test.fake.world().owners.len(), 1);
    assert_eq!(records(test.folder.path()), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_may_listen_on_a_unix_socket() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("provider.sock");
    let fake = Fake::default();
    let _listening = Listening::unix(&socket, &fake);
    let (provider, mut events) = open(folder.path());
    let spec = ExternalSpec::new(format!("unix://{}", socket.display()));
    provider.define(pool(), spec).unwrap();
    provider.start(&pool(), ONE);
    let ready = next(&mut events).await;
    assert!(matches!(ready, ProviderEvent::Ready { .. }), "{ready:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_is_refused_says_why_and_is_cleaned_up() {
    let mut test = Setup::new().await;
    test.fake.world().refuses_starts = Some(Status::invalid_argument("no such map"));
    test.provider.start(&pool(), ONE);
    let reason = test.failed().await;
    assert!(reason.contains("no such map"), "{reason}");
    assert_eq!(test.gone().await, GoneReason::Stopped);
    assert_eq!(test.fake.world().count("stop i-1"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_is_away_costs_no_instance_that_was_ready() {
    let mut test = Setup::new().await;
    test.provider.start(&pool(), ONE);
    test.ready().await;
    let address = test.listening.away().await;
    test.provider.probe(ONE);
    test.provider.hold(ONE);
    // A first try fails before the provider is there.
    sleep(Duration::from_millis(200)).await;
    test.listening = Listening::at(address, &test.fake).await;
    // What was wished during the outage is carried out after it.
    let held = async {
        while test.fake.world().count("hold i-1") == 0 {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, held).await.unwrap();
    assert!(test.events.try_recv().is_err(), "nothing was reported");
    test.provider.stop(ONE);
    assert_eq!(gone(next(&mut test.events).await), GoneReason::Stopped);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_waits_for_a_provider_that_comes_back_in_time() {
    let mut test = Setup::new().await;
    let address = test.listening.away().await;
    test.provider.start(&pool(), ONE);
    // A first try fails before the provider is there.
    sleep(Duration::from_millis(100)).await;
    test.listening = Listening::at(address, &test.fake).await;
    test.ready().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_at_a_provider_that_stays_away_fails_and_is_cleaned_up_when_it_is_back() {
    let mut test = Setup::with(|spec| spec.start_timeout = Duration::from_millis(200)).await;
    let address = test.listening.away().await;
    test.provider.start(&pool(), ONE);
    let ProviderEvent::Failed { reason, .. } = next(&mut test.events).await else {
        panic!("did not fail");
    };
    assert!(reason.contains("200ms"), "{reason}");
    assert!(reason.contains("Unavailable"), "{reason}");
    test.provider.stop(ONE);
    test.listening = Listening::at(address, &test.fake).await;
    assert_eq!(gone(next(&mut test.events).await), GoneReason::Stopped);
    assert!(test.fake.world().count("stop i-1") > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_whose_answer_was_lost_is_asked_for_again_and_starts_one_instance() {
    let mut test = Setup::with(|spec| spec.call_timeout = Duration::from_millis(200)).await;
    test.fake.world().unanswered = 1;
    test.provider.start(&pool(), ONE);
    test.ready().await;
    assert_eq!(test.fake.world().count("start i-1"), 2);
    assert_eq!(test.fake.world().instances.len(), 1);
}

/// Passes connections on to a provider, all but the first: that one says nothing, as if the machine
/// at its other end had gone.
async fn first_connection_is_silent(provider: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let _silent = listener.accept().await.unwrap();
        loop {
            let (mut here, _) = listener.accept().await.unwrap();
            let mut there = TcpStream::connect(provider).await.unwrap();
            tokio::spawn(async move { copy_bidirectional(&mut here, &mut there).await });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_has_gone_silent_is_replaced() {
    let mut test = Setup::new().await;
    let quiet = first_connection_is_silent(test.listening.address).await;
    let spec = ExternalSpec {
        call_timeout: Duration::from_millis(200),
        ..ExternalSpec::new(format!("http://{quiet}"))
    };
    test.provider.define(pool(), spec).unwrap();
    test.provider.start(&pool(), ONE);
    test.ready().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_forgot_a_start_is_asked_for_it_again() {
    let mut test = Setup::new().await;
    test.fake.world().looks_until_ready = u32::MAX;
    test.provider.start(&pool(), ONE);
    test.until("a look", |world| world.count("get i-1") > 0)
        .await;
    {
        let mut world = test.fake.world();
        world.instances.clear();
        world.looks_until_ready = 0;
    }
    test.ready().await;
    assert_eq!(test.fake.world().count("start i-1"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_its_provider_does_not_know_any_more_is_gone() {
    let mut test = Setup::new().await;
    test.provider.start(&pool(), ONE);
    test.ready().await;
    test.fake.world().instances.clear();
    test.provider.probe(ONE);
    let GoneReason::Exited(reason) = test.gone().await else {
        panic!("it was not asked to go");
    };
    assert!(reason.contains("knows it no more"), "{reason}");
    assert_eq!(records(test.folder.path()), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_failed_is_ended_and_gone() {
    let mut test = Setup::new().await;
    test.provider.start(&pool(), ONE);
    test.ready().await;
    test.fake
        .world()
        .instances
        .insert("i-1".to_owned(), State::Failed);
    test.provider.probe(ONE);
    assert!(matches!(test.gone().await, GoneReason::Exited(_)));
    assert_eq!(test.fake.world().count("stop i-1"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_there_is_no_reset_the_instance_is_stopped_and_started_anew() {
    let mut test = Setup::new().await;
    test.provider.start(&pool(), ONE);
    test.ready().await;
    test.provider.reset(&pool(), ONE);
    test.ready().await;
    let calls = test.fake.world().calls.clone();
    assert_eq!(calls, ["start i-1", "reset i-1", "stop i-1", "start i-1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_about_another_instance_is_not_taken() {
    let mut test = Setup::new().await;
    test.fake.world().answers_about_another = true;
    test.provider.start(&pool(), ONE);
    let reason = test.failed().await;
    assert!(reason.contains("i-999"), "{reason}");
    test.fake.world().answers_about_another = false;
    assert_eq!(test.gone().await, GoneReason::Stopped);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_nobody_knows_is_swept_and_the_others_stay() {
    let mut test = Setup::new().await;
    test.provider.start(&pool(), InstanceId(78));
    test.ready().await;
    // The last is above all that was started here: another replica has taken over.
    let others = ["i-77", "not one of ours", "i-79"];
    let others = others.map(|id| (id.to_owned(), State::Ready));
    test.fake.world().instances.extend(others);
    test.provider.sweep().await;
    test.until("it is stopped", |world| {
        !world.instances.contains_key("i-77")
    })
    .await;
    assert!(matches!(
        test.next().await,
        ProviderEvent::Gone {
            instance: InstanceId(77),
            ..
        }
    ));
    let left: Vec<_> = test.fake.world().instances.keys().cloned().collect();
    assert_eq!(left, ["i-78", "i-79", "not one of ours"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_run_finds_what_lives_and_what_is_gone_and_ends_what_nobody_knows() {
    let mut test = Setup::new().await;
    let three = InstanceId(3);
    for id in [ONE, TWO, three] {
        test.provider.start(&pool(), id);
        test.ready().await;
    }
    test.provider.close(&[]).await;
    test.fake.world().instances.remove("i-2");

    let (provider, mut events) = open(test.folder.path());
    provider
        .define(pool(), spec(test.listening.address))
        .unwrap();
    assert_eq!(provider.reconcile(&BTreeSet::from([ONE, TWO])), 1);
    let ended = next(&mut events).await;
    assert!(matches!(&ended, ProviderEvent::Gone { instance, .. } if *instance == three));
    provider.verify(&pool(), ONE);
    match next(&mut events).await {
        ProviderEvent::Ready { instance, took, .. } => {
            assert_eq!((instance, took), (ONE, Duration::ZERO));
        }
        other => panic!("not ready but {other:?}"),
    }
    provider.verify(&pool(), TWO);
    assert_eq!(gone(next(&mut events).await), GoneReason::Missing);
    assert_eq!(
        test.fake.world().owners.len(),
        1,
        "it goes by the same name"
    );
    assert_eq!(test.fake.world().count("stop i-1"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_of_a_pool_that_is_not_configured_any_more_is_stopped_where_it_is() {
    let mut test = Setup::new().await;
    test.provider.start(&pool(), ONE);
    test.ready().await;
    test.provider.close(&[]).await;
    let (provider, mut events) = open(test.folder.path());
    provider.stop(ONE);
    assert_eq!(gone(next(&mut events).await), GoneReason::Stopped);
    assert!(test.fake.world().instances.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_without_a_provider_fails_its_start() {
    let mut test = Setup::new().await;
    let other = PoolName::new("other").unwrap();
    test.provider.start(&other, ONE);
    let reason = test.failed().await;
    assert!(reason.contains("other"), "{reason}");
}
