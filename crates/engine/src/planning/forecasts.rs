//! The latest forecast of each series, and how well the ones before came true.

use std::{collections::BTreeMap, sync::Arc};

use foreshadow_forecast::Panel;
use foreshadow_types::{EntityId, Timestamp};

use super::{
    latest::{REQUESTS, SeriesForecast},
    score::Score,
};
use crate::{
    collector::{GatheredSeries, SeriesKey},
    inference::{Batch, BatchForecast},
    views::Basis,
};

/// What is known of one series.
#[derive(Debug, Default)]
struct Outlook {
    forecast: Option<BatchForecast>,
    score: Score,
}

/// The forecasts of the latest batch and the running scores.
#[derive(Debug, Default)]
pub(super) struct Forecasts {
    origin: Timestamp,
    outlooks: BTreeMap<SeriesKey, Outlook>,
    pub(super) categories: BTreeMap<EntityId, Arc<str>>,
    /// The series that the latest batch was made from.
    pub(super) series: Option<GatheredSeries>,
}

impl Forecasts {
    pub(super) fn origin(&self) -> Timestamp {
        self.origin
    }

    /// Scores the forecasts there are by what has come true since, then takes the new ones.
    pub(super) fn take(&mut self, series: GatheredSeries, batch: Batch) {
        self.score(&series);
        let mut outlooks = std::mem::take(&mut self.outlooks);
        for (key, forecast) in series.keys.iter().zip(batch.forecasts) {
            let mut outlook = outlooks.remove(key).unwrap_or_default();
            outlook.forecast = Some(forecast);
            self.outlooks.insert(key.clone(), outlook);
        }
        self.origin = series.panel.bin_start(series.panel.bins());
        self.series = Some(series);
    }

    fn score(&mut self, series: &GatheredSeries) {
        let panel = &series.panel;
        let Some(first) = bin_at(panel, self.origin) else {
            return;
        };
        for (index, key) in series.keys.iter().enumerate() {
            let Some(outlook) = self.outlooks.get_mut(key) else {
                continue;
            };
            let Some(forecast) = &outlook.forecast else {
                continue;
            };
            let came_true = panel.series(index)[first..].iter();
            for (step, actual) in came_true.enumerate() {
                outlook.score.add(&forecast.quantiles, step, *actual);
            }
        }
    }

    /// Whether forecasts were made at another width of bins than the panel's are to be.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
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
