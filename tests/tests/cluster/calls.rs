//! Any replica answers any call, whoever has the shard that it is about.

use std::collections::BTreeSet;

use foreshadow_api::v1::{
    AllocateRequest, AllocateStreamRequest, Point, ReleaseRequest, ReportRequest, Series,
    WatchRequest, allocate_request::Target, allocate_result, allocation::State,
    allocations_client::AllocationsClient, series, telemetry_client::TelemetryClient,
};
use foreshadow_tests::{Answer, Marked, http, http_with};
use serde_json::{Value, json};
use tokio_stream::once;
use tonic::{Response, Status, Streaming, transport::Channel};

use crate::{
    load::until_all_pools_grant,
    replicas::{POOLS, pool},
    trial::Trial,
};

/// Replicas in the order in which the calls go round.
struct Round<'a> {
    trial: &'a Trial,
    turn: usize,
    headers: Vec<(&'a str, String)>,
}

impl Round<'_> {
    fn next(&mut self) -> String {
        self.turn += 1;
        self.trial.address(self.turn % 3)
    }

    fn call(&mut self, method: &str, path: &str, body: &Value) -> Answer {
        self.call_if(method, path, body, None)
    }

    fn call_if(&mut self, method: &str, path: &str, body: &Value, tag: Option<&str>) -> Answer {
        let address = self.next();
        let mut headers: Vec<_> = self.headers.iter().map(|(k, v)| (*k, &**v)).collect();
        headers.extend(tag.map(|tag| ("If-Match", tag)));
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        http_with(&address, method, path, &headers, &body)
    }

    fn read(&mut self, path: &str) -> Value {
        let answer = self.call("GET", path, &Value::Null);
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        serde_json::from_str(&answer.body).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    fn write(&mut self, path: &str, body: &Value) -> Value {
        let answer = self.call("POST", path, body);
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        serde_json::from_str(&answer.body).unwrap_or_else(|error| panic!("{path}: {error}"))
    }
}

