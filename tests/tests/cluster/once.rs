//! What is asked twice, or in two ways, or half done, comes out once.

use foreshadow_api::v1::{
    AllocateRequest, AllocateStreamRequest, Allocation, Point, ReportRequest, Requirements, Series,
    allocate_request::Target, allocate_result, allocations_client::AllocationsClient, series,
    telemetry_client::TelemetryClient,
};
use foreshadow_tests::{Marked, http_with};
use serde_json::{Value, json};
use tokio_stream::once;
use tonic::{Code, transport::Channel};

use crate::{
    load::until_all_pools_grant,
    replicas::{POOLS, SHARDS, pool, shard_of},
    trial::Trial,
};

async fn channel(trial: &Trial, replica: usize) -> Channel {
    let address = trial.address(replica);
    let endpoint = Channel::from_shared(format!("http://{address}")).expect("the address is one");
    endpoint.connect().await.expect("the replica listens")
}

/// A claim of whatever has this number, under a key.
fn claim(number: usize, key: &str) -> AllocateRequest {
    let labels = [("number".to_owned(), number.to_string())];
    AllocateRequest {
        tenant_id: "acme".to_owned(),
        target: Some(Target::Requirements(Requirements {
            labels: labels.into(),
            ..Requirements::default()
        })),
        idempotency_key: key.to_owned(),
        ..AllocateRequest::default()
    }
}

