//! Which model forecasts.

use std::{
    path::Path,
    time::{Duration, UNIX_EPOCH},
};

use foreshadow_engine::{
    Engine, EngineConfig, EngineHandle, PredictRequest, Prediction, Subject, shadow::Observation,
};
use foreshadow_types::{EntityId, Timestamp};
use tokio::time::{sleep, timeout};

fn ada() -> EntityId {
    EntityId::new("ada").unwrap()
}

/// What a folder of earlier runs holds: six hours of a user's samples, one every two minutes.
async fn some_hours_of_history(folder: &Path) {
    let engine = Engine::start(EngineConfig::new(folder)).await.unwrap();
    let now_ms = UNIX_EPOCH.elapsed().unwrap().as_millis() as i64;
    let sample = |number: i64| Observation {
        entity: ada(),
        metric: "cpu_usage_pct".into(),
        at: Timestamp::from_millis(now_ms - number * 120_000),
        value: 40.0 + (number % 7) as f64,
    };
    let reported = engine.report((0..180).rev().map(sample).collect()).await;
    assert_eq!(reported.unwrap().accepted, 180);
    engine.shutdown().await.unwrap();
}

/// Starts with bins of five minutes: the first tick finds those of the earlier run.
async fn started(folder: &Path, pretrained: bool) -> EngineHandle {
    let mut config = EngineConfig::new(folder);
    config.pretrained = pretrained;
    config.shadow.tick = Duration::from_mins(5);
    Engine::start(config).await.unwrap()
}

async fn predicted(engine: &EngineHandle) -> Prediction {
    let request = PredictRequest {
        subject: Subject::Entity(ada()),
        metric: Some("cpu_usage_pct".to_owned()),
        horizon: Duration::from_mins(30),
        levels: vec![0.1, 0.5, 0.9],
    };
    let answer = async {
        loop {
            if let Ok(prediction) = engine.predict(request.clone()).await {
                return prediction;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(20), answer).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_is_forecast_by_the_pretrained_model_until_there_is_another() {
    let folder = tempfile::tempdir().unwrap();
    some_hours_of_history(folder.path()).await;

    let engine = started(folder.path(), true).await;
    let forecast = predicted(&engine).await;
    assert_eq!(
        (forecast.model.as_str(), forecast.fallback),
        ("pretrained", false)
    );
    let [low, middle, high] = [0.1, 0.5, 0.9].map(|level| forecast.quantiles.quantile(0, level));
    assert!(30.0 < low && low < middle && middle < high && high < 60.0);
    let models = engine.models().await.unwrap();
    assert_eq!(models.len(), 1);
    assert_eq!(
        (models[0].name.as_str(), models[0].in_use),
        ("pretrained", true)
    );
    assert!(models[0].trained_through.is_ok());
    let refused = engine.use_model(Some("pretrained".to_owned())).await;
    assert!(refused.unwrap_err().to_string().contains("current"));
    engine.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_pretrained_model_seasonal_naive_answers() {
    let folder = tempfile::tempdir().unwrap();
    some_hours_of_history(folder.path()).await;
    let engine = started(folder.path(), false).await;
    assert_eq!(predicted(&engine).await.model, "seasonal-naive");
    assert!(engine.models().await.unwrap().is_empty());
    engine.shutdown().await.unwrap();
}
