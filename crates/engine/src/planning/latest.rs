//! What the latest tick gave, for everyone to read.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use foreshadow_allocator::PoolStatus;
use foreshadow_forecast::{PLANNING_LEVELS, QuantileForecast};
use foreshadow_types::{EntityId, PoolName, Shape, Timestamp};

use crate::views::{
    Accuracy, Basis, GroupAccuracy, OutcomeCounts, PoolPlanView, PoolRecord, PoolView,
    PredictRequest, Prediction, PreviewView, Subject,
};

/// The metric of request counts.
pub(crate) const REQUESTS: &str = "requests";

/// The forecasts and plans of the latest tick.
#[derive(Debug, Clone, Default)]
pub(crate) struct LatestForecasts {
    /// The start of the first step.
    pub(crate) origin: Timestamp,
    /// The length of a step.
    pub(crate) interval: Duration,
    pub(crate) entities: Arc<BTreeMap<EntityId, BTreeMap<Arc<str>, SeriesForecast>>>,
    pub(crate) pools: BTreeMap<PoolName, PoolOutlook>,
    /// Actual against predicted by group.
    pub(crate) adaptation: Arc<[GroupAccuracy]>,
    /// How often is planned, and how far forecasts reach.
    pub(crate) tick: Duration,
    pub(crate) horizon: Duration,
}

/// The forecast of one series.
#[derive(Debug, Clone)]
pub(crate) struct SeriesForecast {
    pub(crate) quantiles: QuantileForecast,
    pub(crate) model: Arc<str>,
    pub(crate) basis: Basis,
    pub(crate) fallback: bool,
    pub(crate) accuracy: Accuracy,
}

/// What is known of a pool beside its instances.
#[derive(Debug, Clone)]
pub(crate) struct PoolOutlook {
    pub(crate) shape: Shape,
    pub(crate) min: u32,
    pub(crate) target_hit_rate: Option<f64>,
    pub(crate) plan: PoolPlanView,
    pub(crate) requests: Option<SeriesForecast>,
    pub(crate) outcomes: OutcomeCounts,
    pub(crate) waits: BTreeMap<String, u64>,
    pub(crate) preview: Option<PreviewView>,
    pub(crate) record: PoolRecord,
}

impl LatestForecasts {
    /// The answer to a question, if the latest forecasts hold it.
    pub(crate) fn answer(&self, request: &PredictRequest) -> Option<Prediction> {
        let metric = request.metric.as_deref().unwrap_or(REQUESTS);
        let series = match &request.subject {
            Subject::Entity(entity) => self.entities.get(entity)?.get(metric)?,
            Subject::Pool(pool) => self.pools.get(pool)?.requests.as_ref()?,
        };
        let steps = steps_of(request.horizon, self.interval)?;
        if steps > series.quantiles.horizon() {
            return None;
        }
        Some(self.prediction(
            request.subject.clone(),
            metric,
            series,
            steps,
            &request.levels,
        ))
    }

    /// A forecast of the latest tick in the form in which it is answered.
    pub(crate) fn prediction(
        &self,
        subject: Subject,
        metric: &str,
        series: &SeriesForecast,
        steps: usize,
        levels: &[f64],
    ) -> Prediction {
        Prediction {
            subject,
            metric: metric.to_owned(),
            origin: self.origin,
            interval: self.interval,
            quantiles: at_levels(&series.quantiles, steps, levels),
            model: series.model.to_string(),
            basis: series.basis.clone(),
            fallback: series.fallback,
            recent_coverage_80: series.accuracy.coverage_80,
        }
    }

    /// A pool's instances with what is planned for it.
    pub(crate) fn complete(&self, status: PoolStatus) -> PoolView {
        let outlook = self.pools.get(&status.name);
        PoolView {
            shape: outlook.map_or_else(Shape::default, |outlook| outlook.shape),
            min: outlook.map_or(0, |outlook| outlook.min),
            target_hit_rate: outlook.and_then(|outlook| outlook.target_hit_rate),
            planned: outlook.map(|outlook| outlook.plan.planned()),
            reasons: outlook.map_or_else(Vec::new, |outlook| outlook.plan.reasons.clone()),
            outcomes: outlook.map_or_else(OutcomeCounts::default, |outlook| outlook.outcomes),
            waits: outlook.map_or_else(BTreeMap::new, |outlook| outlook.waits.clone()),
            preview: outlook.and_then(|outlook| outlook.preview),
            accuracy: outlook
                .and_then(|outlook| outlook.requests.as_ref())
                .map_or_else(Accuracy::default, |series| series.accuracy),
            record: outlook.map_or_else(PoolRecord::default, |outlook| outlook.record),
            status,
        }
    }

    pub(crate) fn plan(&self) -> Vec<PoolPlanView> {
        self.pools
            .values()
            .map(|outlook| outlook.plan.clone())
            .collect()
    }
}

/// How many whole steps cover the horizon; none if there is no step length yet.
pub(crate) fn steps_of(horizon: Duration, interval: Duration) -> Option<usize> {
    let step_ms = interval.as_millis();
    (step_ms > 0).then(|| (horizon.as_millis().div_ceil(step_ms) as usize).max(1))
}

/// The first steps of a forecast at other levels; the planning levels if none are given.
pub(crate) fn at_levels(
    forecast: &QuantileForecast,
    steps: usize,
    levels: &[f64],
) -> QuantileForecast {
    let levels = if levels.is_empty() {
        &PLANNING_LEVELS[..]
    } else {
        levels
    };
    let values = (0..steps)
        .flat_map(|step| {
            levels
                .iter()
                .map(move |level| forecast.quantile(step, *level))
        })
        .collect();
    QuantileForecast::new(levels, values)
}