/// The token of the page after this; empty after the last.
pub(crate) fn next_page(page: &Value) -> String {
    page["nextPageToken"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

fn strings(list: &Value, key: &str) -> BTreeSet<String> {
    let items = list.as_array().into_iter().flatten();
    items
        .filter_map(|item| item[key].as_str().map(str::to_owned))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn any_replica_answers_any_call() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let instances = Marked::sleepers(88);
    let Some(trial) = Trial::start(folder.path(), &instances) else {
        return;
    };
    trial.spread().await;
    until_all_pools_grant(&trial.address(0), 0).await;
    let mut round = Round {
        trial: &trial,
        turn: 0,
        headers: Vec::new(),
    };
    for _ in 0..3 {
        pools_and_claims(&mut round);
        configuration(&mut round);
        overrides_and_quotas(&mut round);
        one_replica(&mut round);
        streams(&mut round).await;
        shadows(&mut round).await;
    }
}

/// What all pages of a list hold.
fn paged(round: &mut Round<'_>, path: &str, (list, field): (&str, &str)) -> BTreeSet<String> {
    let (mut seen, mut token) = (BTreeSet::new(), String::new());
    loop {
        let page = round.read(&format!("{path}&pageToken={token}"));
        let here = strings(&page[list], field);
        assert!(here.is_disjoint(&seen), "{page}");
        seen.extend(here);
        token = next_page(&page);
        if token.is_empty() {
            return seen;
        }
    }
}

fn pools_and_claims(round: &mut Round<'_>) {
    let all: BTreeSet<_> = (0..POOLS).map(pool).collect();
    assert_eq!(strings(&round.read("/api/v1/pools")["pools"], "pool"), all);
    assert_eq!(
        strings(&round.read("/api/v1/overview")["pools"], "pool"),
        all
    );
    let mut held = Vec::new();
    for number in 0..POOLS {
        let by_labels = json!({"requirements": {"labels": {"number": number.to_string()}}});
        let by_name = json!({"pool": pool(number)});
        for mut wanted in [by_labels, by_name] {
            wanted["tenantId"] = "acme".into();
            wanted["userId"] = "ada".into();
            let lease = round.write("/api/v1/allocations", &wanted);
            assert_eq!(lease["pool"], pool(number), "{lease}");
            held.push(lease);
        }
    }
    let seen = paged(
        round,
        "/api/v1/allocations?states=GRANTED,JOINED,QUEUED&userId=ada&pageSize=2",
        ("allocations", "allocationId"),
    );
    let ids = strings(&held.clone().into(), "allocationId");
    assert_eq!((seen, ids.len()), (ids, 2 * POOLS));
    let seen = paged(round, "/api/v1/pools?pageSize=2", ("pools", "pool"));
    assert_eq!(seen, all);
    for lease in held {
        let id = lease["allocationId"].as_str().unwrap_or_default();
        if lease["state"] == "GRANTED" {
            let instance = lease["instance"]["id"].as_str().unwrap_or_default();
            let token = lease["fencingToken"].as_str().unwrap_or_default();
            let fencing = format!("/fencing/{instance}?token={token}");
            assert_eq!(round.call("GET", &fencing, &Value::Null).status, 204);
            let release = json!({"fencingToken": token});
            let path = format!("/api/v1/allocations/{id}/release");
            assert_eq!(round.write(&path, &release)["state"], "RELEASED");
        } else {
            let path = format!("/api/v1/allocations/{id}/cancel");
            round.call("POST", &path, &Value::Null);
        }
    }
    let unknown = round.call(
        "POST",
        "/api/v1/allocations",
        &json!({"tenantId": "acme", "pool": "none"}),
    );
    assert_eq!(unknown.status, 404, "{}", unknown.body);
    let nothing = json!({"tenantId": "acme", "requirements": {"labels": {"number": "none"}}});
    let nothing = round.call("POST", "/api/v1/allocations", &nothing);
    assert_eq!(nothing.status, 409, "{}", nothing.body);
}

fn configuration(round: &mut Round<'_>) {
    let mut config = round.read("/admin/shadow_config");
    let tag = config["etag"].as_str().unwrap_or_default().to_owned();
    let rule = |name: &str, pool: String| {
        json!({"name": name, "entityId": "ada", "metric": "cpu_usage_pct", "quantile": 0.9,
               "threshold": 70.0, "within": "60s", "pool": pool, "count": 1})
    };
    config["triggers"] = json!([rule("a", pool(0)), rule("b", pool(5))]);
    config["objectives"] = json!([{"pool": pool(3), "targetHitRate": 0.5}]);
    let dry = round.call("POST", "/admin/shadow_config?dry_run=true", &config);
    assert_eq!(dry.status, 200, "{}", dry.body);
    let taken = round.call_if("POST", "/admin/shadow_config", &config, Some(&tag));
    assert_eq!(taken.status, 200, "{}", taken.body);
    let taken: Value = serde_json::from_str(&taken.body).unwrap_or_default();
    assert_eq!(strings(&taken["plan"], "pool").len(), POOLS, "{taken}");
    let again = round.call_if("POST", "/admin/shadow_config", &config, Some(&tag));
    assert_eq!(again.status, 412, "{}", again.body);
    for _ in 0..3 {
        let seen = round.read("/admin/shadow_config");
        assert_eq!(strings(&seen["triggers"], "name").len(), 2);
    }
    let pools = round.read("/api/v1/pools");
    let of = |number| {
        let all = pools["pools"].as_array().into_iter().flatten();
        all.filter(|one| one["pool"] == pool(number))
            .find_map(|one| one["targetHitRate"].as_f64())
    };
    assert_eq!((of(3), of(4)), (Some(0.5), Some(0.95)));
    let explained = round.read(&format!("/admin/explain?pool={}", pool(3)));
    assert_eq!(explained["pool"], pool(3));
    let models = strings(&round.read("/admin/models")["models"], "name");
    assert_eq!(models, ["pretrained".to_owned()].into());
    round.read("/api/v1/adaptation");
    let live = round.call(
        "POST",
        &format!("/admin/pools/{}/live", pool(6)),
        &Value::Null,
    );
    assert_eq!(live.status, 200, "{}", live.body);
}

fn overrides_and_quotas(round: &mut Round<'_>) {
    for number in [1, 2] {
        let set = json!({"set": {"name": format!("o{number}"), "pool": pool(number), "count": 3}});
        round.write("/admin/shadow_override", &set);
    }
    let listed = round.call("GET", "/admin/shadow_override", &Value::Null);
    let tag = listed.header("etag").unwrap_or_default().to_owned();
    let listed: Value = serde_json::from_str(&listed.body).unwrap_or_default();
    assert_eq!(strings(&listed["overrides"], "name").len(), 2, "{listed}");
    let clear = json!({"clear": "o1"});
    let cleared = round.call_if("POST", "/admin/shadow_override", &clear, Some(&tag));
    assert_eq!(cleared.status, 200, "{}", cleared.body);
    let other = json!({"set": {"name": "o3", "pool": pool(1), "count": 3}});
    let stale = round.call_if("POST", "/admin/shadow_override", &other, Some(&tag));
    assert_eq!(stale.status, 412, "{}", stale.body);
    round.write("/admin/shadow_override", &json!({"clear": "o2"}));
    let gone = round.call("POST", "/admin/shadow_override", &clear);
    assert_eq!(gone.status, 404, "{}", gone.body);

    let warm = json!({pool(1): {"floor": 1}, pool(2): {"cap": 2}, pool(7): {"floor": 1}});
    let quota = json!({"tenantId": "acme", "live": 1000, "warm": warm});
    round.write("/admin/tenant_quota", &quota);
    let quotas = round.read("/admin/tenant_quota");
    let acme = &quotas["quotas"][0];
    assert_eq!(
        acme["warm"].as_object().map(serde_json::Map::len),
        Some(3),
        "{quotas}"
    );
    round.write("/admin/tenant_quota", &json!({"tenantId": "acme"}));
    let unknown = json!({"tenantId": "acme", "warm": {"none": {"floor": 1}}});
    assert_eq!(
        round.call("POST", "/admin/tenant_quota", &unknown).status,
        404
    );

    let (mut actions, mut token) = (BTreeSet::new(), String::new());
    loop {
        let page = round.read(&format!("/admin/audit?pageSize=3&pageToken={token}"));
        actions.extend(strings(&page["events"], "action"));
        token = next_page(&page);
        if token.is_empty() {
            break;
        }
    }
    assert!(actions.len() >= 3, "{actions:?}");
}

/// What each says of itself.
fn one_replica(round: &mut Round<'_>) {
    let mut pools = Vec::new();
    for replica in 0..3 {
        let (status, page) = http(&round.trial.address(replica), "GET", "/metrics", "");
        assert_eq!(status, 200);
        let lines = page.lines();
        let targets = lines.filter(|line| line.starts_with("foreshadow_pool_target_instances{"));
        let names = targets.filter_map(|line| line.split_once("pool=\"")?.1.split('"').next());
        pools.extend(names.map(str::to_owned));
        assert!(page.contains("shard=\""), "{page}");
        for path in ["/", "/healthz", "/readyz", "/openapi.json"] {
            assert_eq!(round.call("GET", path, &Value::Null).status, 200, "{path}");
        }
        assert_eq!(round.call("GET", "/nothing", &Value::Null).status, 404);
        assert_eq!(round.call("PUT", "/api/v1/pools", &Value::Null).status, 405);
    }
    pools.sort();
    let all: Vec<_> = (0..POOLS).map(pool).collect();
    assert_eq!(pools, all, "each is told of by one replica");
}

async fn channel(address: &str) -> Channel {
    let endpoint = Channel::from_shared(format!("http://{address}")).expect("the address is one");
    endpoint.connect().await.expect("the replica listens")
}

/// The first answer of a stream.
async fn first<T>(opened: Result<Response<Streaming<T>>, Status>) -> T {
    let mut answers = opened.expect("the stream opens").into_inner();
    let answer = answers.message().await.expect("it goes on");
    answer.expect("an answer")
}

async fn streams(round: &mut Round<'_>) {
    let mut client = AllocationsClient::new(channel(&round.next()).await);
    let wanted = |name: String| AllocateRequest {
        tenant_id: "acme".to_owned(),
        target: Some(Target::Pool(name)),
        ..AllocateRequest::default()
    };
    let mut requests: Vec<_> = (0..POOLS).map(pool).map(wanted).collect();
    requests.insert(3, wanted("none".to_owned()));
    let batch = AllocateStreamRequest {
        requests,
        releases: Vec::new(),
    };
    let answer = first(client.allocate_stream(once(batch)).await).await;
    let mut releases = Vec::new();
    for (place, result) in answer.results.into_iter().enumerate() {
        match result.result {
            Some(allocate_result::Result::Allocation(lease)) => {
                let number = if place > 3 { place - 1 } else { place };
                assert_eq!(lease.pool, pool(number));
                releases.push(ReleaseRequest {
                    allocation_id: lease.allocation_id.clone(),
                    fencing_token: lease.fencing_token,
                });
                let watch = WatchRequest {
                    allocation_id: lease.allocation_id,
                };
                let mut other = AllocationsClient::new(channel(&round.next()).await);
                let seen = first(other.watch(watch).await).await;
                assert!(
                    matches!(seen.state(), State::Granted | State::Joined),
                    "{seen:?}"
                );
            }
            Some(allocate_result::Result::Error(error)) => assert_eq!((place, error.code), (3, 5)),
            None => panic!("place {place} has no result"),
        }
    }
    let count = releases.len();
    let batch = AllocateStreamRequest {
        requests: Vec::new(),
        releases,
    };
    let answer = first(client.allocate_stream(once(batch)).await).await;
    assert_eq!(answer.releases.len(), count);
    assert!(
        answer.releases.iter().all(|one| one.error.is_none()),
        "{answer:?}"
    );
}

async fn shadows(round: &mut Round<'_>) {
    let users: Vec<_> = (0..6).map(|n| format!("user-{n}")).collect();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let seconds = now.expect("it is after 1970").as_secs() as i64;
    let series = users.iter().map(|user| Series {
        entity: Some(series::Entity::UserId(user.clone())),
        metric: "cpu_usage_pct".to_owned(),
        points: (0..10)
            .map(|ago| Point {
                at: Some(foreshadow_api::well_known::Timestamp {
                    seconds: seconds - 10 + ago,
                    nanos: 0,
                }),
                value: 40.0,
            })
            .collect(),
    });
    let report = ReportRequest {
        series: series.collect(),
    };
    let mut client = TelemetryClient::new(channel(&round.next()).await);
    let answer = first(client.report(once(report)).await).await;
    assert_eq!((answer.accepted, answer.refused), (60, 0), "{answer:?}");
    for user in &users {
        let lease = round.write(
            "/api/v1/allocations",
            &json!({"tenantId": "acme", "userId": user, "pool": pool(4)}),
        );
        let shadow = round.read(&format!("/user/{user}/resource_shadow"));
        assert_eq!(shadow["metrics"][0]["samples"], "10", "{shadow}");
        assert_eq!(
            strings(&shadow["allocations"], "pool"),
            BTreeSet::from([pool(4)]),
            "{shadow}"
        );
        let id = lease["allocationId"].as_str().unwrap_or_default();
        let release = json!({"fencingToken": lease["fencingToken"]});
        round.call(
            "POST",
            &format!("/api/v1/allocations/{id}/release"),
            &release,
        );
        let forgotten = round.call("DELETE", &format!("/user/{user}"), &Value::Null);
        assert_eq!(forgotten.status, 200, "{}", forgotten.body);
        let gone = round.call(
            "GET",
            &format!("/user/{user}/resource_shadow"),
            &Value::Null,
        );
        assert_eq!(gone.status, 404, "{}", gone.body);
    }
}
