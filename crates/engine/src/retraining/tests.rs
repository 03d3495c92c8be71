//! Trainings whose child is a script.

use std::{
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

use foreshadow_forecast::{ForecastError, Forecaster, QuantileForecast};
use foreshadow_history::UsageWriter;
use foreshadow_ledger::AuditQuery;
use foreshadow_types::{Bytes, EntityId, Timestamp};
use tokio::sync::{Mutex, Notify, OwnedMutexGuard};

use super::*;
use crate::scribe::Kept;

/// Forecasts the one number that its file holds.
struct Constant(f32);

impl Forecaster for Constant {
    fn name(&self) -> &'static str {
        "constant"
    }

    fn forecast(
        &mut self,
        panel: &foreshadow_forecast::Panel,
        origins: &[usize],
        horizon: usize,
        levels: &[f64],
    ) -> Result<Vec<Vec<QuantileForecast>>, ForecastError> {
        let one = QuantileForecast::from_points(levels, &vec![self.0; horizon]);
        Ok(vec![vec![one; panel.ids().len()]; origins.len()])
    }
}

/// A model for [`load_constant`].
pub(super) fn write_constant(folder: &Path, value: &str) -> PathBuf {
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(folder.join("value"), value).unwrap();
    folder.to_owned()
}

pub(super) fn load_constant() -> LoadModel {
    Arc::new(|folder| {
        let text = std::fs::read_to_string(folder.join("value"));
        let value = text.map_err(|error| error.to_string())?.trim().parse();
        Ok(LoadedForecaster {
            forecaster: Box::new(Constant(value.map_err(|_| "not a number".to_owned())?)),
            interval: Duration::from_secs(1),
            trained_through: Timestamp::MIN,
            pools: std::collections::BTreeMap::new(),
            measures: Vec::new(),
        })
    })
}

/// 200 seconds of a value that jumps about between 0 and 10, so that 5 is a fair guess and
/// repeating the last value a bad one.
fn write_history(folder: &HistoryFolder, end: Timestamp) {
    let path = folder.usage().join("1.parquet");
    let mut writer = UsageWriter::create(&path, &["cpu"]).unwrap();
    let entity = EntityId::new("ada").unwrap();
    for second in 0..200 {
        let at = end - Duration::from_secs(200 - second);
        let value = (second * 41 % 101) as f64 / 10.0;
        writer.write(at, &entity, &[Some(value)]).unwrap();
    }
    writer.finish().unwrap();
}

fn retraining(folder: &Path, planning: mpsc::Sender<PlanningCommand>) -> Retraining {
    let numbers = Arc::new(Numbers::default());
    let history = HistoryFolder::open(&folder.join("history"), &folder.join("journal")).unwrap();
    write_history(&history, numbers.clock.now());
    let (collector, mut collected) = mpsc::channel(1);
    tokio::spawn(async move {
        while let Some(CollectorCommand::Flush { reply }) = collected.recv().await {
            let _ = reply.send(());
        }
    });
    let year = Duration::from_hours(365 * 24);
    let kept = Kept {
        plans: year,
        audit: year,
    };
    Retraining {
        config: RetrainingConfig::default(),
        models: folder.join("models"),
        history,
        imports: Vec::new(),
        seed: 1,
        configured: None,
        pretrained: true,
        load: load_constant(),
        scribe: Scribe::start(folder.to_owned(), kept).unwrap(),
        numbers,
        collector,
        planning,
    }
}

/// A training that writes a number to the folder that comes last on its command line.
fn trains_to(value: &str) -> Vec<String> {
    let script = format!("for out; do :; done; mkdir -p \"$out\" && echo {value} > \"$out/value\"");
    ["sh", "-c", &script, "train"].map(str::to_owned).to_vec()
}

fn now() -> TrainNow {
    TrainNow {
        interval: Duration::from_secs(1),
        ruled: Ruled::default(),
    }
}

