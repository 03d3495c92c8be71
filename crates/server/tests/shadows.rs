//! Shadows, forecasts and how good they were, over the wire.

#![expect(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

mod support;

use std::time::Duration;

use foreshadow_api::{
    v1::{
        self, allocations_client::AllocationsClient, forecasts_client::ForecastsClient, series,
        shadows_client::ShadowsClient, telemetry_client::TelemetryClient,
    },
    well_known,
};
use support::{Served, granted, notebook};
use tokio_stream::once;
use tonic::{Code, transport::Channel};

#[tokio::test]
async fn reported_samples_make_a_shadow_and_a_forecast() {
    let served = Served::start(None).await;
    let channel = served.channel().await;
    let point = |value| v1::Point { at: None, value };
    let report = v1::ReportRequest {
        series: vec![v1::Series {
            entity: Some(series::Entity::UserId("ada".to_owned())),
            metric: "cpu_usage_pct".to_owned(),
            points: vec![point(40.0), point(f64::NAN)],
        }],
    };
    let mut telemetry = TelemetryClient::new(channel.clone());
    let mut answers = telemetry.report(once(report)).await.unwrap().into_inner();
    let answer = answers.message().await.unwrap().unwrap();
    assert_eq!((answer.accepted, answer.refused_not_finite), (1, 1));
    assert!(
        answer.first_error.contains("points[1].value"),
        "{}",
        answer.first_error
    );

    let over_http = served.get("/user/ada/resource_shadow").await.json();
    assert_eq!(over_http["metrics"][0]["latest"], 40.0);
    assert_eq!(over_http["metrics"][0]["class"], "CPU");
    let whose = v1::get_resource_shadow_request::Entity::UserId("ada".to_owned());
    let request = v1::GetResourceShadowRequest {
        entity: Some(whose),
        at: None,
    };
    let shadow = ShadowsClient::new(channel.clone())
        .get_resource_shadow(request)
        .await
        .unwrap();
    assert_eq!(shadow.into_inner().metrics[0].latest, 40.0);

    let question = v1::PredictRequest {
        subject: Some(v1::predict_request::Subject::EntityId("ada".to_owned())),
        metric: "cpu_usage_pct".to_owned(),
        horizon: Some(well_known::Duration {
            seconds: 2,
            nanos: 0,
        }),
        levels: vec![0.1, 0.5, 0.9],
    };
    let mut forecasts = ForecastsClient::new(channel);
    let forecast = at_the_next_tick(&mut forecasts, &question).await;
    assert_eq!(
        forecast.steps.len(),
        10,
        "two seconds at five ticks a second"
    );
    assert!(forecast.steps.iter().all(|step| step.quantiles.is_sorted()));
    let unknown = v1::PredictRequest {
        subject: Some(v1::predict_request::Subject::EntityId("nobody".to_owned())),
        ..question
    };
    assert_eq!(
        forecasts.predict(unknown).await.unwrap_err().code(),
        Code::NotFound
    );
    served.stop().await;
}

