//! Leases and processes, through restarts and crashes.

use std::{collections::BTreeSet, time::Duration};

use crate::common::{self, ask, config, states, until, until_ready, web_request};
use foreshadow_engine::{Engine, config::OnShutdown};
use foreshadow_engine::{
    EngineError,
    allocator::{AllocationState, AllocatorError},
};
use foreshadow_types::{AllocationId, FencingToken, InstanceCount};
use tokio_stream::StreamExt;

#[tokio::test(flavor = "multi_thread")]
async fn a_warm_instance_is_granted_at_once_and_answers() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::start(config(folder.path())).await.unwrap();
    until_ready(&engine, 2).await;
    until("not frozen while warm", || {
        states(folder.path()) == ['T', 'T']
    })
    .await;

    let granted = engine.allocate(web_request("ada")).await.unwrap();
    assert_eq!(granted.state, AllocationState::Granted);
    assert!(granted.warm);
    let address = granted.instance.as_ref().unwrap().address.clone().unwrap();
    assert!(ask(&address).contains("200 OK"));

    let token = granted.fencing_token.unwrap();
    let stale = engine.release(granted.id, FencingToken(token.0 + 1)).await;
    assert!(matches!(
        stale,
        Err(EngineError::Allocator(AllocatorError::StaleToken { .. }))
    ));
    let released = engine.release(granted.id, token).await.unwrap();
    assert_eq!(released.state, AllocationState::Released);
    until_ready(&engine, 2).await;
    engine.shutdown_with(OnShutdown::StopAll).await.unwrap();
    until("processes are left", || states(folder.path()).is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_process_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::start(config(folder.path())).await.unwrap();
    until_ready(&engine, 2).await;
    let before = common::pids(folder.path());
    common::kill(before[0]);
    until("not replaced", || {
        let now = common::pids(folder.path());
        now.len() == 2 && !now.contains(&before[0])
    })
    .await;
    until_ready(&engine, 2).await;
    engine.shutdown_with(OnShutdown::StopAll).await.unwrap();
    until("processes are left", || states(folder.path()).is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_keeps_leases_and_processes() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::start(config(folder.path())).await.unwrap();
    until_ready(&engine, 2).await;
    let granted = engine.allocate(web_request("ada")).await.unwrap();
    until_ready(&engine, 2).await;
    let before: BTreeSet<i32> = common::pids(folder.path()).into_iter().collect();
    engine.shutdown_with(OnShutdown::Keep).await.unwrap();
    drop(engine);
    assert_eq!(before, common::pids(folder.path()).into_iter().collect());

    let engine = Engine::start(config(folder.path())).await.unwrap();
    let kept = engine.get(granted.id).await.unwrap();
    assert_eq!(kept.state, AllocationState::Granted);
    assert_eq!(kept.fencing_token, granted.fencing_token);
    let address = kept.instance.unwrap().address.unwrap();
    assert!(ask(&address).contains("200 OK"));
    until_ready(&engine, 2).await;
    assert_eq!(before, common::pids(folder.path()).into_iter().collect());
    engine.shutdown_with(OnShutdown::StopAll).await.unwrap();
    until("processes are left", || states(folder.path()).is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_loses_no_lease_and_no_process() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = common::start_server(folder.path());
    let id = common::lease_of(&mut server);
    until("the pool is not full", || {
        common::pids(folder.path()).len() == 3
    })
    .await;
    let before: BTreeSet<i32> = common::pids(folder.path()).into_iter().collect();
    server.kill().unwrap();
    server.wait().unwrap();
    assert_eq!(before, common::pids(folder.path()).into_iter().collect());

    let engine = Engine::start(config(folder.path())).await.unwrap();
    let kept = engine.get(AllocationId(id)).await.unwrap();
    assert_eq!(kept.state, AllocationState::Granted);
    assert!(ask(&kept.instance.unwrap().address.unwrap()).contains("200 OK"));
    until_ready(&engine, 2).await;
    assert_eq!(before, common::pids(folder.path()).into_iter().collect());
    engine.shutdown_with(OnShutdown::StopAll).await.unwrap();
    until("processes are left", || states(folder.path()).is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queued_request_is_granted_when_an_instance_is_free() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path());
    config.pools[0].spec.min = InstanceCount(1);
    config.pools[0].spec.max = InstanceCount(1);
    let engine = Engine::start(config).await.unwrap();
    until_ready(&engine, 1).await;
    let first = engine.allocate(web_request("ada")).await.unwrap();
    let second = engine.allocate(web_request("bob")).await.unwrap();
    assert_eq!(second.state, AllocationState::Queued);
    assert_eq!(second.queue_position, Some(1));
    let mut watch = engine.watch(second.id).await.unwrap();
    assert_eq!(watch.next().await.unwrap().state, AllocationState::Queued);
    let token = first.fencing_token.unwrap();
    engine.release(first.id, token).await.unwrap();
    let granted = async {
        loop {
            let state = watch.next().await.unwrap().state;
            if state == AllocationState::Granted {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), granted)
        .await
        .unwrap();
    engine.shutdown_with(OnShutdown::StopAll).await.unwrap();
    until("processes are left", || states(folder.path()).is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_watches_a_request_in_the_queue_is_told_when_others_leave_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path());
    config.pools[0].spec.min = InstanceCount(1);
    config.pools[0].spec.max = InstanceCount(1);
    let engine = Engine::start(config).await.unwrap();
    until_ready(&engine, 1).await;
    engine.allocate(web_request("ada")).await.unwrap();
    let second = engine.allocate(web_request("bob")).await.unwrap();
    let third = engine.allocate(web_request("cyd")).await.unwrap();
    let mut watch = engine.watch(third.id).await.unwrap();
    let told = watch.next().await.unwrap();
    assert_eq!(told.queue_position, Some(2));
    engine.cancel(second.id).await.unwrap();
    let moved = async {
        loop {
            let told = watch.next().await.unwrap();
            assert_eq!(told.state, AllocationState::Queued);
            if told.queue_position == Some(1) {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), moved)
        .await
        .unwrap();
    engine.shutdown_with(OnShutdown::StopAll).await.unwrap();
    until("processes are left", || states(folder.path()).is_empty()).await;
}
