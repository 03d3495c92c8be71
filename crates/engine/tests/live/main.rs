//! The whole engine with real processes.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
mod history;
mod leases;
mod models;
mod planning;

use foreshadow_engine::Engine;

/// Not a test of its own: what the pools of the others start.
#[test]
fn a_web_server_when_started_as_an_instance() {
    common::serve_if_started_as_an_instance();
}

/// Not a test of its own: the server that is killed in another.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_when_started_as_one() {
    let Ok(folder) = std::env::var("ENGINE_TEST_FOLDER") else {
        return;
    };
    let engine = Engine::start(common::config(folder.as_ref()))
        .await
        .unwrap();
    common::until_ready(&engine, 2).await;
    let granted = engine.allocate(common::web_request("ada")).await.unwrap();
    println!("\nleased {}", granted.id.0);
    std::future::pending::<()>().await;
}
