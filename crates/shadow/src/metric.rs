//! The statistics of one metric of one entity.

use std::{sync::Arc, time::Duration};

use foreshadow_types::Timestamp;

use crate::{
    class::ResourceClass,
    decay::DecayedMoments,
    p2::{Quantiles, TRACKED_LEVELS},
    snapshot::MetricSummary,
    trend::Trend,
};

/// The memory of the mean and the deviation.
const MEAN_MEMORY: Duration = Duration::from_hours(168);

#[derive(Debug, Clone)]
pub(crate) struct MetricProfile {
    name: Arc<str>,
    class: ResourceClass,
    latest: f64,
    latest_at: Timestamp,
    samples: u64,
    moments: DecayedMoments,
    quantiles: Quantiles,
    trend: Trend,
}

impl MetricProfile {
    pub(crate) fn new(name: Arc<str>) -> Self {
        Self {
            class: ResourceClass::of_metric(&name),
            name,
            latest: 0.0,
            latest_at: Timestamp::MIN,
            samples: 0,
            moments: DecayedMoments::default(),
            quantiles: Quantiles::default(),
            trend: Trend::default(),
        }
    }

    pub(crate) fn add(&mut self, at: Timestamp, value: f64) {
        if at >= self.latest_at {
            self.latest = value;
            self.latest_at = at;
        }
        self.samples += 1;
        self.moments.add(at, value, MEAN_MEMORY);
        self.quantiles.add(value as f32);
        self.trend.add(at, value);
    }

    pub(crate) fn name(&self) -> &Arc<str> {
        &self.name
    }

    pub(crate) fn class(&self) -> ResourceClass {
        self.class
    }

    pub(crate) fn samples(&self) -> u64 {
        self.samples
    }

    pub(crate) fn mean(&self) -> f64 {
        self.moments.mean()
    }

    /// Deviation over the size of the mean; zero for a metric that is always zero.
    pub(crate) fn variation(&self) -> f64 {
        let mean = self.moments.mean().abs();
        if mean > 0.0 {
            self.moments.deviation() / mean
        } else {
            0.0
        }
    }

    pub(crate) fn summary(&self) -> MetricSummary {
        MetricSummary {
            metric: self.name.clone(),
            class: self.class,
            latest: self.latest,
            latest_at: self.latest_at,
            mean: self.moments.mean(),
            deviation: self.moments.deviation(),
            quantiles: std::array::from_fn(|level| {
                debug_assert!(level < TRACKED_LEVELS.len());
                self.quantiles.at(level).map_or(self.latest, f64::from)
            }),
            trend_per_hour: self.trend.per_hour(),
            samples: self.samples,
        }
    }
}
