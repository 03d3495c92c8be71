//! Ticks, forecasts, overrides and configuration.

use std::{sync::Arc, time::Duration};

use crate::common::{config, pool, states, until, until_ready, web_request};
use foreshadow_engine::{
    Engine, EngineError, EngineHandle, OverrideChange, PredictRequest, Subject,
    allocator::{AllocationRequest, Target},
    config::{
        CapacityOverride, Execution, OnShutdown, OverrideSubject, PoolObjective, RuleSubject,
        Schedule, TriggerRule, Wanted,
    },
    shadow::Observation,
};
use foreshadow_forecast::{ForecastError, Forecaster, Panel, QuantileForecast};
use foreshadow_types::{
    EntityId, InstanceCount, PoolName, Requirements, Shape, TenantId, Timestamp, UserId, Vcpus,
};
use tokio::time::{sleep, timeout};

struct Failing;

impl Forecaster for Failing {
    fn name(&self) -> &'static str {
        "failing"
    }

    fn forecast(
        &mut self,
        _: &Panel,
        _: &[usize],
        _: usize,
        _: &[f64],
    ) -> Result<Vec<Vec<QuantileForecast>>, ForecastError> {
        Err(ForecastError::Failed("as it always does".to_owned()))
    }
}

fn override_of(instances: u32) -> OverrideChange {
    OverrideChange::Set(CapacityOverride {
        name: "exam".to_owned(),
        pool: pool(),
        subject: OverrideSubject::Pool,
        instances,
        until: None,
        by: "ops".to_owned(),
        reason: "an exam".to_owned(),
    })
}

async fn stop(engine: &EngineHandle, folder: &std::path::Path) {
    engine.shutdown_with(OnShutdown::StopAll).await.unwrap();
    until("processes are left", || states(folder).is_empty()).await;
}

