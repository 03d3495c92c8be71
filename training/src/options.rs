//! What a training run is told.

use std::{path::Path, time::Duration};

use foreshadow_forecast::{PLANNING_LEVELS, Panel};
use foreshadow_lstm::{ChunkSize, FitOptions, NetworkSize, Variety};

use crate::model::LoadedModel;

/// What a training run is told.
#[derive(Debug, Clone)]
pub struct TrainOptions {
    /// The seed of all chance.
    pub seed: u64,
    /// When to stop at the latest, validation included; an interrupted run's time counts.
    pub longest: Duration,
    /// Sizes of the network, unless it is one that there is.
    pub network: NetworkSize,
    /// The name and the model whose weights to begin with; fresh ones if nobody's.
    pub from: Option<(String, LoadedModel)>,
    /// Histories of other times and places that are learnt beside, each with its part of the training.
    pub beside: Vec<(Panel, f32)>,
    /// Optimiser steps between checkpoints.
    pub epoch_steps: u64,
    /// Epochs at most; `None` takes as many as the amount of data asks for.
    pub epochs: Option<u64>,
}

impl Default for TrainOptions {
    fn default() -> Self {
        Self {
            seed: 0,
            longest: Duration::from_mins(30),
            network: NetworkSize {
                hidden: 64,
                layers: 2,
                head: 48,
                head_inner: 32,
                levels: PLANNING_LEVELS.to_vec(),
            },
            from: None,
            beside: Vec::new(),
            epoch_steps: 200,
            epochs: None,
        }
    }
}

/// The highest learning rate from fresh weights, and from those that know something already.
const RATES: [f32; 2] = [2e-3, 1e-3];

/// Steps that gradients flow back through.
const CHUNK_STEPS: usize = 64;
const MOST_LANES: usize = 128;
const FEWEST_LANES: usize = 32;
/// How often each value is passed, roughly, most of them in mixtures. Many more make the largest series
/// known by heart.
const PASSES: usize = 8;
/// Bounds of the number of optimiser steps.
const STEPS: (u64, u64) = (800, 20_000);

/// The plan of a fit, from the options and the amount of data.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FitPlan {
    pub(crate) fit: FitOptions,
    pub(crate) epoch_steps: u64,
    pub(crate) epochs: u64,
}

impl TrainOptions {
    pub(crate) fn plan(&self, panel: &Panel) -> FitPlan {
        let values = panel.ids().len() * panel.bins();
        let steps = CHUNK_STEPS.min((panel.bins() / 4).max(1));
        let lanes = (values / (20 * steps)).clamp(FEWEST_LANES, MOST_LANES);
        let wanted = (PASSES * values / (lanes * steps)) as u64;
        let epoch_steps = self.epoch_steps.max(1);
        FitPlan {
            fit: FitOptions {
                network: match &self.from {
                    Some((_, model)) => model.network.size().clone(),
                    None => self.network.clone(),
                },
                chunk: ChunkSize {
                    lanes,
                    steps,
                    origins: 6.min(steps),
                    draws: 8,
                    dropout: 0.3,
                },
                variety: Variety {
                    mixed: 0.6,
                    reversed: 0.5,
                },
                rate: RATES[usize::from(self.from.is_some())],
                decay: 0.0,
                warm_up: 50,
                average_over: 150.0,
                seed: self.seed,
            },
            epoch_steps,
            epochs: self
                .epochs
                .unwrap_or_else(|| wanted.clamp(STEPS.0, STEPS.1).div_ceil(epoch_steps)),
        }
    }
}

/// What a training run asks of and tells its caller, who owns the clock.
pub trait Observer {
    /// Time since the run began.
    fn elapsed(&self) -> Duration;

    /// A step was taken.
    fn stepped(&mut self, progress: &StepProgress);

    /// An epoch was validated and kept in `checkpoint`.
    fn epoch(&mut self, report: &EpochReport<'_>);

    /// The run goes on from an epoch that an interrupted one had reached.
    fn resumed(&mut self, epoch: u64);
}

/// Where a run is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepProgress {
    /// Steps taken.
    pub step: u64,
    /// Steps planned.
    pub steps: u64,
    /// Training loss of this step.
    pub loss: f64,
    /// Expected time to the end, once it can be told.
    pub remaining: Option<Duration>,
}

/// An epoch's result.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EpochReport<'a> {
    /// Epochs done.
    pub epoch: u64,
    /// Epochs planned.
    pub epochs: u64,
    /// Mean training loss.
    pub loss: f64,
    /// Weighted quantile loss on the bins held out, averaged over metrics.
    pub validation_loss: f64,
    /// The lowest so far.
    pub best: f64,
    /// Where the state was written.
    pub checkpoint: &'a Path,
}
