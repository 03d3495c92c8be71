//! The latest forecast of each series, and how well the ones before came true.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use foreshadow_forecast::{Calibrator, PLANNING_LEVELS, Panel, QuantileForecast, SeriesKind};
use foreshadow_planner::stable_hash;
use foreshadow_types::{EntityId, PoolName, Timestamp};

use super::{
    adaptation::{Adaptation, Compared, GroupKey},
    idle::Idle,
    latest::{REQUESTS, SeriesForecast},
    score::Score,
};
use crate::{
    collector::{GatheredSeries, SeriesKey},
    demand::RequestSeen,
    inference::{Batch, BatchForecast},
    views::{Basis, GroupAccuracy, GroupKind},
};

/// A metric of entities, or a pool.
type CalibratedGroup = (SeriesKind, Arc<str>);

/// What is known of one series.
#[derive(Debug, Default)]
struct Outlook {
    forecast: Option<BatchForecast>,
    score: Score,
}

/// The forecasts of the latest batch, calibrated by how those before came true.
#[derive(Debug)]
pub(super) struct Forecasts {
    origin: Timestamp,
    calibrator: Calibrator<CalibratedGroup>,
    outlooks: BTreeMap<SeriesKey, Outlook>,
    adaptation: Adaptation,
    idle: Idle,
    pub(super) categories: BTreeMap<EntityId, Arc<str>>,
    /// The series that the latest batch was made from.
    pub(super) series: Option<GatheredSeries>,
}

impl Default for Forecasts {
    fn default() -> Self {
        Self {
            origin: Timestamp::default(),
            calibrator: Calibrator::new(&PLANNING_LEVELS),
            outlooks: BTreeMap::new(),
            adaptation: Adaptation::default(),
            idle: Idle::default(),
            categories: BTreeMap::new(),
            series: None,
        }
    }
}

impl Forecasts {
    pub(super) fn origin(&self) -> Timestamp {
        self.origin
    }

    /// Scores the forecasts there are by what has come true since, then takes the new ones; gives
    /// the groups whose forecasts have become worse.
    pub(super) fn take(&mut self, series: GatheredSeries, batch: Batch) -> Vec<GroupKey> {
        let drifted = self.score(&series);
        self.origin = series.panel.bin_start(series.panel.bins());
        let next_bin = bin_number(&series.panel, series.panel.bins());
        self.calibrator.advance(next_bin);
        let mut outlooks = std::mem::take(&mut self.outlooks);
        for (key, forecast) in series.keys.iter().zip(batch.forecasts) {
            let calibrated = self.calibrated(key, &forecast.quantiles);
            let number = series_number(key);
            let raw = &forecast.quantiles;
            self.calibrator
                .issued(&group_of(key), number, next_bin, raw, &calibrated);
            let mut outlook = outlooks.remove(key).unwrap_or_default();
            outlook.forecast = Some(BatchForecast {
                quantiles: calibrated,
                ..forecast
            });
            self.outlooks.insert(key.clone(), outlook);
        }
        self.series = Some(series);
        drifted
    }

    fn score(&mut self, series: &GatheredSeries) -> Vec<GroupKey> {
        let panel = &series.panel;
        let Some(first) = bin_at(panel, self.origin) else {
            return Vec::new();
        };
        for (index, key) in series.keys.iter().enumerate() {
            let Some(outlook) = self.outlooks.get_mut(key) else {
                continue;
            };
            let Some(forecast) = &outlook.forecast else {
                continue;
            };
            let number = series_number(key);
            let came_true = panel.series(index)[first..].iter();
            for (step, actual) in came_true.enumerate() {
                let compared = outlook
                    .score
                    .scale()
                    .and_then(|scale| Compared::new(&forecast.quantiles, step, *actual, scale));
                if let Some(compared) = compared {
                    let kind = match key {
                        SeriesKey::Pool(pool) => Some((GroupKind::Pool, pool.as_str().into())),
                        SeriesKey::Entity(entity, _) => {
                            let category = self.categories.get(entity);
                            category.map(|name| (GroupKind::Category, name.clone()))
                        }
                    };
                    let model = (GroupKind::Model, forecast.model.clone());
                    for group in kind.into_iter().chain([model]) {
                        self.adaptation.add(group, compared);
                    }
                }
                outlook.score.add(&forecast.quantiles, step, *actual);
                let bin = bin_number(panel, first + step);
                self.calibrator.observe(number, bin, *actual);
            }
        }
        self.adaptation.end_tick(panel.bin_start(panel.bins()))
    }

    /// Takes note of a request under its pool, the model that foresees it and the category of its user.
    pub(super) fn request(&mut self, seen: &RequestSeen) {
        let user = seen.request.user().map(EntityId::from);
        let category = user.and_then(|user| self.categories.get(&user));
        self.idle.request(&seen.pool, category);
        let category = category.map(|name| (GroupKind::Category, name.clone()));
        for group in self.of_requests(&seen.pool).into_iter().chain(category) {
            self.adaptation.request(group, seen.fate);
        }
    }

    /// Takes note of how many instances of each pool wait for nobody: they have since this was called
    /// last, as far as is known. Gives how long that is.
    pub(super) fn idle<'a>(
        &mut self,
        ready: impl IntoIterator<Item = (&'a PoolName, u32)>,
        now: Timestamp,
    ) -> Duration {
        let passed = self.idle.passed(now);
        for (pool, ready) in ready {
            let idle = f64::from(ready) * passed.as_secs_f64();
            for group in self.of_requests(pool) {
                self.adaptation.idle(group, idle);
            }
            for (category, share) in self.idle.shares(pool) {
                let group = (GroupKind::Category, category);
                self.adaptation.idle(group, share * idle);
            }
        }
        passed
    }

