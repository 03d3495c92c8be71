//! Calls that are refused count too.

use foreshadow_access::{CallRate, Grant, Role};
use foreshadow_api::v1::{ListRequest, allocations_client::AllocationsClient};
use foreshadow_server::Access;
use futures::future::join_all;
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::{
    ADMIN, CLIENT, bearer, guarded, status,
    support::{Served, directory, grant, notebook},
};

/// How many calls were refused for a reason, as the page of metrics has it.
async fn refused(served: &Served, reason: &str) -> u64 {
    let shown = bearer(ADMIN);
    let shown = [("authorization", shown.as_str())];
    let page = served.ask("GET", "/metrics", &shown, "").await;
    let sample = format!("foreshadow_calls_refused_total{{reason=\"{reason}\"}} ");
    let line = page
        .body
        .lines()
        .find_map(|line| line.strip_prefix(&sample));
    line.unwrap_or_else(|| panic!("{page:?}")).parse().unwrap()
}

#[tokio::test]
async fn calls_that_a_caller_may_not_make_count_against_its_rate() {
    let slow = Grant {
        rate: Some(CallRate::new(1, 3).unwrap()),
        ..grant("client", Role::Client)
    };
    let tokens = [(CLIENT, slow), (ADMIN, grant("admin", Role::Admin))];
    let access = Access::new(directory(&tokens));
    let served = Served::start_with(|options| options.access = Some(access)).await;
    let mut statuses = Vec::new();
    // On a machine that has other things to do some are a second apart, and may be made.
    while statuses.iter().filter(|&&status| status == 429).count() < 4 && statuses.len() < 100 {
        statuses.push(status(&served, "get", "/admin/audit", Some(CLIENT)).await);
    }
    let times = |wanted| statuses.iter().filter(|&&status| status == wanted).count() as u64;
    assert!(times(403) >= 3 && times(429) == 4, "{statuses:?}");
    assert_eq!(times(403) + 4, statuses.len() as u64, "{statuses:?}");
    assert_eq!(refused(&served, "forbidden").await, times(403));
    assert_eq!(refused(&served, "too_often").await, times(429));
    served.stop().await;
}

#[tokio::test]
async fn who_fails_too_often_is_told_to_come_later_and_shuts_out_nobody() {
    let served = guarded().await;
    let mut statuses = Vec::new();
    for n in 0..400 {
        let guess = format!("a-guess-of-a-token-{n}");
        statuses.push(status(&served, "get", "/api/v1/pools", Some(&guess)).await);
    }
    let times = |wanted| statuses.iter().filter(|&&status| status == wanted).count() as u64;
    assert!(times(401) >= 100 && times(429) >= 1, "{statuses:?}");
    assert_eq!(times(401) + times(429), 400, "{statuses:?}");
    assert_eq!(
        statuses
            .iter()
            .position(|&status| status == 429)
            .map(|n| n >= 100),
        Some(true)
    );
    let known = status(&served, "get", "/api/v1/pools", Some(ADMIN)).await;
    assert_eq!(known, 200, "from the same address");
    assert_eq!(refused(&served, "unauthenticated").await, times(401));
    served.stop().await;
}

#[tokio::test]
async fn claims_beyond_what_is_kept_up_with_are_refused_and_nothing_else_is() {
    let served = Served::start_with(|options| options.max_in_flight = 0).await;
    let client = AllocationsClient::new(served.channel().await);
    // One connection: many streams that end early would be held against it.
    for _ in 0..30 {
        let claims = (0..100).map(|_| {
            let mut client = client.clone();
            async move { client.allocate(notebook()).await.unwrap_err() }
        });
        for refused in join_all(claims).await {
            assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
            let told = refused.get_details_retry_info();
            assert!(told.and_then(|retry| retry.retry_delay).is_some());
        }
    }
    let over_http = served.post("/api/v1/allocations", "{}").await;
    assert_eq!(over_http.status, 429, "{over_http:?}");
    assert!(over_http.header("retry-after").is_some(), "{over_http:?}");
    assert_eq!(refused(&served, "busy").await, 3_001);
    client.clone().list(ListRequest::default()).await.unwrap();
    served.stop().await;
}