#[tokio::test]
async fn only_a_better_model_is_promoted() {
    let folder = tempfile::tempdir().unwrap();
    let (planning, mut promoted) = mpsc::channel(4);
    let mut retraining = retraining(folder.path(), planning);
    let current = |retraining: &Retraining| {
        let current = foreshadow_training::current_model(&retraining.models).unwrap();
        current.map(|folder| folder.file_name().unwrap().to_owned())
    };

    retraining.config.command = Some(trains_to("1000"));
    assert!(matches!(
        retraining.train(now()).await,
        Ok(Trained::Kept { .. })
    ));
    assert_eq!(current(&retraining), None);

    retraining.config.command = Some(trains_to("4"));
    assert!(matches!(
        retraining.train(now()).await,
        Ok(Trained::Promoted { .. })
    ));
    assert_eq!(current(&retraining), Some("candidate-2".into()));
    assert!(matches!(
        promoted.try_recv(),
        Ok(PlanningCommand::UseModel(_))
    ));

    for worse in ["4", "-3"] {
        retraining.config.command = Some(trains_to(worse));
        assert!(
            matches!(retraining.train(now()).await, Ok(Trained::Kept { .. })),
            "{worse}"
        );
    }
    assert_eq!(current(&retraining), Some("candidate-2".into()));
    assert!(promoted.try_recv().is_err());
}

#[tokio::test]
async fn a_training_that_fails_says_why_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (planning, mut promoted) = mpsc::channel(4);
    let mut retraining = retraining(folder.path(), planning);
    let script = "echo no memory left >&2; exit 1";
    retraining.config.command = Some(["sh", "-c", script].map(str::to_owned).to_vec());
    let reason = retraining.train(now()).await.unwrap_err();
    assert!(reason.contains("no memory left"), "{reason}");
    retraining.config.command = Some(trains_to("garbage"));
    assert!(retraining.train(now()).await.is_err());
    assert!(promoted.try_recv().is_err());
}

#[tokio::test]
async fn a_training_that_needs_more_memory_than_it_may_have_fails_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let (planning, mut promoted) = mpsc::channel(4);
    let mut retraining = retraining(folder.path(), planning);
    let script = "head -c 268435456 /dev/zero | tail > /dev/null";
    retraining.config.command = Some(["sh", "-c", script].map(str::to_owned).to_vec());
    retraining.config.memory = Some(Bytes(64 << 20));
    let reason = retraining.train(now()).await.unwrap_err();
    assert!(reason.contains("more than the 64MiB of memory"), "{reason}");
    retraining.tell(Err(reason.clone())).await;
    let query = AuditQuery {
        limit: 9,
        ..AuditQuery::default()
    };
    let written = retraining.scribe.audited(query).await.unwrap();
    assert_eq!(written.len(), 1);
    assert_eq!(
        (written[0].who.as_str(), &written[0].refusal),
        ("retraining", &reason)
    );
    assert!(promoted.try_recv().is_err());

    // The next has its limit to itself.
    retraining.config.command = Some(trains_to("4"));
    let trained = retraining.train(now()).await;
    assert!(
        matches!(trained, Ok(Trained::Promoted { .. })),
        "{trained:?}"
    );
}

/// One turn at a time of those who share it; which is lost when told, and is not confirmed then.
#[derive(Default)]
struct InTurn {
    /// How many turns there were, and whether a training is done.
    gate: Arc<Mutex<(u64, bool)>>,
    lost: Arc<Notify>,
    is_lost: Arc<AtomicBool>,
}

struct ItsTurn {
    gate: OwnedMutexGuard<(u64, bool)>,
    lost: Arc<Notify>,
    is_lost: Arc<AtomicBool>,
}

impl TrainingLock for InTurn {
    fn take(&self) -> Answer<'_, Result<Box<dyn TrainingTurn>, String>> {
        Box::pin(async {
            let mut gate = self.gate.clone().lock_owned().await;
            gate.0 += 1;
            Ok(Box::new(ItsTurn {
                gate,
                lost: self.lost.clone(),
                is_lost: self.is_lost.clone(),
            }) as Box<dyn TrainingTurn>)
        })
    }
}

impl TrainingTurn for ItsTurn {
    fn epoch(&self) -> u64 {
        self.gate.0
    }

