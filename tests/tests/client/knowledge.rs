//! Measurements, profiles, forecasts and lists.

use std::{collections::BTreeSet, time::SystemTime};

use foreshadow_client::{Claim, Entity, Error, Filter, Predict, Sample, State};
use foreshadow_tests::{notebook_pool, until_async};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use tokio::time::Duration;

use crate::support::{Site, listed};

#[tokio::test(flavor = "multi_thread")]
async fn reported_samples_become_a_shadow() {
    let site = Site::start(&notebook_pool(50, 0, 1));
    let client = site.client().await;
    let now = SystemTime::now();
    let load = move |age: u64| {
        let sample = Sample::new(Entity::user("kim"), "cpu_usage_pct", age as f64);
        sample.at(now - Duration::from_secs(age))
    };
    let memory = Sample::new(Entity::application("jupyter"), "memory_usage_bytes", 1e9);
    let ahead = memory.clone().at(now + Duration::from_hours(24));
    let samples = (1..=60).rev().map(load).chain([memory, ahead]);
    let reported = client.report(samples).await.unwrap();
    assert_eq!((reported.accepted, reported.refused), (61, 1));
    assert!(reported.first_error.is_some());

    let shadow = client.shadow(Entity::user("kim")).await.unwrap();
    assert_eq!(shadow.metrics.len(), 1);
    assert_eq!(shadow.metrics[0].metric, "cpu_usage_pct");
    assert_eq!(shadow.metrics[0].samples, 60);
    let jupyter = client.shadow(Entity::application("jupyter")).await.unwrap();
    assert_eq!(jupyter.entity_id, "jupyter");
    let nobody = client.shadow(Entity::user("nobody")).await.unwrap_err();
    assert!(matches!(nobody, Error::NotFound(_)), "{nobody}");
    let ahead = client
        .shadow_at(Entity::user("kim"), now + Duration::from_hours(1))
        .await;
    assert!(matches!(ahead, Err(Error::InvalidRequest(_))), "{ahead:?}");
    site.server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_samples_is_acknowledged_batch_by_batch() {
    let site = Site::start(&notebook_pool(50, 0, 1));
    let client = site.client().await;
    let sample = |n: usize| Sample::new(Entity::user(format!("u{}", n % 7)), "cpu_usage_pct", 1.0);
    let samples = stream::iter((0..45_000).map(sample));
    let answers = client.report_stream(samples).await.unwrap();
    let counts: Vec<u64> = answers
        .map_ok(|one| one.accepted)
        .try_collect()
        .await
        .unwrap();
    assert_eq!(counts.iter().sum::<u64>(), 45_000);
    assert_eq!(counts.len(), 5, "{counts:?}");
    let none = client.report([]).await.unwrap();
    assert_eq!((none.accepted, none.refused), (0, 0));
    site.server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_is_forecast() {
    let site = Site::start(&notebook_pool(50, 1, 2));
    let client = site.client().await;
    let what = Predict::pool("notebook")
        .horizon(Duration::from_secs(10))
        .levels([0.1, 0.5, 0.9]);
    let forecast = until_async("the first tick", async || {
        client.predict(what.clone()).await.ok()
    })
    .await;
    assert_eq!(forecast.subject, "notebook");
    assert_eq!(forecast.levels, [0.1, 0.5, 0.9]);
    assert!(!forecast.values.is_empty());
    assert_eq!(forecast.times().count(), forecast.values.len());
    let (low, high) = (forecast.at(0.1).unwrap(), forecast.at(0.9).unwrap());
    assert!(low.iter().zip(&high).all(|(low, high)| low <= high));
    let unknown = client.predict(Predict::pool("nowhere")).await.unwrap_err();
    assert!(matches!(unknown, Error::NotFound(_)), "{unknown}");
    let never = client
        .predict(Predict::pool("notebook").levels([2.0]))
        .await;
    assert!(matches!(never, Err(Error::InvalidRequest(_))), "{never:?}");
    site.server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn all_pages_are_listed_once() {
    let site = Site::start(&notebook_pool(50, 1, 2));
    let client = site.client().await;
    let claim = || Claim::pool("notebook").user("pat");
    for _ in 0..5 {
        client
            .lease(claim())
            .await
            .unwrap()
            .release()
            .await
            .unwrap();
    }
    let held = client.lease(claim()).await.unwrap();
    let of_pat = Filter::all().user("pat").page_size(2);
    let all = listed(&client, of_pat.clone()).await;
    let ids: BTreeSet<&str> = all.iter().map(|one| one.id.as_str()).collect();
    assert_eq!((all.len(), ids.len()), (6, 6));
    let granted = listed(&client, of_pat.clone().state(State::Granted)).await;
    assert_eq!(granted.len(), 1);
    assert_eq!(granted[0].id, held.id());
    let first: Vec<_> = client.allocations(of_pat).take(1).collect().await;
    assert!(first[0].is_ok());
    let nobody = listed(&client, Filter::all().user("nobody")).await;
    assert!(nobody.is_empty());
    held.release().await.unwrap();
    site.server.stop();
}
