//! Recent values of each series on one grid of time.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use foreshadow_forecast::{Panel, SeriesId};
use foreshadow_types::{EntityId, PoolName, Timestamp};

use super::WarmSeries;

/// The longest stretch of time that is kept of each series: two days, for a season of one.
const KEPT: Duration = Duration::from_hours(48);

/// The most bins that are kept of each series.
const MOST_BINS: usize = 2_880;

/// What a series is of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum SeriesKey {
    /// A metric of an entity, or its requests.
    Entity(EntityId, Arc<str>),
    /// The requests for a pool.
    Pool(PoolName),
}

/// How the samples of a bin become its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Their mean; nothing without any.
    Mean,
    /// Their number; zero without any.
    Count,
}

#[derive(Debug)]
struct Series {
    kind: Kind,
    /// Closed bins, the latest last.
    bins: VecDeque<f32>,
    /// The number of the bin that is being filled; bins are numbered from the epoch.
    open: i64,
    sum: f64,
    samples: u64,
}

/// All series.
#[derive(Debug)]
pub(crate) struct SeriesStore {
    interval: Duration,
    limit: usize,
    series: BTreeMap<SeriesKey, Series>,
    /// The bin that was open when the series were last asked for.
    asked_at: i64,
}

impl SeriesStore {
    pub(crate) fn new(interval: Duration, limit: usize) -> Self {
        Self {
            interval,
            limit,
            series: BTreeMap::new(),
            asked_at: i64::MIN,
        }
    }

    pub(crate) fn interval(&self) -> Duration {
        self.interval
    }

    /// Takes a sample of a metric; false if there are too many series.
    pub(crate) fn sample(&mut self, key: SeriesKey, at: Timestamp, value: f64) -> bool {
        self.add(key, Kind::Mean, at, value)
    }

    /// Takes note of one request.
    pub(crate) fn count(&mut self, key: SeriesKey, at: Timestamp) -> bool {
        self.add(key, Kind::Count, at, 1.0)
    }

    /// Takes over past values at the same width of bins.
    pub(crate) fn fill(&mut self, warm: &WarmSeries) {
        let panel = &warm.panel;
        if panel.interval() != self.interval {
            return;
        }
        let keep = self.kept_bins();
        let open = bin_of(panel.bin_start(panel.bins()), self.interval);
        let fitting = panel.ids().iter().enumerate().take(self.limit);
        for (index, id) in fitting {
            let requests = id.metric == crate::planning::REQUESTS;
            let pool = PoolName::new(id.entity.as_str()).ok();
            let pool = pool.filter(|pool| requests && warm.pools.contains(pool));
            let entity = || SeriesKey::Entity(id.entity.clone(), id.metric.as_str().into());
            let kind = if requests { Kind::Count } else { Kind::Mean };
            let mut series = Series::new(kind, open);
            let values = panel.series(index);
            series.bins = values[values.len().saturating_sub(keep)..]
                .iter()
                .copied()
                .collect();
            self.series
                .insert(pool.map_or_else(entity, SeriesKey::Pool), series);
        }
    }

    fn add(&mut self, key: SeriesKey, kind: Kind, at: Timestamp, value: f64) -> bool {
        let bin = bin_of(at, self.interval);
        let keep = self.kept_bins();
        if self.series.len() >= self.limit && !self.series.contains_key(&key) {
            self.forget_stale(bin, keep);
            if self.series.len() >= self.limit {
                return false;
            }
        }
        let series = self
            .series
            .entry(key)
            .or_insert_with(|| Series::new(kind, bin));
        series.add(bin, value, keep);
        true
    }

    /// Drops all series of an entity.
    pub(crate) fn forget(&mut self, entity: &EntityId) {
        self.series
            .retain(|key, _| !matches!(key, SeriesKey::Entity(of, _) if of == entity));
    }

    fn kept_bins(&self) -> usize {
        let fitting = KEPT.as_millis() / self.interval.as_millis().max(1);
        (fitting as usize).clamp(2, MOST_BINS)
    }

    fn forget_stale(&mut self, now: i64, keep: usize) {
        self.series
            .retain(|_, series| now.saturating_sub(series.open) < keep as i64);
    }

    /// All series with the bins that have closed, if any has since the last time.
    pub(crate) fn closed(&mut self, now: Timestamp) -> Option<(Panel, Vec<SeriesKey>)> {
        let open = bin_of(now, self.interval);
        if open <= self.asked_at {
            return None;
        }
        self.asked_at = open;
        let keep = self.kept_bins();
        for series in self.series.values_mut() {
            series.advance(open, keep);
        }
        self.forget_empty();
        let bins = self.series.values().map(|series| series.bins.len()).max()?;
        (bins > 0).then(|| self.panel(open, bins))
    }

    /// Series in which nothing is left but absent values.
    fn forget_empty(&mut self) {
        self.series.retain(|_, series| {
            series.samples > 0
                || series
                    .bins
                    .iter()
                    .any(|value| value.is_finite() && *value != 0.0)
        });
    }