    fn since_last(&self) -> Option<Duration> {
        self.gate.1.then_some(Duration::ZERO)
    }

    fn lost(&mut self) -> Answer<'_, ()> {
        Box::pin(self.lost.notified())
    }

    fn confirm(&mut self) -> Answer<'_, Result<bool, String>> {
        Box::pin(async { Ok(!self.is_lost.load(Ordering::Relaxed)) })
    }

    fn give_back(mut self: Box<Self>, done: bool) -> Answer<'static, ()> {
        self.gate.1 |= done;
        Box::pin(async { drop(self.gate) })
    }
}

#[tokio::test]
async fn two_engines_that_share_turns_never_train_at_once() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let busy = folders[0].path().join("busy");
    let busy = busy.display();
    let script = format!(
        "for out; do :; done; mkdir {busy} || touch {busy}-twice; sleep 0.2; rmdir {busy}; \
         mkdir -p \"$out\" && echo 4 > \"$out/value\""
    );
    let turns = TrainingTurns::of(Arc::new(InTurn::default()));
    let (planning, _promoted) = mpsc::channel(4);
    let both = folders.each_ref().map(|folder| {
        let mut one = retraining(folder.path(), planning.clone());
        one.config.command = Some(["sh", "-c", &script, "train"].map(str::to_owned).to_vec());
        one.config.turns = turns.clone();
        one
    });
    let trained = tokio::join!(both[0].train(now()), both[1].train(now()));
    assert!(matches!(
        trained,
        (Ok(Trained::Promoted { .. }), Ok(Trained::Promoted { .. }))
    ));
    assert!(!folders[0].path().join("busy-twice").exists());
}

#[tokio::test]
async fn what_was_trained_in_a_turn_that_was_lost_is_not_promoted() {
    let folder = tempfile::tempdir().unwrap();
    let (planning, mut promoted) = mpsc::channel(4);
    let mut retraining = retraining(folder.path(), planning);
    let lock = InTurn::default();
    let (lost, is_lost) = (lock.lost.clone(), lock.is_lost.clone());
    retraining.config.turns = TrainingTurns::of(Arc::new(lock));

    // It is lost while the child trains.
    let script = ["sh", "-c", "exec sleep 60"];
    retraining.config.command = Some(script.map(str::to_owned).to_vec());
    lost.notify_one();
    let reason = retraining.train(now()).await.unwrap_err();
    assert!(reason.contains("another replica trains"), "{reason}");

    // It was lost when the candidate was there.
    retraining.config.command = Some(trains_to("4"));
    is_lost.store(true, Ordering::Relaxed);
    let reason = retraining.train(now()).await.unwrap_err();
    assert!(reason.contains("another replica trains"), "{reason}");
    let current = foreshadow_training::current_model(&retraining.models).unwrap();
    assert_eq!(current, None);
    assert!(promoted.try_recv().is_err());

    is_lost.store(false, Ordering::Relaxed);
    let trained = retraining.train(now()).await;
    assert!(matches!(trained, Ok(Trained::Promoted { .. })));
}

#[tokio::test]
async fn one_trains_for_all_that_share_what_is_learnt() {
    let folder = tempfile::tempdir().unwrap();
    let (planning, mut promoted) = mpsc::channel(4);
    let names = ["a", "b", "late"];
    let shared = SharedTraining::of(folder.path().to_owned());
    let turns = TrainingTurns::of(Arc::new(InTurn::default()));
    let [a, b, late] = names.map(|name| {
        let mut one = retraining(&folder.path().join(name), planning.clone());
        let mut command = trains_to("4");
        command[2] += " && touch \"$out/manifest.json\"";
        one.config.command = Some(command);
        one.config.turns = turns.clone();
        one.config.shared = Some(shared.clone());
        one
    });
    let usage = names.map(|name| folder.path().join(name).join("history/usage"));
    assert_eq!(a.histories().await.unwrap(), usage);
    assert!(matches!(a.train(now()).await, Ok(Trained::Promoted { .. })));
    assert!(matches!(b.train(now()).await, Ok(Trained::ByAnother)));
    late.take_newest().await.unwrap();
    for one in [&a, &b, &late] {
        let current = foreshadow_training::current_model(&one.models).unwrap();
        let value = std::fs::read_to_string(current.unwrap().join("value")).unwrap();
        assert_eq!(value.trim(), "4");
        assert!(matches!(
            promoted.try_recv(),
            Ok(PlanningCommand::UseModel(_))
        ));
    }
    // What is in use is not taken up again.
    late.take_newest().await.unwrap();
    assert!(promoted.try_recv().is_err());
}