/// A sample is part of a forecast once its tick has closed.
async fn at_the_next_tick(
    forecasts: &mut ForecastsClient<Channel>,
    question: &v1::PredictRequest,
) -> v1::Forecast {
    for _ in 0..50 {
        match forecasts.predict(question.clone()).await {
            Ok(forecast) => return forecast.into_inner(),
            Err(status) => assert_eq!(status.code(), Code::NotFound, "{status}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("no forecast within five seconds");
}

/// Thirty samples of a user, a second apart up to now, that count up from 1.
async fn report_thirty(served: &Served, user: &str) -> i64 {
    let since_epoch = std::time::UNIX_EPOCH.elapsed().unwrap();
    let now_s = since_epoch.as_secs() as i64;
    let points = (1..=30).map(|number| v1::Point {
        at: Some(well_known::Timestamp {
            seconds: now_s - 30 + number,
            nanos: 0,
        }),
        value: number as f64,
    });
    let report = v1::ReportRequest {
        series: vec![v1::Series {
            entity: Some(series::Entity::UserId(user.to_owned())),
            metric: "cpu_usage_pct".to_owned(),
            points: points.collect(),
        }],
    };
    let mut telemetry = TelemetryClient::new(served.channel().await);
    let mut answers = telemetry.report(once(report)).await.unwrap().into_inner();
    assert_eq!(answers.message().await.unwrap().unwrap().accepted, 30);
    now_s
}

#[tokio::test]
async fn a_shadow_of_a_past_time_is_what_was_known_then() {
    let served = Served::start(None).await;
    let now_s = report_thirty(&served, "ada").await;
    let mut shadows = ShadowsClient::new(served.channel().await);
    let mut ask = async |user: &str, seconds: i64| {
        let whose = v1::get_resource_shadow_request::Entity::UserId(user.to_owned());
        let request = v1::GetResourceShadowRequest {
            entity: Some(whose),
            at: Some(well_known::Timestamp { seconds, nanos: 0 }),
        };
        shadows.get_resource_shadow(request).await
    };
    let then = ask("ada", now_s - 10).await.unwrap().into_inner();
    assert_eq!(
        (then.metrics[0].latest, then.metrics[0].samples),
        (20.0, 20)
    );
    assert!(then.forecasts.is_empty() && then.category.is_none());
    for (user, seconds, code) in [
        ("ada", now_s - 60, Code::NotFound),
        ("bob", now_s - 10, Code::NotFound),
        ("ada", now_s + 3_600, Code::InvalidArgument),
    ] {
        let refused = ask(user, seconds).await.unwrap_err();
        assert_eq!(refused.code(), code, "{user} {seconds}: {refused}");
    }

    let at = |text: &str| format!("/user/ada/resource_shadow?at={text}");
    let time = foreshadow_types::Timestamp::from_millis((now_s - 20) * 1_000);
    let over_http = served.get(&at(&time.to_string())).await.json();
    assert_eq!(over_http["metrics"][0]["latest"], 10.0);
    let as_of = over_http["asOf"].as_str().unwrap();
    assert_eq!(foreshadow_types::Timestamp::parse(as_of), Ok(time));
    for (text, word) in [
        ("yesterday", "RFC 3339"),
        ("2999-01-01T00:00:00Z", "has passed"),
    ] {
        let refused = served.get(&at(text)).await;
        assert_eq!(refused.status, 400, "{refused:?}");
        assert!(refused.body.contains(word), "{}", refused.body);
    }
    assert_eq!(
        served
            .get("/user/ada/resource_shadow?when=now")
            .await
            .status,
        400
    );
    served.stop().await;
}

#[tokio::test]
async fn hit_rates_and_idle_time_are_told_by_pool_and_by_category_of_the_users() {
    let served = Served::start(None).await;
    report_thirty(&served, "ada").await;
    // Categories are found when the first bin has closed.
    let in_a_category = async || {
        let shadow = served.get("/user/ada/resource_shadow").await.json();
        shadow["category"]["label"].as_str().map(str::to_owned)
    };
    let category = eventually(in_a_category).await;
    let is_warm = async || {
        let pool = served.get("/api/v1/pools/notebook").await.json();
        (pool["ready"] == 1).then_some(())
    };
    eventually(is_warm).await;
    let mut client = AllocationsClient::new(served.channel().await);
    granted(&mut client, notebook()).await;
    let counted = async || {
        let adaptation = served.get("/api/v1/adaptation").await.json();
        let groups = adaptation["groups"].as_array()?.clone();
        let hit = |kind: &str, name: &str| {
            let group = groups
                .iter()
                .find(|one| one["kind"] == kind && one["name"] == name)?;
            (group["requests"] == "1").then(|| group["hitRate"].clone())
        };
        Some((hit("pool", "notebook")?, hit("category", &category)?))
    };
    assert_eq!(eventually(counted).await, (1.0.into(), 1.0.into()));
    let metrics = served.get("/metrics").await.body;
    let line = format!("foreshadow_group_hit_ratio{{kind=\"category\",name=\"{category}\"}} 1");
    assert!(metrics.contains(&line), "{metrics}");
    // All requests are of one category: so is what is kept idle for the next ones.
    let kept_idle = async || {
        let adaptation = served.get("/api/v1/adaptation").await.json();
        let groups = adaptation["groups"].as_array()?.iter();
        let of = |kind: &str| {
            let group = groups.clone().find(|one| one["kind"] == kind)?;
            let idle = group["idle"].as_str()?.strip_suffix('s')?;
            idle.parse().ok().filter(|seconds: &f64| *seconds > 0.0)
        };
        Some((of("pool")?, of("category")?))
    };
    let (pool, category) = eventually(kept_idle).await;
    assert!(category <= pool, "{category} of {pool}");
    served.stop().await;
}

/// Asks again until there is an answer.
async fn eventually<T>(ask: impl AsyncFn() -> Option<T>) -> T {
    for _ in 0..300 {
        if let Some(answer) = ask().await {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("it has not happened in half a minute");
}
