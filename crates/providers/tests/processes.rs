//! The process provider with real processes.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::BTreeSet,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    path::Path,
    time::Duration,
};

use foreshadow_providers::{
    GoneReason, Hold, Limits, ProbeSpec, ProcessProvider, ProcessSpec, Provider, ProviderEvent,
    Readiness, Reset, RunAs,
};
use foreshadow_types::{InstanceId, PoolName};
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};

const PATIENCE: Duration = Duration::from_secs(20);
const ONE: InstanceId = InstanceId(1);

struct Setup {
    provider: ProcessProvider,
    events: mpsc::Receiver<ProviderEvent>,
    folder: tempfile::TempDir,
}

fn pool() -> PoolName {
    PoolName::new("test").unwrap()
}

fn setup(spec: ProcessSpec) -> Setup {
    let folder = tempfile::tempdir().unwrap();
    let (provider, events) = open(folder.path(), spec);
    Setup {
        provider,
        events,
        folder,
    }
}

fn open(folder: &Path, spec: ProcessSpec) -> (ProcessProvider, mpsc::Receiver<ProviderEvent>) {
    let (sender, events) = mpsc::channel(16);
    let provider = ProcessProvider::open(folder, sender).unwrap();
    provider.define(pool(), spec).unwrap();
    (provider, events)
}

fn shell(script: &str) -> ProcessSpec {
    let command = ["sh", "-c", script].map(str::to_owned).to_vec();
    ProcessSpec {
        ready: Readiness::Stdout("ready".to_owned()),
        stop_grace: Duration::from_millis(500),
        ..ProcessSpec::new(command)
    }
}

/// This very program as a small web server, see [`a_web_server_when_started_as_an_instance`].
fn web_server() -> ProcessSpec {
    let program = std::env::current_exe().unwrap();
    let name = "a_web_server_when_started_as_an_instance";
    let command = [program.to_str().unwrap(), "--exact", name, "--nocapture"];
    ProcessSpec {
        ready: Readiness::Http("/".to_owned()),
        ..ProcessSpec::new(command.map(str::to_owned).to_vec())
    }
}

#[tokio::test]
async fn an_instance_has_what_is_configured_and_not_the_environment_of_the_server() {
    assert!(
        std::env::var_os("CARGO_MANIFEST_DIR").is_some(),
        "cargo sets it, and it stands for a secret"
    );
    let mut spec = shell("env > seen; echo ready; exec sleep 600");
    spec.env.insert("GREETING".to_owned(), "hello".to_owned());
    let place = tempfile::tempdir().unwrap();
    spec.working_dir = Some(place.path().to_owned());
    let mut setup = setup(spec);
    setup.provider.start(&pool(), ONE);
    next_address(&mut setup.events).await;
    let seen = std::fs::read_to_string(place.path().join("seen")).unwrap();
    let has = |name: &str| {
        seen.lines()
            .any(|line| line.starts_with(&format!("{name}=")))
    };
    assert!(
        has("PATH") && has("GREETING") && has("FORESHADOW_INSTANCE"),
        "{seen}"
    );
    assert!(!has("CARGO_MANIFEST_DIR"), "{seen}");
    setup.provider.stop(ONE);
}

#[tokio::test]
async fn a_process_has_its_limits_and_its_user() {
    let place = tempfile::tempdir().unwrap();
    let mut spec = shell("(ulimit -n; ulimit -v; id -u) > seen; echo ready; exec sleep 600");
    spec.working_dir = Some(place.path().to_owned());
    spec.limits = Limits {
        open_files: Some(77),
        memory: Some(4 << 30),
        ..Limits::default()
    };
    // Only root may start others as somebody else; everybody may as itself.
    let own = rustix::process::geteuid();
    let uid = if own.is_root() { 65_534 } else { own.as_raw() };
    let gid = rustix::process::getegid().as_raw();
    spec.user = Some(RunAs { uid, gid });
    let open = std::fs::Permissions::from_mode(0o777);
    std::fs::set_permissions(place.path(), open).unwrap();
    let mut setup = setup(spec);
    setup.provider.start(&pool(), ONE);
    next_address(&mut setup.events).await;
    let seen = std::fs::read_to_string(place.path().join("seen")).unwrap();
    assert_eq!(seen, format!("77\n{}\n{uid}\n", 4 << 20));
    setup.provider.stop(ONE);
}

#[test]
fn a_web_server_when_started_as_an_instance() {
    let Ok(port) = std::env::var("FORESHADOW_PORT") else {
        return;
    };
    let answers: usize = std::env::var("ANSWERS").map_or(usize::MAX, |n| n.parse().unwrap());
    let listener = TcpListener::bind(("127.0.0.1", port.parse().unwrap())).unwrap();
    let mut kept = Vec::new();
    for (number, stream) in listener.incoming().enumerate() {
        let mut stream = stream.unwrap();
        if number < answers {
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        } else {
            kept.push(stream);
        }
    }
}

