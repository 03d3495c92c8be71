//! HTTP against a real engine.

#![expect(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

mod support;

use serde_json::Value;
use support::Served;

#[tokio::test]
async fn probes_metrics_console_and_openapi_answer() {
    let served = Served::start(None).await;
    assert_eq!(served.get("/healthz").await.status, 200);
    assert_eq!(served.get("/readyz").await.status, 200);
    let metrics = served.get("/metrics").await;
    assert!(
        metrics
            .body
            .contains("foreshadow_pool_instances{pool=\"notebook\",state=\"ready\"}")
    );
    let console = served.get("/").await;
    let policy = console.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"));
    assert!(served.get("/openapi.json").await.json()["paths"]["/admin/shadow_config"].is_object());
    let overview = served.get("/api/v1/overview").await.json();
    assert_eq!(overview["pools"][0]["pool"], "notebook");
    assert_eq!(overview["durability"], "MEMORY");
    assert_eq!(served.get("/nope").await.status, 404);
    assert_eq!(
        served
            .ask("DELETE", "/admin/shadow_config", &[], "")
            .await
            .status,
        405
    );
    served.stop().await;
}

#[tokio::test]
async fn pools_are_listed_page_by_page() {
    let served = Served::start(None).await;
    let first = served.get("/api/v1/pools?pageSize=1&pageToken=alpha").await;
    let first = first.json();
    assert_eq!(first["pools"][0]["pool"], "notebook");
    assert!(first["nextPageToken"].as_str().is_none_or(str::is_empty));
    let beyond = served.get("/api/v1/pools?pageToken=notebook").await.json();
    assert!(beyond["pools"].as_array().is_none_or(Vec::is_empty));
    let refused = served.get("/api/v1/pools?size=1").await;
    assert_eq!(refused.status, 400, "{refused:?}");
    served.stop().await;
}

#[tokio::test]
async fn the_overview_sums_over_all_pools_and_gives_those_that_match() {
    let served = Served::start(None).await;
    let found = served.get("/api/v1/overview?search=note&maxPools=1").await;
    let found = found.json();
    assert_eq!(found["pools"][0]["pool"], "notebook");
    assert!(found["pools"][0]["forecast"].is_null());
    assert_eq!(
        (&found["matching"], &found["maxPools"]),
        (&"1".into(), &1.into())
    );
    let none = served.get("/api/v1/overview?search=other").await.json();
    assert!(none["pools"].as_array().is_none_or(Vec::is_empty), "{none}");
    assert_eq!(none["totals"]["pools"], "1");
    let refused = served.get("/api/v1/overview?most=1").await;
    assert_eq!(refused.status, 400, "{refused:?}");
    let most = served.get("/api/v1/overview?maxPools=100000").await.json();
    assert_eq!(most["maxPools"], 500);
    served.stop().await;
}

