//! Adam with decoupled weight decay, clipping, and a running average of the weights.

use serde::{Deserialize, Serialize};

const FIRST: f32 = 0.9;
const SECOND: f32 = 0.99;
/// A gradient longer than this many times its usual length is shortened to it.
const CLIP: f32 = 2.0;

/// The optimiser's whole state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Adam {
    pub(crate) weights: Vec<f32>,
    /// The running average: what is validated and kept.
    pub(crate) averaged: Vec<f32>,
    first: Vec<f32>,
    second: Vec<f32>,
    steps: u64,
    usual_length: f32,
}

/// How a step is taken.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Pace {
    pub(crate) rate: f32,
    pub(crate) decay: f32,
    /// How many of the latest steps the running average spans.
    pub(crate) average_over: f32,
}

impl Adam {
    /// From these weights.
    pub(crate) fn new(weights: Vec<f32>) -> Self {
        let count = weights.len();
        Self {
            averaged: weights.clone(),
            weights,
            first: vec![0.0; count],
            second: vec![0.0; count],
            steps: 0,
            usual_length: 0.0,
        }
    }

    /// Steps taken.
    pub(crate) fn steps(&self) -> u64 {
        self.steps
    }

    /// Moves against the gradient; one that is not finite is skipped, and `false` returned.
    pub(crate) fn step(&mut self, gradient: &[f32], pace: Pace) -> bool {
        let length = gradient
            .iter()
            .map(|g| f64::from(*g).powi(2))
            .sum::<f64>()
            .sqrt() as f32;
        if !length.is_finite() {
            return false;
        }
        self.steps += 1;
        let shorten = self.shorten(length);
        let count = self.steps as f32;
        let (one, two) = (1.0 - FIRST.powf(count), 1.0 - SECOND.powf(count));
        let keep = 1.0 - (1.0 / pace.average_over).max(1.0 / (1.0 + 0.2 * count));
        for (index, &slope) in gradient.iter().enumerate() {
            let slope = slope * shorten;
            let first = &mut self.first[index];
            *first = FIRST * *first + (1.0 - FIRST) * slope;
            let second = &mut self.second[index];
            *second = SECOND * *second + (1.0 - SECOND) * slope * slope;
            let weight = &mut self.weights[index];
            *weight -= pace.rate
                * (*first / one / ((*second / two).sqrt() + 1e-12) + pace.decay * *weight);
            let averaged = &mut self.averaged[index];
            *averaged = keep * *averaged + (1.0 - keep) * *weight;
        }
        true
    }

    fn shorten(&mut self, length: f32) -> f32 {
        let limit = if self.steps > 10 {
            CLIP * self.usual_length
        } else {
            f32::MAX
        };
        let shorten = if length > limit { limit / length } else { 1.0 };
        let rate = (1.0 / self.steps as f32).max(0.02);
        self.usual_length += rate * (length * shorten - self.usual_length);
        shorten
    }
}