/// Half a day of minutes about 5, the last hour of which is garbage.
fn write_garbage(folder: &HistoryFolder, end: Timestamp) {
    let path = folder.usage().join("1.parquet");
    let mut writer = UsageWriter::create(&path, &["cpu"]).unwrap();
    let entity = EntityId::new("ada").unwrap();
    for minute in (0..720_u64).rev() {
        let clean = (minute * 41 % 101) as f64 / 10.0;
        let value = if minute < 60 { 5_000.0 } else { clean };
        let at = end - Duration::from_mins(minute + 1);
        writer.write(at, &entity, &[Some(value)]).unwrap();
    }
    writer.finish().unwrap();
}

#[tokio::test]
async fn an_hour_of_garbage_at_bins_of_a_minute_promotes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (planning, mut promoted) = mpsc::channel(4);
    let mut retraining = retraining(folder.path(), planning);
    write_garbage(&retraining.history, retraining.numbers.clock.now());
    let train = TrainNow {
        interval: Duration::from_mins(1),
        ruled: Ruled::default(),
    };
    retraining.config.command = Some(trains_to("5000"));
    let poisoned = retraining.train(train).await;
    assert!(matches!(poisoned, Ok(Trained::Kept { .. })), "{poisoned:?}");
    assert!(promoted.try_recv().is_err());
}

/// A replay that answers with this.
fn answers(report: &str) -> Vec<String> {
    let script = format!("cat \"$2\" > /dev/null && echo '{report}'");
    ["sh", "-c", &script, "replay"].map(str::to_owned).to_vec()
}

#[tokio::test]
async fn a_model_with_better_forecasts_that_serves_pools_worse_is_kept_aside() {
    let folder = tempfile::tempdir().unwrap();
    let (planning, mut promoted) = mpsc::channel(4);
    let mut retraining = retraining(folder.path(), planning);
    retraining.config.command = Some(trains_to("4"));
    let report = |candidate: u64, in_use: u64| {
        let served = |hits| format!(r#"{{"hits":{hits},"idle_s":10.0}}"#);
        let (candidate, current) = (served(candidate), served(in_use));
        answers(&format!(
            r#"{{"pools":[{{"pool":"web","requests":100,"candidate":{candidate},"current":{current}}}],"left_out":1}}"#
        ))
    };
    let ruled = || TrainNow {
        ruled: ruled::tests::any(),
        ..now()
    };
    retraining.config.replay = Some(report(80, 90));
    let kept = retraining.train(ruled()).await;
    let Ok(Trained::Kept { name, reason }) = kept else {
        panic!("{kept:?}");
    };
    assert!(reason.contains("of 100 requests 80 hit"), "{reason}");
    let candidate = retraining.models.join(name);
    let files = |name: &str| candidate.join(name).exists();
    assert!(files("pools.json"), "it is there for inspection");
    assert!(!files("pools-case.json"), "it names people");
    assert!(promoted.try_recv().is_err());

    retraining.config.replay = Some(answers("no report"));
    let failed = retraining.train(ruled()).await.unwrap_err();
    assert!(failed.contains("could not be replayed"), "{failed}");

    // Where no rule keeps a pool warm, there is nothing to replay.
    let trained = retraining.train(now()).await;
    assert!(matches!(trained, Ok(Trained::Promoted { .. })));
    retraining.config.command = Some(trains_to("5"));
    retraining.config.replay = Some(report(90, 90));
    let trained = retraining.train(ruled()).await;
    assert!(
        matches!(trained, Ok(Trained::Promoted { .. })),
        "{trained:?}"
    );
}
