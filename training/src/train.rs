//! A training run: epochs of the fit, validation, checkpoints, and the model at the end.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use foreshadow_forecast::{EvaluationError, Panel};
use foreshadow_lstm::{Compute, Fit, FitData, LstmForecaster, Network, NetworkError};
use foreshadow_types::Timestamp;
use thiserror::Error;

use crate::{
    checkpoint::{self, Best, CHECKPOINT, Checkpoint},
    manifest::{Manifest, SCHEMA},
    model::{ModelError, save_model},
    options::{EpochReport, FitPlan, Observer, StepProgress, TrainOptions},
    resample::coarser,
    validation::{self, Split},
};

/// Coarser resolutions that are learned beside the panel's own, in seconds, and their parts of it.
const RESOLUTIONS: [(u64, f32); 2] = [(900, 0.1), (3_600, 0.15)];
/// Series that are validated after each epoch; all are at the end.
const WATCHED_SERIES: usize = 256;
/// Epochs without a better validation loss after which a run ends.
const PATIENCE: u64 = 10;
/// Part of the time that is kept for the last validation.
const CLOSING_SHARE: f64 = 0.06;

/// Why a run gave no model.
#[derive(Debug, Error)]
pub enum TrainError {
    /// The history is too short or has no values.
    #[error("{0}")]
    Data(String),
    /// The network could not be built, or diverged.
    #[error("the fit failed: {0}")]
    Network(#[from] NetworkError),
    /// Validation failed.
    #[error("validation failed: {0}")]
    Validation(#[from] EvaluationError),
    /// The checkpoint could not be written.
    #[error("{}: {source}", path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The model could not be written.
    #[error(transparent)]
    Model(#[from] ModelError),
}

/// Fits a model to `panel` and writes it into `out`, going on from a checkpoint of the same run there.
///
/// The result is the same for the same seed, unless time runs out before the steps are done.
///
/// # Errors
/// [`TrainError`] if there is too little data, the fit diverges, or `out` cannot be written.
pub fn train(
    panel: &Panel,
    options: &TrainOptions,
    compute: &Compute,
    out: &Path,
    observer: &mut dyn Observer,
) -> Result<Manifest, TrainError> {
    let split = Split::of(panel).ok_or_else(|| too_short(panel))?;
    let plan = options.plan(panel);
    let mut watched = vec![Watched::of(panel, split)];
    let mut panels = resolutions(panel, split.first, 1.0);
    for (other, share) in &options.beside {
        let split = Split::of(other).ok_or_else(|| too_short(other))?;
        watched.push(Watched::of(other, split));
        panels.extend(resolutions(other, split.first, *share));
    }
    let data = FitData::new(panels);
    if data.is_empty() {
        return Err(TrainError::Data(
            "every value before the validation bins is missing or zero; there is nothing to learn from"
                .to_owned(),
        ));
    }
    let begins = options.from.as_ref().map(|(_, model)| &model.network);
    let panels = std::iter::once(panel).chain(options.beside.iter().map(|(other, _)| other));
    let fingerprint = checkpoint::fingerprint(&plan.fit, plan.epochs, begins, panels);
    let path = out.join(CHECKPOINT);
    let (fit, best, epoch, before) = match checkpoint::read(&path, fingerprint) {
        Some(kept) => {
            observer.resumed(kept.epoch);
            let fit = Fit::resume(plan.fit.clone(), data, compute.clone(), kept.fit);
            (
                fit,
                kept.best,
                kept.epoch,
                Duration::from_millis(kept.elapsed_ms),
            )
        }
        None => (
            begun(options, &plan, data, compute)?,
            Best::none(),
            0,
            Duration::ZERO,
        ),
    };
    let mut run = Run {
        split,
        plan,
        options,
        observer,
        fit,
        best,
        epoch,
        before,
        fingerprint,
        path,
    };
    run.epochs(&watched)?;
    let manifest = run.finish(panel, compute, out)?;
    remove_if_there(&run.path).map_err(|source| TrainError::Checkpoint {
        path: run.path.clone(),
        source,
    })?;
    Ok(manifest)
}

/// A fit of the weights that the options say.
fn begun(
    options: &TrainOptions,
    plan: &FitPlan,
    data: FitData,
    compute: &Compute,
) -> Result<Fit, NetworkError> {
    let (fit, compute) = (plan.fit.clone(), compute.clone());
    match &options.from {
        Some((_, model)) => Fit::from_weights(model.network.weights().to_vec(), fit, data, compute),
        None => Fit::new(fit, data, compute),
    }
}

struct Run<'a> {
    split: Split,
    plan: FitPlan,
    options: &'a TrainOptions,
    observer: &'a mut dyn Observer,
    fit: Fit,
    best: Best,
    /// Epochs done.
    epoch: u64,
    /// Time that an interrupted run had taken.
    before: Duration,
    fingerprint: u64,
    path: PathBuf,
}

impl Best {
    fn none() -> Self {
        Self {
            epoch: 0,
            loss: f64::INFINITY,
            weights: Vec::new(),
        }
    }
}

impl Run<'_> {
    fn elapsed(&self) -> Duration {
        self.before + self.observer.elapsed()
    }

    /// The part of the time that is gone.
    fn time_share(&self) -> f64 {
        let available = self.options.longest.as_secs_f64() * (1.0 - CLOSING_SHARE);
        self.elapsed().as_secs_f64() / available.max(1e-3)
    }

    fn epochs(&mut self, watched: &[Watched]) -> Result<(), TrainError> {
        if self.epoch == 0 && self.options.from.is_some() {
            // What is begun with is kept where nothing better is learnt.
            self.validate(watched)?;
        }
        while self.epoch < self.plan.epochs
            && (self.time_share() < 1.0 || self.best.weights.is_empty())
            && self.epoch - self.best.epoch.min(self.epoch) < PATIENCE
        {
            let loss = self.steps();
            self.epoch += 1;
            let validation_loss = self.validate(watched)?;
            self.keep()?;
            self.observer.epoch(&EpochReport {
                epoch: self.epoch,
                epochs: self.plan.epochs,
                loss,
                validation_loss,
                best: self.best.loss,
                checkpoint: &self.path,
            });
        }
        Ok(())
    }

    /// The steps of one epoch, fewer if time runs out; gives their mean loss.
    fn steps(&mut self) -> f64 {
        let total = self.plan.epochs * self.plan.epoch_steps;
        let (mut sum, mut count) = (0.0, 0.0);
        for step in 0..self.plan.epoch_steps {
            let done = self.epoch * self.plan.epoch_steps + step;
            let by_steps = done as f64 / total as f64;
            let by_time = self.time_share();
            if by_time >= 1.0 && count > 0.0 {
                break;
            }
            let loss = self.fit.step(by_steps.max(by_time) as f32);
            sum += loss;
            count += 1.0;
            let progress = StepProgress {
                step: done + 1,
                steps: total,
                loss,
                remaining: self.remaining(by_steps),
            };
            self.observer.stepped(&progress);
        }
        sum / f64::max(count, 1.0)
    }

    /// By the pace so far, and never past the time allowed.
    fn remaining(&self, by_steps: f64) -> Option<Duration> {
        let elapsed = self.elapsed();
        let allowed = self.options.longest.saturating_sub(elapsed);
        let paced =
            Duration::try_from_secs_f64(elapsed.as_secs_f64() * (1.0 / by_steps - 1.0)).ok()?;
        Some(paced.min(allowed))
    }

    /// The mean loss over all histories.
    fn validate(&mut self, watched: &[Watched]) -> Result<f64, TrainError> {
        let network = self.fit.network()?;
        let mut loss = 0.0;
        for Watched { panel, split } in watched {
            let mut model = forecaster(&network, panel, *split);
            loss += validation::loss(panel, split.protocol, &mut model)? / watched.len() as f64;
        }
        if loss < self.best.loss || self.best.weights.is_empty() {
            self.best = Best {
                epoch: self.epoch,
                loss,
                weights: network.weights().to_vec(),
            };
        }
        Ok(loss)
    }

    fn keep(&self) -> Result<(), TrainError> {
        let kept = Checkpoint {
            fingerprint: self.fingerprint,
            epoch: self.epoch,
            elapsed_ms: self.elapsed().as_millis() as u64,
            best: self.best.clone(),
            fit: self.fit.state(),
        };
        checkpoint::write(&self.path, &kept).map_err(|source| TrainError::Checkpoint {
            path: self.path.clone(),
            source,
        })
    }

    /// The latest bin that the weights have seen: of this history, or of those that they began with.
    fn seen_through(&self, panel: &Panel) -> Timestamp {
        let TrainOptions { from, beside, .. } = self.options;
        let last = |panel: &Panel| panel.bin_start(panel.bins().saturating_sub(1));
        let begun = from.iter().map(|(_, model)| model.trained_through);
        let others = beside.iter().map(|(other, _)| last(other));
        begun.chain(others).fold(last(panel), Timestamp::max)
    }

    fn finish(
        &mut self,
        panel: &Panel,
        compute: &Compute,
        out: &Path,
    ) -> Result<Manifest, TrainError> {
        let size = &self.plan.fit.network;
        let network = Network::new(size.clone(), self.best.weights.clone())?;
        let mut model = forecaster(&network, panel, self.split);
        let validation = validation::beside_naive(panel, self.split.protocol, &mut model)?;
        let metrics: BTreeSet<&str> = panel.ids().iter().map(|id| id.metric.as_str()).collect();
        let manifest = Manifest {
            schema: SCHEMA.to_owned(),
            trained_through: self.seen_through(panel).to_string(),
            interval_s: panel.interval().as_secs_f64(),
            metrics: metrics.into_iter().map(str::to_owned).collect(),
            quantiles: size.levels.clone(),
            parameters: size.parameters(),
            network: size.clone(),
            seed: self.options.seed,
            series: panel.ids().len(),
            steps: self.fit.steps(),
            training_seconds: self.elapsed().as_secs_f64(),
            begun_with: self.options.from.as_ref().map(|(name, _)| name.clone()),
            device: compute.name().to_owned(),
            validation,
            pools: Vec::new(),
        };
        save_model(out, &manifest, &network)?;
        Ok(manifest)
    }
}

fn too_short(panel: &Panel) -> TrainError {
    TrainError::Data(format!(
        "the history has {} bins, too few to hold some out for validation; give at least 10 bins, or \
         a shorter interval",
        panel.bins()
    ))
}

/// The panel at its own resolution and at the coarser ones that are whole multiples of it, which have a
/// part of its share.
fn resolutions(panel: &Panel, first_held_out: usize, whole: f32) -> Vec<(Panel, usize, f32)> {
    let own_ms = panel.interval().as_millis().max(1);
    let mut panels = Vec::new();
    let mut left = whole;
    for (seconds, share) in RESOLUTIONS {
        let wide_ms = u128::from(seconds) * 1_000;
        let multiple = (wide_ms / own_ms) as usize;
        if wide_ms % own_ms == 0 && multiple > 1 && first_held_out / multiple >= 2 {
            let share = whole * share;
            panels.push((coarser(panel, multiple), first_held_out / multiple, share));
            left -= share;
        }
    }
    panels.insert(0, (panel.clone(), first_held_out, left));
    panels
}

/// What is validated after each epoch.
struct Watched {
    panel: Panel,
    split: Split,
}

impl Watched {
    /// Evenly chosen series.
    fn of(panel: &Panel, split: Split) -> Self {
        let series = panel.ids().len();
        let kept = series.min(WATCHED_SERIES);
        let chosen: Vec<usize> = (0..kept).map(|place| place * series / kept).collect();
        let panel = panel.only(&chosen);
        Self { panel, split }
    }
}

/// Its recurrent state starts a day before the first window, which is long enough for it to forget that it
/// did; scales and seasons see everything.
fn forecaster(network: &Network, panel: &Panel, split: Split) -> LstmForecaster {
    LstmForecaster::new(network.clone(), panel.interval())
        .recurring_from(split.first.saturating_sub(split.protocol.season))
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
