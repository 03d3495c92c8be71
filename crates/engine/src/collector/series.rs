//! Recent values of each series on one grid of time.

mod bins;

use std::{hash::BuildHasher as _, sync::Arc, time::Duration};

use foldhash::fast::RandomState;
use foreshadow_forecast::{Panel, SeriesId, SeriesKind};
use foreshadow_types::{EntityId, PoolName, Timestamp};
use hashbrown::HashTable;

use self::bins::Bins;
use super::WarmSeries;
use crate::planning::REQUESTS;

/// The longest stretch of time that is kept of each series: two days, for a season of one.
pub(super) const KEPT: Duration = Duration::from_hours(48);

/// The most bins that are kept of each series.
const MOST_BINS: usize = 2_881;

/// What a series is of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum SeriesKey {
    /// A metric of an entity, or its requests.
    Entity(EntityId, Arc<str>),
    /// The requests for a pool.
    Pool(PoolName),
}

/// A key by its names, as it is looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Named<'a> {
    Entity(&'a str, &'a str),
    Pool(&'a str),
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
    bins: Bins,
    /// The number of the bin that is being filled; bins are numbered from the epoch.
    open: i64,
    sum: f64,
    samples: u64,
    /// Whether the open bin has a sample of its own, and whether the one before it had.
    on_time: bool,
    was_on_time: bool,
}

/// All series.
#[derive(Debug)]
pub(crate) struct SeriesStore {
    interval: Duration,
    limit: usize,
    /// In the order of their keys, but for those that have come since the last bin closed.
    series: Vec<(SeriesKey, Series)>,
    sorted: usize,
    /// The latest panel, in which most bins are.
    panel: Option<Arc<Panel>>,
    /// Where each series is among them.
    index: HashTable<u32>,
    hasher: RandomState,
    /// The bin that was open when the series were last asked for.
    asked_at: i64,
    /// The bin that was open when room for further series was last sought.
    sought_at: i64,
}

impl SeriesStore {
    pub(crate) fn new(interval: Duration, limit: usize) -> Self {
        Self {
            interval,
            limit,
            series: Vec::new(),
            sorted: 0,
            panel: None,
            index: HashTable::new(),
            hasher: RandomState::default(),
            asked_at: i64::MIN,
            sought_at: i64::MIN,
        }
    }

    pub(crate) fn interval(&self) -> Duration {
        self.interval
    }

    /// Takes a sample of an entity's metric; false if there are too many series.
    pub(crate) fn sample(
        &mut self,
        entity: &EntityId,
        metric: &Arc<str>,
        at: Timestamp,
        value: f64,
    ) -> bool {
        let key = || SeriesKey::Entity(entity.clone(), metric.clone());
        let named = Named::Entity(entity.as_str(), metric);
        self.add(named, key, Kind::Mean, at, value)
    }

