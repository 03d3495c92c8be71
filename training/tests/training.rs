//! A training run as its callers see it, on a small history with a daily pattern.

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    time::Duration,
};

use foreshadow_forecast::{PLANNING_LEVELS, Panel, SeriesId};
use foreshadow_lstm::{Compute, NetworkSize, Random};
use foreshadow_training::{
    EpochReport, LoadedModel, Manifest, Observer, StepProgress, TrainError, TrainOptions,
    load_model, train,
};
use foreshadow_types::{EntityId, Timestamp};

/// Ends the run, as a kill would, after the epoch given.
#[derive(Default)]
struct Watch {
    killed_after: Option<u64>,
    resumed_at: Option<u64>,
    epochs: u64,
}

impl Observer for Watch {
    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }

    fn stepped(&mut self, progress: &StepProgress) {
        assert!(progress.loss.is_finite());
    }

    fn epoch(&mut self, report: &EpochReport<'_>) {
        self.epochs += 1;
        assert!(report.checkpoint.exists());
        assert!(self.killed_after != Some(report.epoch), "killed");
    }

    fn resumed(&mut self, epoch: u64) {
        self.resumed_at = Some(epoch);
    }
}

/// Hourly values that follow the time of day, with noise, gaps, a late start and a series of zeros.
fn history(days: usize) -> Panel {
    let (series, bins) = (8, 24 * days);
    let mut random = Random::new(1, 0);
    let values = (0..series * bins)
        .map(|index| {
            let (row, bin) = (index / bins, index % bins);
            let day = std::f32::consts::TAU * (bin % 24) as f32 / 24.0;
            let noise = random.unit() + random.unit() - 1.0;
            let value = 10.0_f32.powi(row as i32 % 4) * (2.0 + (day + row as f32).sin() + noise);
            match row {
                0 if random.unit() < 0.1 => f32::NAN,
                1 if bin < bins / 3 => f32::NAN,
                7 => 0.0,
                _ => value,
            }
        })
        .collect();
    let id = |row: usize| {
        SeriesId::of_entity(
            EntityId::new(&format!("user-{row}")).expect("a name"),
            "cpu_usage_pct".to_owned(),
        )
    };
    let start = Timestamp::from_millis(1_372_636_800_000);
    let ids = (0..series).map(id).collect();
    Panel::new(start, Duration::from_hours(1), ids, bins, values)
}

fn options(epochs: u64, epoch_steps: u64) -> TrainOptions {
    TrainOptions {
        network: NetworkSize {
            hidden: 8,
            layers: 2,
            head: 12,
            head_inner: 8,
            levels: PLANNING_LEVELS.to_vec(),
        },
        epochs: Some(epochs),
        epoch_steps,
        ..TrainOptions::default()
    }
}

fn run(options: &TrainOptions, out: &Path, watch: &mut Watch) -> Result<Manifest, TrainError> {
    train(&history(25), options, &Compute::cpu(), out, watch)
}

#[test]
fn a_trained_model_beats_seasonal_naive_on_a_daily_pattern() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = run(&options(4, 60), folder.path(), &mut Watch::default()).unwrap();
    let crps = |name: &str| {
        let models = &manifest.validation.models;
        models
            .iter()
            .find(|row| row.model == name)
            .and_then(|row| row.crps)
            .unwrap()
    };
    assert!(crps("lstm") < 0.8 * crps("seasonal-naive"), "{manifest:?}");
    let model = load_model(folder.path()).unwrap();
    // Reading a number from JSON may change its last digit.
    let text = serde_json::to_string(&manifest).unwrap();
    assert_eq!(model.manifest, serde_json::from_str(&text).unwrap());
    assert_eq!(model.trained_through, history(25).bin_start(25 * 24 - 1));
    assert!(!folder.path().join("checkpoint.bin").exists());
}

#[test]
fn the_same_seed_gives_the_same_weights_and_another_seed_others() {
    let weights = |seed| {
        let folder = tempfile::tempdir().unwrap();
        let options = TrainOptions {
            seed,
            ..options(1, 4)
        };
        run(&options, folder.path(), &mut Watch::default()).unwrap();
        load_model(folder.path())
            .unwrap()
            .network
            .weights()
            .to_vec()
    };
    assert_eq!(weights(1), weights(1));
    assert_ne!(weights(1), weights(2));
}

