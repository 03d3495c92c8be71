//! A copy of a data folder in use is one that a server starts from.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use foreshadow_api::v1::{
    AllocateRequest, Allocation, ListRequest, allocate_request::Target,
    allocations_client::AllocationsClient,
};
use foreshadow_tests::{Server, notebook_pool, skip};
use tempfile::TempDir;
use tonic::transport::Channel;

fn backup(data: &Path, destination: &Path) -> Output {
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../packaging/backup");
    Command::new(script)
        .args([data, destination])
        .output()
        .expect("the script can be run")
}

fn can_copy() -> bool {
    let found = Command::new("sqlite3").arg("--version").output().is_ok();
    if !found {
        skip("sqlite3 not found; install Debian's sqlite3");
    }
    found
}

async fn client(server: &Server) -> AllocationsClient<Channel> {
    AllocationsClient::connect(format!("http://{}", server.address()))
        .await
        .expect("the server listens")
}

async fn held(server: &Server) -> Vec<Allocation> {
    let listed = client(server).await.list(ListRequest::default()).await;
    let mut allocations = listed.expect("a list").into_inner().allocations;
    allocations.sort_by(|a, b| a.allocation_id.cmp(&b.allocation_id));
    allocations
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_made_while_serving_has_every_acknowledged_allocation() {
    if !can_copy() {
        return;
    }
    let folder = TempDir::new().expect("a folder can be made");
    let (data, copy) = (folder.path().join("data"), folder.path().join("copy"));
    let config = notebook_pool(0, 2, 6);
    let server = Server::start(&config, &data);
    let mut asking = client(&server).await;
    for user in ["ada", "bob", "eve"] {
        let request = AllocateRequest {
            tenant_id: "acme".to_owned(),
            user_id: user.to_owned(),
            application_id: "notebook".to_owned(),
            target: Some(Target::Pool("notebook".to_owned())),
            ..AllocateRequest::default()
        };
        asking.allocate(request).await.expect("the pool exists");
    }
    let copied = backup(&data, &copy);
    assert!(copied.status.success(), "{copied:?}");
    let before = held(&server).await;
    server.stop();

    let restored = Server::start(&config, &copy);
    let after = held(&restored).await;
    let names = |all: &[Allocation]| -> Vec<String> {
        all.iter().map(|one| one.allocation_id.clone()).collect()
    };
    assert_eq!(names(&before).len(), 3);
    assert_eq!(names(&after), names(&before));
    restored.stop();
}

#[test]
fn a_destination_that_is_there_and_a_folder_without_a_ledger_are_refused() {
    let folder = TempDir::new().expect("a folder can be made");
    let nothing = backup(folder.path(), &folder.path().join("copy"));
    assert_eq!(nothing.status.code(), Some(2), "{nothing:?}");
    std::fs::write(folder.path().join("ledger.sqlite"), "").expect("a file can be written");
    let taken = backup(folder.path(), folder.path());
    assert_eq!(taken.status.code(), Some(2), "{taken:?}");
    let said = String::from_utf8_lossy(&taken.stderr);
    assert!(said.contains("is there already"), "{said}");
}

/// Everything that a data folder may hold beside its databases and the history.
const KEPT: [&str; 10] = [
    "kubernetes/owner",
    "kubernetes/i-1.json",
    "external/owner",
    "external/i-2.json",
    "fallback/i-3.json",
    "instances/i-4.json",
    "models/current",
    "models/m-1/manifest.json",
    "history/usage/2026-11-27.parquet",
    "something/of/a/later release",
];

#[test]
fn a_copy_has_all_that_a_folder_holds_and_nothing_of_the_moment() {
    if !can_copy() {
        return;
    }
    let folder = TempDir::new().expect("a folder can be made");
    let (data, copy) = (folder.path().join("data"), folder.path().join("copy"));
    let of_the_moment = [
        "foreshadow.lock",
        "kubernetes/owner.partial",
        "instances/i-4.out",
    ];
    for name in KEPT.iter().chain(&of_the_moment) {
        let path = data.join(name);
        std::fs::create_dir_all(path.parent().expect("it has one")).expect("it can be made");
        std::fs::write(path, name).expect("a file can be written");
    }
    let ledger = data.join("ledger.sqlite");
    let made = Command::new("sqlite3")
        .args([&*ledger.to_string_lossy(), "CREATE TABLE a (b)"])
        .status();
    assert!(made.expect("it runs").success());
    let copied = backup(&data, &copy);
    assert!(copied.status.success(), "{copied:?}");
    for name in KEPT {
        let found = std::fs::read_to_string(copy.join(name));
        assert_eq!(found.ok().as_deref(), Some(name), "{name}");
    }
    for name in of_the_moment {
        assert!(!copy.join(name).exists(), "{name}");
    }
    assert!(copy.join("ledger.sqlite").exists());
}

/// Data of the last release with format 1; `crates/ledger/tests/upgrade.rs` says what is in it.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_takes_over_what_an_earlier_release_wrote() {
    let folder = TempDir::new().expect("a folder can be made");
    let data = folder.path().join("data");
    std::fs::create_dir(&data).expect("a folder can be made");
    let former =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../crates/ledger/tests/data/format-1");
    for name in ["ledger.sqlite", "plans.sqlite", "audit.sqlite"] {
        std::fs::copy(former.join(name), data.join(name)).expect("a file can be copied");
    }
    let server = Server::start(&notebook_pool(0, 2, 6), &data);
    let all = held(&server).await;
    let users: Vec<&str> = all.iter().map(|one| one.user_id.as_str()).collect();
    assert_eq!(users, ["ada", "bob", "eve", "dan", "mia", "kim", "lea"]);
    let pool = Some(Target::Pool("notebook".to_owned()));
    let request = AllocateRequest {
        tenant_id: "acme".to_owned(),
        user_id: "zoe".to_owned(),
        target: pool,
        ..AllocateRequest::default()
    };
    let asked = client(&server).await.allocate(request).await;
    let asked = asked.expect("the pool exists").into_inner();
    assert_eq!(asked.allocation_id, "a-8", "ids go on");
    server.stop();
}