async fn streamed(client: &mut AllocationsClient<Channel>, request: AllocateRequest) -> Allocation {
    let batch = AllocateStreamRequest {
        requests: vec![request],
        releases: Vec::new(),
    };
    let answers = client.allocate_stream(once(batch)).await;
    let mut answers = answers.expect("the stream opens").into_inner();
    let answer = answers.message().await.expect("it goes on");
    let mut results = answer.expect("an answer").results;
    match results.pop().and_then(|result| result.result) {
        Some(allocate_result::Result::Allocation(lease)) => lease,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_one_request_by_whichever_way_it_comes() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let instances = Marked::sleepers(83);
    let Some(trial) = Trial::start(folder.path(), &instances) else {
        return;
    };
    trial.spread().await;
    until_all_pools_grant(&trial.address(0), 0).await;
    for number in 0..POOLS {
        let key = format!("key-{number}");
        let mut clients = [0, 1, 2].map(|replica| (replica, None::<AllocationsClient<Channel>>));
        let mut leases = Vec::new();
        for (replica, client) in &mut clients {
            let client = client.insert(AllocationsClient::new(channel(&trial, *replica).await));
            let unary = client.allocate(claim(number, &key)).await;
            leases.push(unary.expect("it fits somewhere").into_inner());
            leases.push(streamed(client, claim(number, &key)).await);
            let other = AllocateRequest {
                user_id: "somebody else".to_owned(),
                ..claim(number, &key)
            };
            let refused = client.allocate(other).await.expect_err("another body");
            assert_eq!(refused.code(), Code::AlreadyExists);
        }
        assert!(
            leases.iter().all(|one| one.pool == pool(number)),
            "{leases:?}"
        );
        let first = &leases[0].allocation_id;
        assert!(
            leases.iter().all(|one| one.allocation_id == *first),
            "{leases:?}"
        );
        let body = json!({"tenantId": "acme", "userId": "somebody else", "idempotencyKey": key,
                          "requirements": {"labels": {"number": number.to_string()}}});
        let answer = post(&trial, number, "/api/v1/allocations", &body, &[]);
        assert_eq!(answer.0, 409, "{}", answer.1);
    }
    telemetry_counts_once(&trial).await;
    a_half_made_change_can_be_made_again(&trial);
    an_override_is_in_one_place(&trial);
}

fn post(
    trial: &Trial,
    turn: usize,
    path: &str,
    body: &Value,
    headers: &[(&str, &str)],
) -> (u16, Value) {
    let address = trial.address(turn % 3);
    let answer = http_with(&address, "POST", path, headers, &body.to_string());
    let body = serde_json::from_str(&answer.body).unwrap_or_default();
    (answer.status, body)
}

fn get(trial: &Trial, turn: usize, path: &str) -> Value {
    let answer = http_with(&trial.address(turn % 3), "GET", path, &[], "");
    assert_eq!(answer.status, 200, "{}", answer.body);
    serde_json::from_str(&answer.body).unwrap_or_default()
}

/// Rules in every shard follow one user; each of its samples counts once all the same.
async fn telemetry_counts_once(trial: &Trial) {
    let mut config = get(trial, 0, "/admin/shadow_config");
    let rules = (0..POOLS).map(|number| {
        json!({"name": format!("rule-{number}"), "entityId": "ada", "metric": "cpu_usage_pct",
               "quantile": 0.9, "threshold": 70.0, "within": "60s", "pool": pool(number),
               "count": 1})
    });
    config["triggers"] = rules.collect();
    let (status, answer) = post(trial, 1, "/admin/shadow_config", &config, &[]);
    assert_eq!(status, 200, "{answer}");
    // Every replica has seen by now whom the rules follow.
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let seconds = now.expect("it is after 1970").as_secs() as i64;
    for replica in 0..3 {
        let points = (0..10).map(|ago| Point {
            at: Some(foreshadow_api::well_known::Timestamp {
                seconds: seconds - 60 + ago + 10 * replica as i64,
                nanos: 0,
            }),
            value: 40.0,
        });
        let report = ReportRequest {
            series: vec![Series {
                entity: Some(series::Entity::UserId("ada".to_owned())),
                metric: "cpu_usage_pct".to_owned(),
                points: points.collect(),
            }],
        };
        let mut client = TelemetryClient::new(channel(trial, replica).await);
        let answers = client.report(once(report)).await.expect("the stream opens");
        let answer = answers.into_inner().message().await.expect("it goes on");
        let answer = answer.expect("an answer");
        assert_eq!((answer.accepted, answer.refused), (10, 0), "{answer:?}");
    }
    let shadow = get(trial, 2, "/user/ada/resource_shadow");
    assert_eq!(shadow["metrics"][0]["samples"], "30", "{shadow}");
    // What each shard knows of its own: those that follow know as much as the one that keeps it.
    for shard in 0..SHARDS {
        let known = (0..3).any(|replica| {
            let header = shard.to_string();
            let headers = [("foreshadow-forwarded", header.as_str())];
            let path = "/user/ada/resource_shadow";
            let answer = http_with(&trial.address(replica), "GET", path, &headers, "");
            answer.body.contains("\"samples\":\"30\"")
        });
        let followed = (0..POOLS).any(|number| shard_of(&pool(number)) == shard);
        assert!(known || !followed, "shard {shard}");
    }
}

/// Changes one shard alone, as a change does that is not done to its end.
fn change_in_one(trial: &Trial, shard: usize, path: &str, body: &Value) {
    let header = shard.to_string();
    let headers = [("foreshadow-forwarded", header.as_str())];
    let taken = (0..3).any(|replica| post(trial, replica, path, body, &headers).0 == 200);
    assert!(taken, "shard {shard} is somewhere");
}

/// One shard has taken up a change that others have not; the next change goes through all the same.
fn a_half_made_change_can_be_made_again(trial: &Trial) {
    let config = get(trial, 0, "/admin/shadow_config");
    for shard in [2, 4, 4] {
        let mut unconditional = config.clone();
        unconditional["etag"] = "".into();
        change_in_one(trial, shard, "/admin/shadow_config", &unconditional);
    }
    for turn in 0..3 {
        let config = get(trial, turn, "/admin/shadow_config");
        let tag = config["etag"].as_str().unwrap_or_default().to_owned();
        let headers = [("If-Match", tag.as_str())];
        let (status, answer) = post(trial, turn + 1, "/admin/shadow_config", &config, &headers);
        assert_eq!(status, 200, "{answer}");
    }
}

/// An override that is set anew for a pool of another shard is not in force for both, nor is one whose
/// move was not done to its end.
fn an_override_is_in_one_place(trial: &Trial) {
    let elsewhere = |first: usize| {
        let shard = shard_of(&pool(first));
        (0..POOLS).find(|&other| shard_of(&pool(other)) != shard)
    };
    let pools = [0, elsewhere(0).expect("pools are in several shards")];
    let path = "/admin/shadow_override";
    let set = |number| json!({"set": {"name": "exam", "pool": pool(number), "count": 3}});
    for (turn, number) in [pools[0], pools[1], pools[1]].into_iter().enumerate() {
        if turn == 2 {
            change_in_one(trial, shard_of(&pool(pools[0])), path, &set(pools[0]));
        }
        let (status, answer) = post(trial, turn, path, &set(number), &[]);
        assert_eq!(status, 200, "{answer}");
        let listed = get(trial, turn + 1, path);
        let named: Vec<_> = listed["overrides"]
            .as_array()
            .into_iter()
            .flatten()
            .collect();
        assert_eq!(named.len(), 1, "{listed}");
        assert_eq!(answer["overrides"], listed["overrides"]);
        assert_eq!(named[0]["pool"], pool(number));
    }
    let clear = json!({"clear": "exam"});
    assert_eq!(post(trial, 2, path, &clear, &[]).0, 200);
    assert_eq!(post(trial, 0, path, &clear, &[]).0, 404);
}
