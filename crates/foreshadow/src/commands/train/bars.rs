//! Progress on stderr: a bar on a terminal, a line an epoch elsewhere.

use std::time::Duration;

use foreshadow_forecast::Panel;
use foreshadow_training::{EpochReport, Observer, StepProgress};
use foreshadow_types::Timestamp;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::clock;

const TEMPLATE: &str = "{bar:30} {pos}/{len} steps, {msg}";

/// The progress of one run.
pub(crate) struct Bars {
    began: Timestamp,
    bar: ProgressBar,
    latest: String,
}

impl Bars {
    /// Starts the clock.
    pub(crate) fn start() -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        Self {
            began: clock::now(),
            bar,
            latest: String::new(),
        }
    }

    /// Says what will be trained on.
    pub(crate) fn training(self, panel: &Panel, begun_with: Option<&str>, device: &str) -> Self {
        let (series, bins) = (panel.ids().len(), panel.bins());
        let weights = begun_with.unwrap_or("fresh");
        self.say(&format!(
            "training on {series} series of {bins} bins, on {device}, from {weights} weights"
        ));
        if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
            self.bar.set_style(style);
        }
        self
    }

    /// Removes the bar.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }

    fn say(&self, line: &str) {
        self.bar.suspend(|| eprintln!("{line}"));
    }
}

impl Observer for Bars {
    fn elapsed(&self) -> Duration {
        clock::now().since(self.began)
    }

    fn stepped(&mut self, progress: &StepProgress) {
        self.bar.set_length(progress.steps);
        self.bar.set_position(progress.step);
        let remaining = progress.remaining.map_or_else(String::new, |left| {
            format!(", at most {} s left", left.as_secs())
        });
        self.bar.set_message(format!(
            "loss {:.4}{}{remaining}",
            progress.loss, self.latest
        ));
    }

    fn epoch(&mut self, report: &EpochReport<'_>) {
        self.latest = format!(", validation {:.4}", report.validation_loss);
        self.say(&format!(
            "epoch {}/{}: loss {:.4}, validation {:.4}, best {:.4}, {} s",
            report.epoch,
            report.epochs,
            report.loss,
            report.validation_loss,
            report.best,
            self.elapsed().as_secs()
        ));
    }

    fn resumed(&mut self, epoch: u64) {
        self.say(&format!(
            "going on after epoch {epoch} of an interrupted run"
        ));
    }
}