async fn next(events: &mut mpsc::Receiver<ProviderEvent>) -> ProviderEvent {
    timeout(PATIENCE, events.recv()).await.unwrap().unwrap()
}

async fn next_address(events: &mut mpsc::Receiver<ProviderEvent>) -> String {
    match next(events).await {
        ProviderEvent::Ready { address, .. } => address,
        other => panic!("not ready but {other:?}"),
    }
}

fn ask(address: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_millis(300)))?;
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n")?;
    let mut answer = [0; 64];
    let read = stream.read(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer[..read]).into_owned())
}

/// State letters of all living processes that were started from this folder.
fn states(folder: &Path) -> Vec<char> {
    let home = format!(
        "FORESHADOW_HOME={}",
        folder.canonicalize().unwrap().display()
    );
    let mut states = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap() {
        let path = entry.unwrap().path();
        let ours = std::fs::read(path.join("environ"))
            .is_ok_and(|text| text.split(|b| *b == 0).any(|line| line == home.as_bytes()));
        if let (true, Ok(stat)) = (ours, std::fs::read_to_string(path.join("stat"))) {
            let state = stat[stat.rfind(')').unwrap() + 2..].chars().next().unwrap();
            states.extend((state != 'Z').then_some(state));
        }
    }
    states
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let wait = async {
        while !holds() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(timeout(PATIENCE, wait).await.is_ok(), "{what}");
}

fn gone(event: &ProviderEvent) -> Option<&GoneReason> {
    match event {
        ProviderEvent::Gone { reason, .. } => Some(reason),
        ProviderEvent::Ready { .. }
        | ProviderEvent::Given { .. }
        | ProviderEvent::Failed { .. } => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_is_ready_when_it_says_so_and_nothing_is_left_after_its_stop() {
    let mut test = setup(shell(
        "echo starting; sleep 0.1; echo now ready; sleep 60 & wait",
    ));
    test.provider.start(&pool(), ONE);
    next_address(&mut test.events).await;
    assert_eq!(
        states(test.folder.path()).len(),
        2,
        "the shell and its child"
    );
    test.provider.stop(ONE);
    assert_eq!(
        gone(&next(&mut test.events).await),
        Some(&GoneReason::Stopped)
    );
    until("processes are left", || {
        states(test.folder.path()).is_empty()
    })
    .await;
    assert_eq!(std::fs::read_dir(test.folder.path()).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_fails_says_why() {
    let mut test = setup(shell("echo no licence found >&2; exit 3"));
    test.provider.start(&pool(), ONE);
    let ProviderEvent::Failed { reason, .. } = next(&mut test.events).await else {
        panic!("did not fail");
    };
    assert!(reason.contains("exit code 3"), "{reason}");
    assert!(reason.contains("no licence found"), "{reason}");

    let mut test = setup(ProcessSpec::new(vec!["/no/such/program".to_owned()]));
    test.provider.start(&pool(), ONE);
    let ProviderEvent::Failed { reason, .. } = next(&mut test.events).await else {
        panic!("did not fail");
    };
    assert!(reason.contains("/no/such/program"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_takes_too_long_is_ended_although_it_ignores_the_request() {
    let mut test = setup(ProcessSpec {
        start_timeout: Duration::from_millis(200),
        stop_grace: Duration::from_millis(100),
        ..shell("trap '' TERM; while true; do sleep 60; done")
    });
    test.provider.start(&pool(), ONE);
    let ProviderEvent::Failed { reason, .. } = next(&mut test.events).await else {
        panic!("did not fail");
    };
    assert!(reason.contains("not ready within 200ms"), "{reason}");
    until("processes are left", || {
        states(test.folder.path()).is_empty()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_process_is_frozen_and_answers_once_thawed() {
    let mut test = setup(ProcessSpec {
        hold: Hold::Freeze,
        ..web_server()
    });
    test.provider.start(&pool(), ONE);
    let address = next_address(&mut test.events).await;
    test.provider.hold(ONE);
    until("not frozen", || states(test.folder.path()) == ['T']).await;
    assert!(ask(&address).is_err(), "a frozen process answered");

    test.provider.probe(ONE);
    sleep(Duration::from_millis(100)).await;
    until("not frozen after a probe", || {
        states(test.folder.path()) == ['T']
    })
    .await;

    test.provider.thaw(ONE, None);
    until("not thawed", || states(test.folder.path()) != ['T']).await;
    assert!(ask(&address).unwrap().starts_with("HTTP/1.1 200"));

    test.provider.hold(ONE);
    until("not frozen again", || states(test.folder.path()) == ['T']).await;
    test.provider.stop(ONE);
    assert_eq!(
        gone(&next(&mut test.events).await),
        Some(&GoneReason::Stopped)
    );
    until("processes are left", || {
        states(test.folder.path()).is_empty()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_process_is_reported_and_its_children_end_with_it() {
    let mut test = setup(shell("sleep 60 & echo ready; sleep 0.1; exit 7"));
    test.provider.start(&pool(), ONE);
    next_address(&mut test.events).await;
    let reason = GoneReason::Exited("exit code 7".to_owned());
    assert_eq!(gone(&next(&mut test.events).await), Some(&reason));
    until("children are left", || {
        states(test.folder.path()).is_empty()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_stops_answering_is_stuck_and_killed() {
    let mut spec = web_server();
    spec.env.insert("ANSWERS".to_owned(), "1".to_owned());
    spec.probe = ProbeSpec {
        interval: Duration::from_millis(100),
        timeout: Duration::from_millis(100),
        failures: 2,
    };
    let mut test = setup(spec);
    test.provider.start(&pool(), ONE);
    next_address(&mut test.events).await;
    assert_eq!(
        gone(&next(&mut test.events).await),
        Some(&GoneReason::Stuck)
    );
    until("it is left", || states(test.folder.path()).is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_gives_a_new_process_under_the_same_id() {
    let mut test = setup(shell("echo ready $$; sleep 60"));
    test.provider.start(&pool(), ONE);
    next_address(&mut test.events).await;
    let output = test.folder.path().join("i-1.out");
    let before = std::fs::read_to_string(&output).unwrap();
    test.provider.reset(&pool(), ONE);
    next_address(&mut test.events).await;
    assert_ne!(std::fs::read_to_string(&output).unwrap(), before);
    test.provider.close(&[ONE]).await;
    until("processes are left", || {
        states(test.folder.path()).is_empty()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_by_a_command_keeps_the_process_and_a_failed_one_replaces_it() {
    let mut spec = shell("echo ready $$; sleep 60");
    let marks = tempfile::tempdir().unwrap();
    let (mark, refuse) = (marks.path().join("{instance}"), marks.path().join("refuse"));
    let clean = format!("test ! -e {} && touch {}", refuse.display(), mark.display());
    spec.reset = Reset::Command(["sh", "-c", &clean].map(str::to_owned).to_vec());
    let mut test = setup(spec);
    test.provider.start(&pool(), ONE);
    next_address(&mut test.events).await;
    let output = test.folder.path().join("i-1.out");
    let before = std::fs::read_to_string(&output).unwrap();
    test.provider.reset(&pool(), ONE);
    next_address(&mut test.events).await;
    assert!(marks.path().join("i-1").exists(), "the command was run");
    assert_eq!(std::fs::read_to_string(&output).unwrap(), before);
    std::fs::write(&refuse, "").unwrap();
    test.provider.reset(&pool(), ONE);
    next_address(&mut test.events).await;
    assert_ne!(std::fs::read_to_string(&output).unwrap(), before);
    test.provider.close(&[ONE]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_run_adopts_what_is_known_and_kills_what_is_not() {
    let mut test = setup(web_server());
    let strangers: Vec<InstanceId> = (2..4).map(InstanceId).collect();
    test.provider.start(&pool(), ONE);
    let address = next_address(&mut test.events).await;
    for &stranger in &strangers {
        test.provider.start(&pool(), stranger);
        next_address(&mut test.events).await;
    }
    drop(test.provider);
    sleep(Duration::from_millis(50)).await;
    assert_eq!(
        states(test.folder.path()).len(),
        3,
        "they outlive the provider"
    );

    let (provider, mut events) = open(test.folder.path(), web_server());
    let report = provider
        .reconcile(&BTreeSet::from([ONE, InstanceId(9)]))
        .unwrap();
    assert_eq!((report.kept, report.killed), (1, 2));
    provider.verify(&pool(), ONE);
    assert_eq!(next_address(&mut events).await, address);
    assert!(ask(&address).is_ok());
    provider.verify(&pool(), InstanceId(9));
    assert_eq!(gone(&next(&mut events).await), Some(&GoneReason::Missing));

    provider.hold(ONE);
    until("the adopted one is not frozen", || {
        states(test.folder.path()) == ['T']
    })
    .await;
    provider.stop(ONE);
    assert_eq!(gone(&next(&mut events).await), Some(&GoneReason::Stopped));
    until("processes are left", || {
        states(test.folder.path()).is_empty()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_the_records_takes_no_process_of_the_original() {
    let mut test = setup(web_server());
    test.provider.start(&pool(), ONE);
    let address = next_address(&mut test.events).await;
    let copy = tempfile::tempdir().unwrap();
    let record = format!("{ONE}.json");
    std::fs::copy(test.folder.path().join(&record), copy.path().join(&record)).unwrap();

    let (provider, mut events) = open(copy.path(), web_server());
    let report = provider.reconcile(&BTreeSet::from([ONE])).unwrap();
    assert_eq!((report.kept, report.killed), (0, 0));
    provider.verify(&pool(), ONE);
    assert_eq!(gone(&next(&mut events).await), Some(&GoneReason::Missing));
    assert!(ask(&address).is_ok(), "the original's goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_of_an_instance_that_is_not_there_is_answered() {
    let mut test = setup(shell("true"));
    test.provider.stop(ONE);
    assert_eq!(
        gone(&next(&mut test.events).await),
        Some(&GoneReason::Stopped)
    );
}
