//! What tests over gRPC share.

#![allow(dead_code, reason = "each test binary uses a part of this")]

use std::{
    path::Path,
    time::{Duration, Instant},
};

use foreshadow_api::{
    v1::{
        AllocateRequest, Allocation, ReleaseRequest, WatchRequest, allocate_request::Target,
        allocation::State, allocations_client::AllocationsClient,
    },
    well_known,
};
use foreshadow_tests::{Server, processes_with};
use tokio::time::sleep;
use tonic::transport::Channel;

/// How long a test waits for what must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) async fn channel(server: &Server) -> Channel {
    Channel::from_shared(format!("http://{}", server.address()))
        .expect("the address is one")
        .connect()
        .await
        .expect("the server listens")
}

pub(crate) fn ask(pool: &str) -> AllocateRequest {
    AllocateRequest {
        tenant_id: "acme".to_owned(),
        user_id: "ada".to_owned(),
        application_id: "notebook".to_owned(),
        target: Some(Target::Pool(pool.to_owned())),
        lease_duration: Some(well_known::Duration {
            seconds: 600,
            nanos: 0,
        }),
        ..AllocateRequest::default()
    }
}

/// Asks until an instance is warm: a fresh server is still starting its first ones.
pub(crate) async fn warm(client: &mut AllocationsClient<Channel>, pool: &str) -> Allocation {
    let since = Instant::now();
    loop {
        let answer = client
            .allocate(ask(pool))
            .await
            .expect("the pool exists")
            .into_inner();
        if answer.state() == State::Granted && answer.warm {
            return answer;
        }
        let granted = granted(client, answer).await;
        release(client, &granted).await;
        assert!(since.elapsed() < PATIENCE, "no instance was warm");
        sleep(Duration::from_millis(200)).await;
    }
}

pub(crate) async fn granted(
    client: &mut AllocationsClient<Channel>,
    first: Allocation,
) -> Allocation {
    if first.state() == State::Granted {
        return first;
    }
    let watch = WatchRequest {
        allocation_id: first.allocation_id,
    };
    let mut changes = client
        .watch(watch)
        .await
        .expect("the allocation exists")
        .into_inner();
    loop {
        let change = changes
            .message()
            .await
            .expect("the watch goes on")
            .expect("it is granted");
        if change.state() == State::Granted {
            return change;
        }
    }
}

pub(crate) async fn release(client: &mut AllocationsClient<Channel>, held: &Allocation) {
    let request = ReleaseRequest {
        allocation_id: held.allocation_id.clone(),
        fencing_token: held.fencing_token,
    };
    client.release(request).await.expect("the lease is held");
}

pub(crate) fn address(allocation: &Allocation) -> String {
    allocation
        .instance
        .clone()
        .expect("a granted allocation has an instance")
        .address
}

pub(crate) async fn no_process_is_left(marker: &str, folder: &Path) {
    let since = Instant::now();
    loop {
        let left = processes_with(marker);
        if left.is_empty() {
            return;
        }
        assert!(
            since.elapsed() < PATIENCE,
            "{left:?} of {} are left",
            folder.display()
        );
        sleep(Duration::from_millis(100)).await;
    }
}
