//! What the tests share: a small pool of web servers that are this very program.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use foreshadow_engine::{
    EngineHandle,
    allocator::{AllocationRequest, Target},
    config::{EngineConfig, PoolConfig},
};
use foreshadow_providers::{Hold, ProcessSpec, Readiness};
use foreshadow_types::{InstanceCount, PoolName, TenantId, UserId};
use tokio::time::{sleep, timeout};

const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn pool() -> PoolName {
    PoolName::new("web").unwrap()
}

/// One pool of two warm web servers, frozen while they wait.
pub(crate) fn config(folder: &Path) -> EngineConfig {
    let program = std::env::current_exe().unwrap();
    let name = "a_web_server_when_started_as_an_instance";
    let command = [program.to_str().unwrap(), "--exact", name, "--nocapture"];
    let process = ProcessSpec {
        ready: Readiness::Http("/".to_owned()),
        hold: Hold::Freeze,
        stop_grace: Duration::from_secs(2),
        ..ProcessSpec::new(command.map(str::to_owned).to_vec())
    };
    let mut pool = PoolConfig::new(pool(), process, 4);
    pool.spec.min = InstanceCount(2);
    pool.spec.lease_duration = Duration::from_mins(10);
    let mut config = EngineConfig::new(folder);
    config.pools = vec![pool];
    config.shadow.tick = Duration::from_millis(200);
    config.shadow.horizon = Duration::from_secs(20);
    config
}

pub(crate) fn serve_if_started_as_an_instance() {
    let Ok(port) = std::env::var("FORESHADOW_PORT") else {
        return;
    };
    let listener = TcpListener::bind(("127.0.0.1", port.parse().unwrap())).unwrap();
    for stream in listener.incoming() {
        let mut stream = stream.unwrap();
        let _ = stream.read(&mut [0; 1024]);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    }
}

pub(crate) fn web_request(user: &str) -> AllocationRequest {
    AllocationRequest::builder(TenantId::new("acme").unwrap(), Target::Pool(pool()))
        .user(UserId::new(user).unwrap())
        .build()
        .unwrap()
}

pub(crate) fn ask(address: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer
}

pub(crate) async fn until(what: &str, holds: impl Fn() -> bool) {
    let wait = async {
        while !holds() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(timeout(PATIENCE, wait).await.is_ok(), "{what}");
}

pub(crate) async fn until_ready(engine: &EngineHandle, count: u32) {
    let wait = async {
        while engine.pools().await.unwrap()[0].status.ready != count {
            sleep(Duration::from_millis(5)).await;
        }
    };
    let ready = timeout(PATIENCE, wait).await;
    assert!(ready.is_ok(), "not ready: {:?}", engine.pools().await);
}

/// The state letter and the id of each living process that was started from this folder.
fn processes(folder: &Path) -> Vec<(char, i32)> {
    let home = folder.join("instances");
    let Ok(home) = home.canonicalize() else {
        return Vec::new();
    };
    let home = format!("FORESHADOW_HOME={}", home.display());
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap() {
        let path = entry.unwrap().path();
        let ours = std::fs::read(path.join("environ"))
            .is_ok_and(|text| text.split(|b| *b == 0).any(|line| line == home.as_bytes()));
        if let (true, Ok(stat)) = (ours, std::fs::read_to_string(path.join("stat"))) {
            let state = stat[stat.rfind(')').unwrap() + 2..].chars().next().unwrap();
            let pid = path.file_name().unwrap().to_str().unwrap().parse().unwrap();
            found.extend((state != 'Z').then_some((state, pid)));
        }
    }
    found
}

pub(crate) fn states(folder: &Path) -> Vec<char> {
    processes(folder)
        .into_iter()
        .map(|(state, _)| state)
        .collect()
}

pub(crate) fn pids(folder: &Path) -> Vec<i32> {
    processes(folder).into_iter().map(|(_, pid)| pid).collect()
}

pub(crate) fn kill(pid: i32) {
    let killed = Command::new("kill").args(["-9", &pid.to_string()]).status();
    assert!(killed.unwrap().success());
}

/// An engine in a process of its own, to be killed.
pub(crate) fn start_server(folder: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_server_when_started_as_one", "--nocapture"])
        .env("ENGINE_TEST_FOLDER", folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// The allocation that the server says it has granted.
pub(crate) fn lease_of(server: &mut Child) -> u64 {
    let lines = BufReader::new(server.stdout.as_mut().unwrap()).lines();
    for line in lines {
        if let Some(id) = line.unwrap().strip_prefix("leased ") {
            return id.parse().unwrap();
        }
    }
    panic!("the server ended without a lease");
}
