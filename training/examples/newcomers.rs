//! What history is worth: forecasts of entities that no training saw, on their first day and with all of
//! their past.
//!
//! ```sh
//! cargo run --release -p foreshadow-training --example newcomers -- usage.parquet cpu_usage_mhz
//! ```
//!
//! Every fifth series is hidden from training, which ends four days before the end. Each of the last
//! three days is then a first day: of the hidden series nothing is known but one bin before it.

use std::{path::PathBuf, time::Duration};

use anyhow::Context as _;
use foreshadow_forecast::{AccuracySums, EVALUATION_LEVELS, Evaluation, Panel, Protocol};
use foreshadow_lstm::{Compute, LstmForecaster};
use foreshadow_training::{
    DatasetOptions, EpochReport, Observer, StepProgress, TrainOptions, load_dataset, load_model,
    train,
};

const HIDDEN: usize = 5;
const DAYS: usize = 3;
const HORIZON: usize = 48;
const INTERVAL: Duration = Duration::from_mins(5);
const DAY: usize = 288;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let file = PathBuf::from(arguments.next().context("which file of usage?")?);
    let metric = arguments.next().context("which metric?")?;
    let panel = load_dataset(&DatasetOptions {
        history: vec![file],
        metrics: Some(vec![metric]),
        interval: INTERVAL,
        until: None,
        seed: 0,
    })?;
    let (newcomers, known): (Vec<usize>, Vec<usize>) =
        (0..panel.ids().len()).partition(|series| series.is_multiple_of(HIDDEN));
    let past = panel.bins().checked_sub((DAYS + 1) * DAY);
    let past = past.context("give more than four days")?;
    let mut model = fitted(&panel.only(&known).truncated(past))?;
    let newcomers = panel.only(&newcomers);
    let (mut first, mut whole) = (Sums::new(), Sums::new());
    for day in (1..=DAYS).rev() {
        let end = panel.bins() - (day - 1) * DAY;
        let history = newcomers.truncated(end);
        whole.add(&history, &mut model)?;
        first.add(&unknown_before(&history, end - DAY - 1), &mut model)?;
    }
    println!("windows of {HORIZON} steps    first day    all history    ratio");
    for (window, (first, whole)) in first.0.iter().zip(&whole.0).enumerate() {
        row(&format!("window {}", window + 1), first, whole);
    }
    row("all day", &first.all(), &whole.all());
    Ok(())
}

fn row(name: &str, first: &AccuracySums, whole: &AccuracySums) {
    let (first, whole) = (first.accuracy().crps, whole.accuracy().crps);
    let ratio = first / whole;
    println!("{name:22} {first:11.4} {whole:14.4} {ratio:8.3}");
}

fn fitted(panel: &Panel) -> anyhow::Result<LstmForecaster> {
    let folder = tempfile::tempdir()?;
    let options = TrainOptions::default();
    train(panel, &options, &Compute::cpu(), folder.path(), &mut Epochs)?;
    Ok(load_model(folder.path())?.forecaster())
}

/// The panel as it would be had nothing been sampled before a bin.
fn unknown_before(panel: &Panel, first: usize) -> Panel {
    let values = (0..panel.ids().len()).flat_map(|series| {
        let values = panel.series(series).iter().enumerate();
        values.map(|(bin, &value)| if bin < first { f32::NAN } else { value })
    });
    let values = values.collect();
    let (start, ids) = (panel.start(), panel.ids().to_vec());
    Panel::new(start, panel.interval(), ids, panel.bins(), values)
}

/// How well each window of a day was forecast.
struct Sums(Vec<AccuracySums>);

impl Sums {
    fn new() -> Self {
        Self(vec![AccuracySums::new(&EVALUATION_LEVELS); DAY / HORIZON])
    }

    /// Adds the last day of a panel.
    fn add(&mut self, panel: &Panel, model: &mut LstmForecaster) -> anyhow::Result<()> {
        let protocol = Protocol {
            horizon: HORIZON,
            windows: DAY / HORIZON,
            season: DAY,
        };
        Evaluation::new(panel, protocol)?.score(model, |scored| {
            let window = (scored.origin + DAY - panel.bins()) / HORIZON;
            self.0[window].add(scored.forecast, scored.actual, None);
            Ok::<(), foreshadow_forecast::EvaluationError>(())
        })?;
        Ok(())
    }

    fn all(&self) -> AccuracySums {
        let mut all = AccuracySums::new(&EVALUATION_LEVELS);
        for one in &self.0 {
            all.merge(one);
        }
        all
    }
}

/// Tells of each epoch; the number of steps alone decides when the training ends.
struct Epochs;

impl Observer for Epochs {
    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }

    fn stepped(&mut self, _: &StepProgress) {}

    fn epoch(&mut self, report: &EpochReport<'_>) {
        let (epoch, epochs) = (report.epoch, report.epochs);
        eprintln!("epoch {epoch} of {epochs}: {:.4}", report.validation_loss);
    }

    fn resumed(&mut self, _: u64) {}
}