#[test]
fn what_is_begun_with_is_kept_where_nothing_better_is_learnt() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    run(&options(2, 20), first.path(), &mut Watch::default()).unwrap();
    let model = load_model(first.path()).unwrap();
    let options = |epochs| TrainOptions {
        from: Some(("first".to_owned(), model.clone())),
        ..options(epochs, 20)
    };
    let earlier = history(20);
    let on = |epochs| {
        let options = options(epochs);
        let watch = &mut Watch::default();
        train(&earlier, &options, &Compute::cpu(), second.path(), watch).unwrap();
        load_model(second.path()).unwrap()
    };
    let untouched = on(0);
    assert_eq!(untouched.network.weights(), model.network.weights());
    assert_eq!(untouched.manifest.begun_with.as_deref(), Some("first"));
    assert_eq!(
        untouched.trained_through, model.trained_through,
        "it has seen what those weights have"
    );
    let loss = |model: &LoadedModel| model.manifest.validation.models[0].crps.unwrap();
    let further = on(3);
    assert!(loss(&further) < 1.05 * loss(&untouched));
}

#[test]
fn histories_of_other_times_are_learnt_beside() {
    let weights = |beside: Vec<(Panel, f32)>| {
        let folder = tempfile::tempdir().unwrap();
        let options = TrainOptions {
            beside,
            ..options(1, 10)
        };
        let watch = &mut Watch::default();
        train(
            &history(20),
            &options,
            &Compute::cpu(),
            folder.path(),
            watch,
        )
        .unwrap();
        load_model(folder.path()).unwrap()
    };
    let (alone, both) = (weights(Vec::new()), weights(vec![(history(25), 0.5)]));
    assert_ne!(alone.network.weights(), both.network.weights());
    assert_eq!(alone.trained_through, history(20).bin_start(20 * 24 - 1));
    assert_eq!(both.trained_through, history(25).bin_start(25 * 24 - 1));
}

#[test]
fn a_killed_run_goes_on_as_if_it_had_not_been_interrupted() {
    let (whole, killed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let options = options(3, 4);
    run(&options, whole.path(), &mut Watch::default()).unwrap();
    let mut doomed = Watch {
        killed_after: Some(2),
        ..Watch::default()
    };
    let death = catch_unwind(AssertUnwindSafe(|| {
        run(&options, killed.path(), &mut doomed)
    }));
    assert!(death.is_err());
    let mut second = Watch::default();
    run(&options, killed.path(), &mut second).unwrap();
    assert_eq!((second.resumed_at, second.epochs), (Some(2), 1));
    let weights = |folder: &Path| load_model(folder).unwrap().network.weights().to_vec();
    assert_eq!(weights(killed.path()), weights(whole.path()));
}

#[test]
fn too_little_history_is_said_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let panel = history(1).truncated(8);
    let options = options(1, 1);
    let error = train(
        &panel,
        &options,
        &Compute::cpu(),
        folder.path(),
        &mut Watch::default(),
    );
    assert!(matches!(error, Err(TrainError::Data(_))), "{error:?}");
}

#[test]
fn a_damaged_or_foreign_model_is_refused_by_the_name_of_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |file: &str| {
        let error = load_model(folder.path()).expect_err("refused").to_string();
        assert!(error.contains(file) && !error.contains('\n'), "{error}");
    };
    refused("manifest.json");
    run(&options(1, 1), folder.path(), &mut Watch::default()).unwrap();
    let weights = folder.path().join("weights.safetensors");
    let whole = fs::read(&weights).unwrap();
    fs::write(&weights, &whole[..whole.len() - 9]).unwrap();
    refused("weights.safetensors");
    fs::write(&weights, &whole).unwrap();
    let manifest = folder.path().join("manifest.json");
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(
        &manifest,
        text.replace("foreshadow-lstm/2", "foreshadow-lstm/9"),
    )
    .unwrap();
    refused("manifest.json");
}

#[test]
fn the_pretrained_weights_load_and_are_small() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/pretrained/usage");
    let model = load_model(&folder).unwrap();
    assert_eq!(model.manifest.parameters, model.network.weights().len());
    let bytes = fs::metadata(folder.join("weights.safetensors"))
        .unwrap()
        .len();
    assert!(bytes < 5 << 20, "{bytes}");
}