async fn predicted(engine: &EngineHandle, subject: Subject, metric: &str) -> f32 {
    let request = PredictRequest {
        subject,
        metric: Some(metric.to_owned()),
        horizon: Duration::from_secs(1),
        levels: vec![0.5],
    };
    let answer = async {
        loop {
            if let Ok(prediction) = engine.predict(request.clone()).await {
                return prediction.quantiles.quantile(0, 0.5);
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(20), answer).await.unwrap()
}

fn sample(engine_time: Timestamp, value: f64) -> Observation {
    Observation {
        entity: EntityId::new("ada").unwrap(),
        metric: Arc::from("cpu_usage_pct"),
        at: engine_time,
        value,
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the test reports as a sender with a clock would"
)]
fn clock() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Timestamp::from_millis(since.unwrap().as_millis() as i64)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forecast_that_fails_falls_back_and_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let started = Engine::start_with_model(config(folder.path()), Some(Box::new(Failing))).await;
    let engine = started.unwrap();
    engine.report(vec![sample(clock(), 42.0)]).await.unwrap();
    let ada = Subject::Entity(EntityId::new("ada").unwrap());
    assert_eq!(predicted(&engine, ada, "cpu_usage_pct").await, 42.0);
    let metrics = engine.metrics().await.unwrap();
    assert!(metrics.forecasts.failed > 0);
    assert_eq!(metrics.telemetry.accepted, 1);
    let shadow = engine
        .resource_shadow(&UserId::new("ada").unwrap())
        .await
        .unwrap();
    assert!(shadow.forecasts.iter().all(|forecast| forecast.fallback));
    let nobody = engine.resource_shadow(&UserId::new("bob").unwrap()).await;
    assert!(matches!(nobody, Err(EngineError::UnknownEntity(_))));
    stop(&engine, folder.path()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_override_is_in_force_at_once_and_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::start(config(folder.path())).await.unwrap();
    let set = engine
        .set_override(override_of(3), Some("v0".to_owned()))
        .await
        .unwrap();
    until_ready(&engine, 3).await;
    let stale = engine
        .set_override(override_of(4), Some("v0".to_owned()))
        .await;
    assert!(matches!(stale, Err(EngineError::EtagMismatch { .. })));
    let too_many = engine.set_override(override_of(9), None).await;
    assert!(matches!(too_many, Err(EngineError::Argument { .. })));
    engine.shutdown_with(OnShutdown::Keep).await.unwrap();

    let engine = Engine::start(config(folder.path())).await.unwrap();
    assert_eq!(engine.overrides().await.unwrap(), set);
    until_ready(&engine, 3).await;
    let clear = OverrideChange::Clear {
        name: "exam".to_owned(),
    };
    engine.set_override(clear, None).await.unwrap();
    until_ready(&engine, 2).await;
    stop(&engine, folder.path()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_rule_pre_allocates_when_a_forecast_passes_its_threshold() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::start(config(folder.path())).await.unwrap();
    until_ready(&engine, 2).await;
    let mut shadow = engine.shadow_config().await.unwrap();
    shadow.config.triggers.push(TriggerRule {
        name: "busy".to_owned(),
        subject: RuleSubject::Any,
        metric: "cpu_usage_pct".to_owned(),
        quantile: 0.5,
        threshold: 50.0,
        release_below: 40.0,
        within: Duration::from_secs(1),
        pool: pool(),
        wanted: Wanted::Instances(4),
        keep: Duration::from_mins(1),
    });
    let etag = Some(shadow.etag.clone());
    let dry = engine
        .set_shadow_config(shadow.config.clone(), etag.clone(), true)
        .await
        .unwrap();
    assert!(!dry.applied);
    assert_eq!(engine.shadow_config().await.unwrap().etag, shadow.etag);
    let set = engine
        .set_shadow_config(shadow.config, etag, false)
        .await
        .unwrap();
    assert!(set.applied);
    engine.report(vec![sample(clock(), 90.0)]).await.unwrap();
    until_ready(&engine, 4).await;
    stop(&engine, folder.path()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_demand_and_go_into_the_history() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::start(config(folder.path())).await.unwrap();
    until_ready(&engine, 2).await;
    engine.allocate(web_request("ada")).await.unwrap();
    let counted = async {
        while engine.pools().await.unwrap()[0].outcomes.hits == 0 {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(20), counted).await.unwrap();
    let outcomes = engine.pools().await.unwrap()[0].outcomes;
    assert_eq!((outcomes.hits, outcomes.misses), (1, 0));
    predicted(&engine, Subject::Pool(pool()), "requests").await;
    stop(&engine, folder.path()).await;
    let files = std::fs::read_dir(folder.path().join("history/requests")).unwrap();
    assert_eq!(files.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_previewed_plan_is_logged_and_scored_but_carried_out_only_when_made_live() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path());
    config.shadow.objectives = [(
        pool(),
        PoolObjective {
            execution: Some(Execution::Preview { keep: 3 }),
            ..PoolObjective::default()
        },
    )]
    .into();
    let engine = Engine::start(config).await.unwrap();
    until_ready(&engine, 3).await;
    let held = engine.allocate(web_request("ada")).await.unwrap();
    let scored = async {
        loop {
            let pools = engine.pools().await.unwrap();
            let preview = pools[0].preview.unwrap();
            if preview.requests == 1 {
                return preview;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    let preview = timeout(Duration::from_secs(20), scored).await.unwrap();
    assert_eq!((preview.kept, preview.kept_hits), (3, 1));
    assert!(preview.proposed >= 2, "the pool's least target is 2");
    let explained = engine.explain(pool(), clock()).await.unwrap();
    assert_eq!(explained.target, 3);
    assert_eq!(explained.proposed, Some(preview.proposed));
    let reasons = explained.basis.reasons.join("; ");
    assert!(reasons.contains("preview"), "{reasons}");

    let outcome = engine.make_live(pool()).await.unwrap();
    assert!(outcome.applied);
    let live = async {
        while engine
            .explain(pool(), clock())
            .await
            .unwrap()
            .proposed
            .is_some()
        {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(20), live).await.unwrap();
    assert!(engine.pools().await.unwrap()[0].preview.is_none());
    let before = clock() - Duration::from_hours(1);
    let unknown = engine.explain(pool(), before).await;
    assert!(matches!(unknown, Err(EngineError::NoPlan { .. })));
    let token = held.fencing_token.unwrap();
    engine.release(held.id, token).await.unwrap();
    stop(&engine, folder.path()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_of_a_schedule_is_kept_and_explained() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path());
    config.shadow.schedules = vec![Schedule {
        name: "always".to_owned(),
        pool: pool(),
        starts: "* * * * *".parse().unwrap(),
        lasts: Duration::from_mins(2),
        count: 3,
    }];
    let engine = Engine::start(config).await.unwrap();
    until_ready(&engine, 3).await;
    let explained = engine.explain(pool(), clock()).await.unwrap();
    let reasons = explained.basis.reasons.join("; ");
    assert!(reasons.contains("schedule `always`"), "{reasons}");
    stop(&engine, folder.path()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_for_more_than_is_warm_waits_for_its_shape() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path());
    config.pools[0].spec.shape = vcpus(2);
    let mut large = config.pools[0].clone();
    large.spec.name = PoolName::new("large").unwrap();
    large.spec.shape = vcpus(8);
    large.spec.min = InstanceCount(0);
    config.pools.push(large);
    let engine = Engine::start(config).await.unwrap();
    let warm = async {
        while !engine
            .pools()
            .await
            .unwrap()
            .iter()
            .any(|pool| pool.status.ready == 2)
        {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(20), warm).await.unwrap();

    let asked = Requirements {
        shape: vcpus(4),
        ..Requirements::default()
    };
    let target = Target::Requirements(Arc::new(asked));
    let request = AllocationRequest::builder(TenantId::new("acme").unwrap(), target);
    let joined = engine.allocate(request.build().unwrap()).await.unwrap();
    assert_eq!(joined.pool.as_str(), "large");
    let told = async {
        loop {
            let pools = engine.pools().await.unwrap();
            let waits = pools.iter().flat_map(|pool| {
                let name = pool.status.name.as_str();
                pool.waits
                    .iter()
                    .map(move |(cause, count)| (name, cause.as_str(), *count))
            });
            let waits: Vec<_> = waits.collect();
            if !waits.is_empty() {
                assert_eq!(waits, [("large", "shape_mismatch", 1)]);
                return;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(20), told).await.unwrap();
    stop(&engine, folder.path()).await;
}

fn vcpus(count: u32) -> Shape {
    Shape {
        vcpus: Vcpus::new(f64::from(count)).unwrap(),
        ..Shape::default()
    }
}
