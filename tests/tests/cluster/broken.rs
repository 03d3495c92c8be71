//! A call that is with a replica when it is lost is told when to come again.

use std::time::Duration;

use foreshadow_api::v1::{
    AllocateRequest, allocate_request::Target, allocations_client::AllocationsClient,
};
use foreshadow_tests::{Marked, http, http_with, until_async};
use serde_json::json;
use tokio::time::sleep;
use tonic::Code;

use crate::{
    replicas::{POOLS, pool, shard_of},
    trial::Trial,
};

/// How long calls take to come to where they wait: longer than they need, and shorter than a shard is
/// owned without renewal.
const UNDER_WAY: Duration = Duration::from_millis(500);

/// A pool whose shard the first replica does not have, and who has it.
fn pool_elsewhere(trial: &Trial) -> (String, usize) {
    let owner = |pool: &str| {
        let shard = shard_of(pool);
        let asked = format!("SELECT owner FROM foreshadow.shards WHERE shard = {shard}");
        let owner = trial.postgres.psql(&trial.database, &asked);
        let at = trial.replicas.iter().position(|one| one.name == owner);
        at.expect("the shard has an owner")
    };
    let mut owned = (0..POOLS).map(pool).map(|pool| {
        let owner = owner(&pool);
        (pool, owner)
    });
    let elsewhere = owned.find(|(_, owner)| *owner != 0);
    elsewhere.expect("others have shards")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_was_with_a_lost_replica_is_told_when_to_come_again() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let instances = Marked::sleepers(92);
    let Some(mut trial) = Trial::start(folder.path(), &instances) else {
        return;
    };
    trial.spread().await;
    let (pool, owner) = pool_elsewhere(&trial);
    let address = trial.address(0);
    let wanted = |wait: &str| {
        let wanted =
            json!({"tenantId": "acme", "pool": pool, "leaseDuration": "3600s", "maxWait": wait});
        wanted.to_string()
    };
    until_async("a lease from the replica that has the shard", async || {
        let (status, _) = http(&address, "POST", "/api/v1/allocations", &wanted("0s"));
        (status == 200).then_some(())
    })
    .await;

    // Calls that come now are with a replica that does not answer, and then is no more.
    trial.replicas[owner].signal("-STOP");
    let (at, body) = (address.clone(), wanted("1s"));
    let over_http = tokio::task::spawn_blocking(move || {
        http_with(&at, "POST", "/api/v1/allocations", &[], &body)
    });
    let client = AllocationsClient::connect(format!("http://{address}"));
    let mut client = client.await.expect("the replica listens");
    let request = AllocateRequest {
        tenant_id: "acme".to_owned(),
        target: Some(Target::Pool(pool.clone())),
        ..AllocateRequest::default()
    };
    let over_grpc = tokio::spawn(async move { client.allocate(request).await });
    sleep(UNDER_WAY).await;
    trial.replicas[owner].kill();

    let answer = over_http.await.expect("it is answered");
    assert_eq!(answer.status, 503, "{answer:?}");
    assert_eq!(answer.header("retry-after"), Some("1"), "{answer:?}");
    let status = over_grpc.await.expect("it is answered");
    let status = status.expect_err("nobody has granted it");
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    let details = String::from_utf8_lossy(status.details()).into_owned();
    assert!(details.contains("google.rpc.RetryInfo"), "{status:?}");
}
