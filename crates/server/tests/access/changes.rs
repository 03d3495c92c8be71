//! Calls that are too many or of another site, and what is written down of changes.

use std::collections::BTreeMap;

use foreshadow_access::{CallRate, Grant, Role};
use foreshadow_server::Access;
use serde_json::{Value, json};

use crate::{
    ADMIN, OPERATOR, bearer, guarded, status,
    support::{Served, directory, grant},
};

#[tokio::test]
async fn a_page_of_another_site_calls_neither_paths_nor_services() {
    let served = Served::start(None).await;
    for path in [
        "/admin/pools/notebook/drain",
        "/foreshadow.v1.Admin/DrainPool",
        "/foreshadow.v1.Allocations/Allocate",
        "/api/v1/write",
    ] {
        let headers = [("origin", "https://evil.example")];
        let answer = served.ask("POST", path, &headers, "").await;
        assert_eq!(answer.status, 403, "{path}: {answer:?}");
        assert!(answer.body.contains("other sites"), "{answer:?}");
    }
    served.stop().await;
}

#[tokio::test]
async fn who_calls_too_often_is_told_when_to_come_back() {
    let token = "a-token-that-is-slow";
    let slow = Grant {
        rate: Some(CallRate::new(1, 2).unwrap()),
        ..grant("slow", Role::Operator)
    };
    let access = Access::new(directory(&[
        (token, slow),
        (ADMIN, grant("admin", Role::Admin)),
    ]));
    let served = Served::start_with(|options| options.access = Some(access.clone())).await;
    let value = bearer(token);
    let headers = [("authorization", value.as_str())];
    let mut statuses = BTreeMap::new();
    for _ in 0..6 {
        let answer = served.ask("GET", "/api/v1/pools", &headers, "").await;
        *statuses.entry(answer.status).or_insert(0) += 1;
        if answer.status == 429 {
            assert_eq!(answer.header("retry-after"), Some("1"), "{answer:?}");
        }
    }
    assert!(statuses[&200] >= 2 && statuses[&429] >= 1, "{statuses:?}");
    assert_eq!(
        status(&served, "get", "/api/v1/pools", Some(ADMIN)).await,
        200
    );
    access.replace(directory(&[(token, grant("admin", Role::Admin))]));
    assert_eq!(
        status(&served, "get", "/api/v1/pools", Some(ADMIN)).await,
        401
    );
    assert_eq!(
        status(&served, "get", "/admin/audit", Some(token)).await,
        200
    );
    served.stop().await;
}

#[tokio::test]
async fn changes_are_written_down_with_their_caller() {
    let served = guarded().await;
    let operator = bearer(OPERATOR);
    let headers = [("authorization", operator.as_str())];
    let set = json!({"set": {"name": "exam", "pool": "notebook", "count": 1,
                     "entityId": "ada", "reason": "exam week"}});
    let post = |path: &'static str, body: String| {
        let (served, headers) = (&served, &headers);
        async move { served.ask("POST", path, headers, &body).await }
    };
    let answer = post("/admin/shadow_override", set.to_string()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let refused = post("/admin/pools/nope/drain", String::new()).await;
    assert_eq!(refused.status, 404, "{refused:?}");
    let events = audited(&served, "").await;
    let events = events["events"].as_array().unwrap();
    let said = |event: &Value, key: &str| event[key].as_str().unwrap_or_default().to_owned();
    assert_eq!(events.len(), 2);
    assert_eq!(said(&events[0], "action"), "DrainPool");
    assert!(said(&events[0], "refusal").contains("nope"));
    assert_eq!(
        (
            said(&events[1], "who"),
            said(&events[1], "role"),
            said(&events[1], "refusal")
        ),
        ("operator".to_owned(), "operator".to_owned(), String::new())
    );
    assert!(said(&events[1], "request").contains("exam week"));
    assert!(said(&events[1], "peer").starts_with("127.0.0.1:"));
    let admin = bearer(ADMIN);
    let headers = [("authorization", admin.as_str())];
    let deleted = served.ask("DELETE", "/user/ada", &headers, "").await;
    assert_eq!(deleted.status, 200, "{deleted:?}");
    let events = audited(&served, "").await.to_string();
    assert!(
        !events.contains("ada") && events.contains("DeleteUser"),
        "{events}"
    );
    let drains = audited(&served, "?action=DrainPool&pageSize=1").await;
    assert_eq!(drains["events"].as_array().unwrap().len(), 1);
    served.stop().await;
}

async fn audited(served: &Served, query: &str) -> Value {
    let admin = bearer(ADMIN);
    let headers = [("authorization", admin.as_str())];
    let path = format!("/admin/audit{query}");
    served.ask("GET", &path, &headers, "").await.json()
}
