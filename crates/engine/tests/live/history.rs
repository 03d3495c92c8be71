//! Samples on their way into the history.

use std::time::{Duration, UNIX_EPOCH};

use foreshadow_engine::{Engine, EngineConfig, shadow::Observation};
use foreshadow_history::{HistoryPaths, PanelLimits, PanelOptions, load_panel};
use foreshadow_types::{EntityId, Timestamp, UserId};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

/// Samples in one report, and how many reports there are at once.
const SAMPLES: u32 = 5;
const REPORTS: u32 = 50;

#[tokio::test]
async fn reports_wait_while_the_history_is_behind_and_none_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = EngineConfig::new(folder.path());
    // Fewer than two reports hold.
    config.limits.unsealed = 8;
    let engine = Engine::start(config).await.unwrap();
    let now_ms = UNIX_EPOCH.elapsed().unwrap().as_millis() as i64;
    let mut reports = JoinSet::new();
    for report in 0..REPORTS {
        let sample = |number: u32| Observation {
            entity: EntityId::new("ada").unwrap(),
            metric: "cpu".into(),
            at: Timestamp::from_millis(now_ms - i64::from(report * SAMPLES + number) * 1_000),
            value: 1.0,
        };
        let observations = (0..SAMPLES).map(sample).collect();
        let engine = engine.clone();
        reports.spawn(async move { engine.report(observations).await });
    }
    let answered = timeout(Duration::from_mins(1), reports.join_all()).await;
    for outcome in answered.expect("all reports are answered") {
        assert_eq!(outcome.unwrap().accepted, u64::from(SAMPLES));
    }
    engine.shutdown().await.unwrap();

    let paths = HistoryPaths::expand(&[folder.path().join("history/usage")]).unwrap();
    let options = PanelOptions {
        metrics: None,
        interval: Duration::from_secs(1),
        until: None,
        limits: PanelLimits::Refuse { max_values: 1_000 },
    };
    let panel = load_panel(&paths, &options).unwrap();
    let kept = panel.series(0).iter().filter(|value| value.is_finite());
    assert_eq!(kept.count(), (REPORTS * SAMPLES) as usize);
}

#[tokio::test]
async fn a_shadow_goes_on_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::start(EngineConfig::new(folder.path()))
        .await
        .unwrap();
    let now_ms = UNIX_EPOCH.elapsed().unwrap().as_millis() as i64;
    let sample = |minute: i64| Observation {
        entity: EntityId::new("ada").unwrap(),
        metric: "cpu".into(),
        at: Timestamp::from_millis(now_ms - minute * 60_000),
        value: 3.0,
    };
    engine
        .report((0..90).rev().map(sample).collect())
        .await
        .unwrap();
    engine.shutdown().await.unwrap();

    let engine = Engine::start(EngineConfig::new(folder.path()))
        .await
        .unwrap();
    let ada = UserId::new("ada").unwrap();
    let known = async {
        loop {
            if let Ok(shadow) = engine.resource_shadow(&ada).await {
                return shadow;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    let shadow = timeout(Duration::from_mins(1), known).await.unwrap();
    assert!(format!("{shadow:?}").contains("\"cpu\""), "{shadow:?}");
    engine.shutdown().await.unwrap();
}