    /// The groups that all of a pool's requests are of: the pool, and the model that foresees them.
    fn of_requests(&self, pool: &PoolName) -> Vec<GroupKey> {
        let foreseen = self.outlooks.get(&SeriesKey::Pool(pool.clone()));
        let model = foreseen.and_then(|outlook| outlook.forecast.as_ref());
        let model = model.map(|forecast| (GroupKind::Model, forecast.model.clone()));
        let pool = (GroupKind::Pool, pool.as_str().into());
        std::iter::once(pool).chain(model).collect()
    }

    /// Actual against predicted by group.
    pub(super) fn adaptation(&self) -> Vec<GroupAccuracy> {
        self.adaptation.view()
    }

    /// A forecast of a series, its quantiles moved to where they would have been right lately.
    pub(super) fn calibrated(&self, key: &SeriesKey, raw: &QuantileForecast) -> QuantileForecast {
        self.calibrator.calibrate(&group_of(key), raw)
    }

    /// Drops all that is known of an entity.
    pub(super) fn forget_entity(&mut self, entity: &EntityId) {
        self.outlooks
            .retain(|key, _| !matches!(key, SeriesKey::Entity(of, _) if of == entity));
        self.categories.remove(entity);
        self.series = None;
    }

    /// Begins again, with bins of another width.
    pub(super) fn forget(&mut self) {
        *self = Self {
            adaptation: std::mem::take(&mut self.adaptation),
            ..Self::default()
        };
    }

    /// In the form in which everyone reads them.
    pub(super) fn of_entities(&self) -> BTreeMap<EntityId, BTreeMap<Arc<str>, SeriesForecast>> {
        let mut entities: BTreeMap<EntityId, BTreeMap<Arc<str>, SeriesForecast>> = BTreeMap::new();
        for (key, outlook) in &self.outlooks {
            if let (SeriesKey::Entity(entity, metric), Some(forecast)) = (key, outlook.latest()) {
                let metrics = entities.entry(entity.clone()).or_default();
                metrics.insert(metric.clone(), forecast);
            }
        }
        entities
    }

    pub(super) fn of_pool(&self, pool: &foreshadow_types::PoolName) -> Option<SeriesForecast> {
        self.outlooks.get(&SeriesKey::Pool(pool.clone()))?.latest()
    }

    /// Calls with each entity's metric, category and forecast.
    pub(super) fn views(
        &self,
    ) -> impl Iterator<Item = (&EntityId, &str, Option<&str>, &BatchForecast)> {
        self.outlooks.iter().filter_map(|(key, outlook)| {
            let SeriesKey::Entity(entity, metric) = key else {
                return None;
            };
            let category = self.categories.get(entity).map(|category| &**category);
            Some((entity, &**metric, category, outlook.forecast.as_ref()?))
        })
    }

    /// The entities of a category that have a forecast of a metric.
    pub(super) fn of_category<'a>(
        &'a self,
        category: &'a str,
        metric: &'a str,
    ) -> impl Iterator<Item = &'a BatchForecast> {
        self.views()
            .filter(move |(_, of, named, _)| *of == metric && *named == Some(category))
            .map(|(_, _, _, forecast)| forecast)
    }
}

impl Outlook {
    fn latest(&self) -> Option<SeriesForecast> {
        let forecast = self.forecast.as_ref()?;
        Some(SeriesForecast {
            quantiles: forecast.quantiles.clone(),
            model: forecast.model.clone(),
            basis: Basis::Own,
            fallback: forecast.fallback,
            accuracy: self.score.accuracy(),
        })
    }
}

/// Series that are calibrated together: those of one metric, and each pool by itself.
fn group_of(key: &SeriesKey) -> CalibratedGroup {
    match key {
        SeriesKey::Entity(_, metric) => (SeriesKind::Entity, metric.clone()),
        SeriesKey::Pool(pool) => (SeriesKind::Pool, pool.as_str().into()),
    }
}

fn series_number(key: &SeriesKey) -> u64 {
    match key {
        SeriesKey::Entity(entity, metric) => {
            stable_hash(entity.as_str()) ^ stable_hash(metric).rotate_left(1)
        }
        SeriesKey::Pool(pool) => !stable_hash(pool.as_str()),
    }
}

/// The number of a panel's bin, counted from the epoch.
fn bin_number(panel: &Panel, bin: usize) -> u64 {
    let interval_ms = (panel.interval().as_millis() as i64).max(1);
    let first = panel.start().as_millis().div_euclid(interval_ms);
    u64::try_from(first).unwrap_or(0) + bin as u64
}

/// The bin of the panel that begins at a time.
fn bin_at(panel: &Panel, at: Timestamp) -> Option<usize> {
    let since = at.as_millis().checked_sub(panel.start().as_millis())?;
    let bin = usize::try_from(since / panel.interval().as_millis() as i64).ok()?;
    (since >= 0 && bin < panel.bins()).then_some(bin)
}

/// The key of a subject's series in panels.
pub(super) fn key_of(subject: &crate::views::Subject, metric: Option<&str>) -> Option<SeriesKey> {
    let metric = metric.unwrap_or(REQUESTS);
    match subject {
        crate::views::Subject::Entity(entity) => {
            Some(SeriesKey::Entity(entity.clone(), metric.into()))
        }
        crate::views::Subject::Pool(pool) if metric == REQUESTS => {
            Some(SeriesKey::Pool(pool.clone()))
        }
        crate::views::Subject::Pool(_) => None,
    }
}