    fn panel(&self, open: i64, bins: usize) -> (Panel, Vec<SeriesKey>) {
        let mut values = Vec::with_capacity(self.series.len() * bins);
        for series in self.series.values() {
            let absent = bins - series.bins.len();
            values.extend(std::iter::repeat_n(f32::NAN, absent));
            values.extend(series.bins.iter());
        }
        let interval_ms = self.interval.as_millis() as i64;
        let start = Timestamp::from_millis((open - bins as i64) * interval_ms);
        let keys: Vec<SeriesKey> = self.series.keys().cloned().collect();
        let ids = keys.iter().map(SeriesKey::id).collect();
        (Panel::new(start, self.interval, ids, bins, values), keys)
    }
}

impl SeriesKey {
    /// As panels name it.
    pub(crate) fn id(&self) -> SeriesId {
        match self {
            Self::Entity(entity, metric) => SeriesId {
                entity: entity.clone(),
                metric: metric.to_string(),
            },
            Self::Pool(pool) => SeriesId {
                entity: EntityId::from(pool),
                metric: crate::planning::REQUESTS.to_owned(),
            },
        }
    }
}

impl Series {
    fn new(kind: Kind, open: i64) -> Self {
        Self {
            kind,
            bins: VecDeque::new(),
            open,
            sum: 0.0,
            samples: 0,
        }
    }

    /// A sample of a bin that has closed comes too late to count.
    fn add(&mut self, bin: i64, value: f64, keep: usize) {
        if bin > self.open {
            self.advance(bin, keep);
        }
        if bin == self.open {
            self.sum += value;
            self.samples += 1;
        }
    }

    /// Closes all bins before `open`.
    fn advance(&mut self, open: i64, keep: usize) {
        if open <= self.open {
            return;
        }
        let closed = self.value();
        self.push(closed, keep);
        let skipped = (open - self.open - 1).min(keep as i64);
        for _ in 0..skipped {
            self.push(self.absent(), keep);
        }
        self.open = open;
        self.sum = 0.0;
        self.samples = 0;
    }

    fn push(&mut self, value: f32, keep: usize) {
        if self.bins.len() >= keep {
            self.bins.pop_front();
        }
        self.bins.push_back(value);
    }

    fn value(&self) -> f32 {
        match self.kind {
            Kind::Count => self.sum as f32,
            Kind::Mean if self.samples > 0 => (self.sum / self.samples as f64) as f32,
            Kind::Mean => f32::NAN,
        }
    }

    fn absent(&self) -> f32 {
        match self.kind {
            Kind::Count => 0.0,
            Kind::Mean => f32::NAN,
        }
    }
}

fn bin_of(at: Timestamp, interval: Duration) -> i64 {
    at.as_millis()
        .div_euclid((interval.as_millis() as i64).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millis(ms)
    }

    fn cpu() -> SeriesKey {
        SeriesKey::Entity(EntityId::new("ada").unwrap(), "cpu".into())
    }

    fn pool() -> SeriesKey {
        SeriesKey::Pool(PoolName::new("notebook").unwrap())
    }

    #[test]
    fn bins_are_means_of_samples_and_counts_of_requests() {
        let mut store = SeriesStore::new(SECOND, 10);
        store.sample(cpu(), at(100), 1.0);
        store.sample(cpu(), at(200), 3.0);
        store.sample(cpu(), at(2_100), 5.0);
        store.count(pool(), at(300));
        store.count(pool(), at(2_300));
        store.count(pool(), at(2_400));
        let (panel, keys) = store.closed(at(3_000)).unwrap();
        assert_eq!(keys, [cpu(), pool()]);
        assert_eq!(panel.start(), at(0));
        assert_eq!(panel.series(0)[0], 2.0);
        assert!(panel.series(0)[1].is_nan());
        assert_eq!(panel.series(0)[2], 5.0);
        assert_eq!(panel.series(1), [1.0, 0.0, 2.0]);
        assert!(store.closed(at(3_500)).is_none(), "no bin has closed");
        assert!(store.closed(at(4_000)).is_some());
    }

    #[test]
    fn a_late_sample_does_not_change_a_closed_bin() {
        let mut store = SeriesStore::new(SECOND, 10);
        store.sample(cpu(), at(1_500), 1.0);
        store.sample(cpu(), at(500), 9.0);
        let (panel, _) = store.closed(at(2_000)).unwrap();
        assert_eq!(panel.series(0), [1.0]);
    }

    #[test]
    fn series_beyond_the_limit_are_refused_until_old_ones_are_stale() {
        let mut store = SeriesStore::new(SECOND, 1);
        assert!(store.sample(cpu(), at(0), 1.0));
        assert!(!store.count(pool(), at(1_000)));
        assert!(store.count(pool(), at(3_600_000)));
    }
}