#[tokio::test]
async fn the_queue_is_an_alert_and_a_pool_has_a_past() {
    let served = Served::start(None).await;
    for _ in 0..3 {
        let wanted = r#"{"pool":"notebook","userId":"ada"}"#;
        let answer = served.post("/api/v1/allocations", wanted).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    // The pool has two instances: the third waits.
    let pool = until(&served, "/api/v1/pools/notebook", |pool| {
        let alerts = pool["alerts"].as_array();
        alerts.is_some_and(|alerts| alerts.contains(&"WAITING".into()))
    });
    assert_eq!(pool.await["queued"], 1);
    let overview = served.get("/api/v1/overview").await.json();
    let mut troubles = overview["totals"]["troubles"].as_array().unwrap().iter();
    let waits = |one: &Value| one["alert"] == "WAITING" && one["pools"] == "1";
    assert!(troubles.any(waits), "{overview}");
    let past = until(&served, "/api/v1/pools/notebook/history", |past| {
        let steps = past["steps"].as_array().unwrap();
        let of = |key: &str| -> u64 { steps.iter().filter_map(|one| one[key].as_u64()).sum() };
        let plans = past["plans"].as_array();
        of("requests") == 3 && of("waited") >= 1 && plans.is_some_and(|plans| !plans.is_empty())
    });
    let steps = past.await["steps"].as_array().map_or(0, Vec::len);
    assert!(steps <= 241, "{steps}");
    for (path, status) in [
        ("/api/v1/pools/nowhere", 404),
        ("/api/v1/pools/nowhere/history", 404),
        ("/api/v1/pools/notebook/history?from=yesterday", 400),
        (
            "/api/v1/pools/notebook/history?from=2999-01-01T00:00:00Z",
            400,
        ),
    ] {
        assert_eq!(served.get(path).await.status, status, "{path}");
    }
    served.stop().await;
}

/// What a path answers once that is so.
async fn until(served: &Served, path: &str, so: impl Fn(&Value) -> bool) -> Value {
    for _ in 0..200 {
        let answer = served.get(path).await.json();
        if so(&answer) {
            return answer;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("{path} never comes to it");
}

#[tokio::test]
async fn answers_are_packed_for_those_who_can_unpack_them() {
    let served = Served::start(None).await;
    let headers = [("accept-encoding", "gzip")];
    let (mut stream, host) = (
        tokio::net::TcpStream::connect(served.address)
            .await
            .unwrap(),
        served.address,
    );
    let [(name, value)] = headers;
    let asked = format!(
        "GET /openapi.json HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n{name}: {value}\r\n\r\n"
    );
    tokio::io::AsyncWriteExt::write_all(&mut stream, asked.as_bytes())
        .await
        .unwrap();
    let mut packed = Vec::new();
    tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut packed)
        .await
        .unwrap();
    let head = String::from_utf8_lossy(&packed).to_ascii_lowercase();
    assert!(head.contains("content-encoding: gzip"), "{head}");
    let plain = served.get("/openapi.json").await;
    assert_eq!(plain.header("content-encoding"), None);
    assert!(packed.len() * 4 < plain.body.len(), "{}", packed.len());
    served.stop().await;
}

#[tokio::test]
async fn an_unknown_user_is_not_found() {
    let served = Served::start(None).await;
    let answer = served.get("/user/nobody/resource_shadow").await;
    assert_eq!(answer.status, 404);
    assert!(
        answer.json()["message"]
            .as_str()
            .unwrap()
            .contains("nobody")
    );
    served.stop().await;
}

#[tokio::test]
async fn bad_configurations_are_refused_with_the_place() {
    let served = Served::start(None).await;
    for (body, word) in [
        (r#"{"tick":"-5s"}"#, "config.tick"),
        (r#"{"tickk":"5s"}"#, "tickk"),
        (r#"{"tick":"#, "EOF"),
        (r"[]", "expected struct"),
        (r#"{"tick":5}"#, "duration"),
        (r#"{"tick":"1s","horizon":"999999s"}"#, "horizon"),
        (
            r#"{"objectives":[{"pool":"nope","targetHitRate":0.9}]}"#,
            "nope",
        ),
        (
            r#"{"objectives":[{"pool":"notebook","targetHitRate":1.5}]}"#,
            "target_hit_rate",
        ),
        (
            r#"{"triggers":[{"name":"x","pool":"notebook"}]}"#,
            "config.triggers[0].within",
        ),
    ] {
        let answer = served.post("/admin/shadow_config", body).await;
        assert_eq!(answer.status, 400, "{body}: {answer:?}");
        let message = answer.json()["message"].as_str().unwrap().to_owned();
        assert!(message.contains(word), "{body}: {message}");
    }
    served.stop().await;
}

#[tokio::test]
async fn a_change_of_the_configuration_is_guarded_by_its_etag() {
    let served = Served::start(None).await;
    let before = served.get("/admin/shadow_config").await;
    let first = before.header("etag").unwrap().to_owned();
    let body = r#"{"tick":"1s","horizon":"60s","objectives":[{"pool":"notebook","min":2}]}"#;

    let dry = served.post("/admin/shadow_config?dry_run=true", body).await;
    assert_eq!(dry.json()["applied"], false);
    assert_eq!(
        served.get("/admin/shadow_config").await.header("etag"),
        Some(first.as_str())
    );

    let matching = [("if-match", first.as_str())];
    let set = served
        .ask("POST", "/admin/shadow_config", &matching, body)
        .await;
    assert_eq!(set.status, 200, "{set:?}");
    assert_eq!(set.json()["applied"], true);
    assert_eq!(set.json()["config"]["objectives"][0]["min"], 2);
    let lost = served
        .ask("POST", "/admin/shadow_config", &matching, body)
        .await;
    assert_eq!(lost.status, 412, "{lost:?}");
    let read = served.get("/admin/shadow_config").await;
    assert_eq!(read.json()["tick"], "1s");
    assert_ne!(read.header("etag"), Some(first.as_str()));
    served.stop().await;
}

#[tokio::test]
async fn an_override_is_set_and_cleared() {
    let served = Served::start(None).await;
    let set = r#"{"set":{"name":"exam","pool":"notebook","count":2,"reason":"exam week"}}"#;
    let answer = served.post("/admin/shadow_override", set).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.json()["overrides"][0]["name"], "exam");
    let cleared = served
        .post("/admin/shadow_override", r#"{"clear":"exam"}"#)
        .await;
    assert_eq!(cleared.json()["overrides"].as_array().unwrap().len(), 0);
    for (body, status) in [
        (r#"{"set":{"pool":"nope","count":1}}"#, 404),
        (r#"{"clear":"exam"}"#, 404),
        ("{}", 400),
        (r#"{"set":{"pool":"notebook","cuont":1}}"#, 400),
    ] {
        assert_eq!(
            served.post("/admin/shadow_override", body).await.status,
            status,
            "{body}"
        );
    }
    served.stop().await;
}

#[tokio::test]
async fn quotas_are_set_listed_and_checked() {
    let served = Served::start(None).await;
    let quota = r#"{"tenantId":"acme","live":1,"rate":{"perSecond":5}}"#;
    let set = served.post("/admin/tenant_quota", quota).await;
    assert_eq!((set.status, &set.json()["rate"]["burst"]), (200, &5.into()));
    let listed = served.get("/admin/tenant_quota").await.json();
    assert_eq!(listed["quotas"][0]["tenantId"], "acme");
    for (body, word) in [
        (r#"{"live":1}"#, "tenant_id"),
        (r#"{"tenantId":"acme","rate":{}}"#, "rate.per_second"),
        (r#"{"tenantId":"acme","alive":1}"#, "alive"),
    ] {
        let refused = served.post("/admin/tenant_quota", body).await;
        assert_eq!(refused.status, 400, "{body}");
        assert!(refused.body.contains(word), "{}", refused.body);
    }
    served.stop().await;
}

#[tokio::test]
async fn large_bodies_and_pages_of_other_sites_are_refused() {
    let served = Served::start(None).await;
    let large = " ".repeat((1 << 20) + 1);
    assert_eq!(
        served.post("/admin/shadow_override", &large).await.status,
        413
    );
    let origin = [("origin", "https://example.com")];
    let foreign = served
        .ask("POST", "/admin/shadow_override", &origin, "{}")
        .await;
    assert_eq!(foreign.status, 403);
    served.stop().await;
}

#[tokio::test]
async fn with_a_token_only_probes_are_open() {
    let token = "correct-horse-battery";
    let served = Served::start(Some(token)).await;
    assert_eq!(served.get("/healthz").await.status, 200);
    assert_eq!(served.get("/readyz").await.status, 200);
    for path in [
        "/",
        "/metrics",
        "/api/v1/overview",
        "/openapi.json",
        "/admin/shadow_config",
    ] {
        assert_eq!(served.get(path).await.status, 401, "{path}");
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", bearer.as_str())];
        assert_eq!(
            served.ask("GET", path, &headers, "").await.status,
            200,
            "{path}"
        );
    }
    served.stop().await;
}
