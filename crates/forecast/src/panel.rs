//! Many series on one grid of time.

use std::time::Duration;

use foreshadow_types::{EntityId, PoolName, Timestamp};

/// What a series is of. A user and a pool may have one name, and both of them requests.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesId {
    /// Whether it is a pool that `entity` names.
    pub kind: SeriesKind,
    /// The user, application or pool.
    pub entity: EntityId,
    /// The metric's name, its unit at the end.
    pub metric: String,
}

/// Whose series it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SeriesKind {
    /// A user's or an application's.
    Entity,
    /// A pool's.
    Pool,
}

impl SeriesId {
    /// A metric of a user or an application.
    pub fn of_entity(entity: EntityId, metric: impl Into<String>) -> Self {
        Self {
            kind: SeriesKind::Entity,
            entity,
            metric: metric.into(),
        }
    }

    /// A metric of a pool.
    pub fn of_pool(pool: &PoolName, metric: impl Into<String>) -> Self {
        Self {
            kind: SeriesKind::Pool,
            entity: EntityId::from(pool),
            metric: metric.into(),
        }
    }
}

/// Series of equal length on a common grid; a bin without a sample is NaN.
#[derive(Debug, Clone, PartialEq)]
pub struct Panel {
    start: Timestamp,
    interval: Duration,
    ids: Vec<SeriesId>,
    bins: usize,
    /// Row-major `[series, bins]`.
    values: Vec<f32>,
}

impl Panel {
    /// From values in row-major order, `[series, bins]`.
    ///
    /// # Panics
    /// If `values` is not `ids.len() * bins` long.
    pub fn new(
        start: Timestamp,
        interval: Duration,
        ids: Vec<SeriesId>,
        bins: usize,
        values: Vec<f32>,
    ) -> Self {
        assert_eq!(
            values.len(),
            ids.len() * bins,
            "a panel is a full rectangle"
        );
        Self {
            start,
            interval,
            ids,
            bins,
            values,
        }
    }

    /// The start of the first bin.
    pub fn start(&self) -> Timestamp {
        self.start
    }

    /// The width of a bin.
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// How many bins each series has.
    pub fn bins(&self) -> usize {
        self.bins
    }

    /// What each series is of.
    pub fn ids(&self) -> &[SeriesId] {
        &self.ids
    }

    /// The start of bin `bin`, which may lie after the last one.
    pub fn bin_start(&self, bin: usize) -> Timestamp {
        self.start + self.interval * u32::try_from(bin).unwrap_or(u32::MAX)
    }

    /// All values of one series, NaN where nothing was sampled.
    pub fn series(&self, index: usize) -> &[f32] {
        &self.values[index * self.bins..][..self.bins]
    }

    /// The panel of these series alone, in this order.
    ///
    /// # Panics
    /// If there is no series of one of the numbers.
    #[must_use]
    pub fn only(&self, series: &[usize]) -> Self {
        let ids = series.iter().map(|&index| self.ids[index].clone());
        let values = series.iter().flat_map(|&index| self.series(index));
        Self {
            start: self.start,
            interval: self.interval,
            ids: ids.collect(),
            bins: self.bins,
            values: values.copied().collect(),
        }
    }

    /// The panel's first `bins` bins.
    #[must_use]
    pub fn truncated(&self, bins: usize) -> Self {
        let bins = bins.min(self.bins);
        let values = (0..self.ids.len())
            .flat_map(|i| self.series(i)[..bins].to_vec())
            .collect();
        Self {
            start: self.start,
            interval: self.interval,
            ids: self.ids.clone(),
            bins,
            values,
        }
    }
}