    /// Takes note of one request.
    pub(crate) fn count(&mut self, key: &SeriesKey, at: Timestamp) -> bool {
        self.add(key.named(), || key.clone(), Kind::Count, at, 1.0)
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
            let Some(key) = warm.key_of(id) else {
                continue;
            };
            let requests = id.metric == REQUESTS;
            let kind = if requests { Kind::Count } else { Kind::Mean };
            let mut series = Series::new(kind, open);
            let values = panel.series(index);
            series.bins = Bins::of(&values[values.len().saturating_sub(keep)..]);
            self.series.push((key, series));
        }
        self.sorted = 0;
        self.arrange();
        // Of two of one name the later counts.
        self.series.reverse();
        self.series.dedup_by(|a, b| a.0 == b.0);
        self.series.reverse();
        self.reindex();
    }

    fn add(
        &mut self,
        named: Named<'_>,
        key: impl Fn() -> SeriesKey,
        kind: Kind,
        at: Timestamp,
        value: f64,
    ) -> bool {
        let bin = bin_of(at, self.interval);
        let keep = self.kept_bins();
        let hash = self.hasher.hash_one(named);
        let series = &self.series;
        let known = self.index.find(hash, |place| {
            let (key, _) = &series[*place as usize];
            key.named() == named
        });
        let place = if let Some(place) = known {
            *place as usize
        } else {
            if !self.has_room(bin, keep) {
                return false;
            }
            self.insert(hash, key(), Series::new(kind, bin))
        };
        self.series[place].1.add(bin, value, keep);
        true
    }

    /// Whether a further series fits, or can be made to. It is sought once in each bin, since that
    /// goes through all of them.
    fn has_room(&mut self, bin: i64, keep: usize) -> bool {
        if self.series.len() < self.limit {
            return true;
        }
        if bin > self.sought_at {
            self.sought_at = bin;
            self.forget_stale(bin, keep);
        }
        self.series.len() < self.limit
    }

    fn insert(&mut self, hash: u64, key: SeriesKey, series: Series) -> usize {
        let place = self.series.len();
        self.series.push((key, series));
        let (all, hasher) = (&self.series, &self.hasher);
        self.index.insert_unique(hash, place as u32, |place| {
            hasher.hash_one(all[*place as usize].0.named())
        });
        place
    }

    /// Keeps some series; the others' places are taken by those that follow.
    fn retain(&mut self, keep: impl Fn(&SeriesKey, &Series) -> bool) {
        let before = self.series.len();
        let mut sorted = 0;
        let mut place = 0;
        self.series.retain(|(key, series)| {
            let kept = keep(key, series);
            sorted += usize::from(kept && place < self.sorted);
            place += 1;
            kept
        });
        self.sorted = sorted;
        if self.series.len() < before {
            self.reindex();
        }
    }

    /// Puts the series that have come since into the order of the keys.
    fn arrange(&mut self) {
        if self.sorted < self.series.len() {
            // Stable sorting finds the part that is in order already.
            self.series.sort_by(|(a, _), (b, _)| a.cmp(b));
            self.sorted = self.series.len();
            self.reindex();
        }
    }

    fn reindex(&mut self) {
        self.index.clear();
        let (all, hasher) = (&self.series, &self.hasher);
        let hash = |place: &u32| hasher.hash_one(all[*place as usize].0.named());
        for place in 0..all.len() as u32 {
            self.index.insert_unique(hash(&place), place, hash);
        }
    }

    /// Drops all series of an entity.
    pub(crate) fn forget(&mut self, entity: &EntityId) {
        self.retain(|key, _| !matches!(key, SeriesKey::Entity(of, _) if of == entity));
    }

    fn kept_bins(&self) -> usize {
        let fitting = KEPT.as_millis() / self.interval.as_millis().max(1);
        // With one more, the first and the last lie two whole days apart: enough for a day's season.
        (fitting as usize + 1).clamp(2, MOST_BINS)
    }

    fn forget_stale(&mut self, now: i64, keep: usize) {
        self.retain(|_, series| now.saturating_sub(series.open) < keep as i64);
    }

    /// All series with the bins that have closed, if any has since the last time.
    pub(crate) fn closed(&mut self, now: Timestamp) -> Option<(Arc<Panel>, Vec<SeriesKey>)> {
        let open = bin_of(now, self.interval);
        if open <= self.asked_at {
            return None;
        }
        self.asked_at = open;
        let keep = self.kept_bins();
        for (_, series) in &mut self.series {
            series.advance(open, keep);
        }
        self.forget_empty();
        self.arrange();
        let Some(bins) = self.series.iter().map(|(_, one)| one.bins.len()).max() else {
            self.panel = None;
            return None;
        };
        (bins > 0).then(|| self.panel(open, bins))
    }

    /// Series in which nothing is left but absent values.
    fn forget_empty(&mut self) {
        let panel = self.panel.clone();
        self.retain(|_, series| {
            let mut bins = series.bins.iter(panel.as_deref());
            series.samples > 0 || bins.any(|value| value.is_finite() && value != 0.0)
        });
    }

    /// All series' bins, which are kept there from now on.
    fn panel(&mut self, open: i64, bins: usize) -> (Arc<Panel>, Vec<SeriesKey>) {
        let latest = self.panel.take();
        let mut values = Vec::with_capacity(self.series.len() * bins);
        for (place, (_, series)) in self.series.iter_mut().enumerate() {
            let absent = bins - series.bins.len();
            values.extend(std::iter::repeat_n(f32::NAN, absent));
            values.extend(series.bins.iter(latest.as_deref()));
            series.bins.show(place);
        }
        let interval_ms = self.interval.as_millis() as i64;
        let start = Timestamp::from_millis((open - bins as i64) * interval_ms);
        let keys: Vec<SeriesKey> = self.series.iter().map(|(key, _)| key.clone()).collect();
        let ids = keys.iter().map(SeriesKey::id).collect();
        let panel = Arc::new(Panel::new(start, self.interval, ids, bins, values));
        self.panel = Some(panel.clone());
        (panel, keys)
    }
}

impl WarmSeries {
    /// Which series it is here; none of a pool that there is no more.
    fn key_of(&self, id: &SeriesId) -> Option<SeriesKey> {
        match id.kind {
            SeriesKind::Entity => Some(SeriesKey::Entity(
                id.entity.clone(),
                id.metric.as_str().into(),
            )),
            SeriesKind::Pool => {
                let pool = PoolName::new(id.entity.as_str()).ok()?;
                self.pools.contains(&pool).then_some(SeriesKey::Pool(pool))
            }
        }
    }
}

impl SeriesKey {
    fn named(&self) -> Named<'_> {
        match self {
            Self::Entity(entity, metric) => Named::Entity(entity.as_str(), metric),
            Self::Pool(pool) => Named::Pool(pool.as_str()),
        }
    }

    /// As panels name it.
    pub(crate) fn id(&self) -> SeriesId {
        match self {
            Self::Entity(entity, metric) => SeriesId::of_entity(entity.clone(), metric.to_string()),
            Self::Pool(pool) => SeriesId::of_pool(pool, REQUESTS),
        }
    }
}

impl Series {
    fn new(kind: Kind, open: i64) -> Self {
        Self {
            kind,
            bins: Bins::default(),
            open,
            sum: 0.0,
            samples: 0,
            on_time: false,
            was_on_time: true,
        }
    }

    /// A sample of a bin that has closed comes too late to count there. Where that bin got none in time,
    /// it counts as one of the bin that is open: of a sender whose samples always come a little after
    /// their bin has closed, nothing would be known otherwise.
    fn add(&mut self, bin: i64, value: f64, keep: usize) {
        if bin > self.open {
            self.advance(bin, keep);
        }
        let just_late = self.kind == Kind::Mean && bin + 1 == self.open && !self.was_on_time;
        if bin == self.open || just_late {
            self.sum += value;
            self.samples += 1;
            self.on_time |= bin == self.open;
        }
    }

    /// Closes all bins before `open`.
    fn advance(&mut self, open: i64, keep: usize) {
        if open <= self.open {
            return;
        }
        let closed = self.value();
        self.bins.push(closed, keep);
        let skipped = (open - self.open - 1).min(keep as i64);
        for _ in 0..skipped {
            self.bins.push(self.absent(), keep);
        }
        self.was_on_time = skipped == 0 && self.on_time;
        self.on_time = false;
        self.open = open;
        self.sum = 0.0;
        self.samples = 0;
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
mod tests;
