//! Samples of passive senders become observations: mapped to entities, counters turned into rates,
//! series of one entity summed; in bounded memory.

use std::{collections::HashMap, ops::Range, sync::Arc};

use foldhash::fast::RandomState;
use foreshadow_shadow::Observation;
use foreshadow_types::{EntityId, Timestamp};

use crate::{
    IntakeLimits,
    counts::IntakeCounts,
    mapping::{Combine, Mapping, MetricKind},
    rate::rate,
    target::Target,
};

/// The value by which Prometheus says that a series has ended: one of the many that are no number.
const STALE_MARKER: u64 = 0x7ff0_0000_0000_0002;

/// A sample as it came.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RawSample {
    /// When.
    pub at: Timestamp,
    /// What.
    pub value: f64,
}

/// What is kept of one series of a sender for one mapping.
#[derive(Debug)]
struct Series {
    key: Arc<[u8]>,
    mapping: u32,
    target: u32,
    /// Its place among the members of the target.
    member: u32,
    latest: RawSample,
    /// Whether it was heard of since the hand last came by.
    used: bool,
}

/// Turns samples into observations.
#[derive(Debug)]
pub struct Mapper {
    mappings: Vec<Mapping>,
    /// The mappings of each metric: neighbours.
    by_metric: HashMap<String, Range<u32>, RandomState>,
    limits: IntakeLimits,
    index: HashMap<Arc<[u8]>, u32, RandomState>,
    series: Vec<Option<Series>>,
    free: Vec<u32>,
    targets: Vec<Option<Target>>,
    free_targets: Vec<u32>,
    by_name: HashMap<(EntityId, Arc<str>), u32, RandomState>,
    /// Where the search for a series to drop goes on: the clock algorithm, which drops one that was
    /// not heard of for a whole turn.
    hand: usize,
    counts: IntakeCounts,
    /// The key that is looked up, and the bytes of labels that came one by one.
    key: Vec<u8>,
    sent: Vec<u8>,
}

/// Where the samples of a series go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Series(u32),
    /// It is mapped, but names no entity that there can be, or one series too many of its target.
    Refused,
    Unmapped,
}

impl Mapper {
    /// With these mappings and limits.
    pub fn new(mut mappings: Vec<Mapping>, limits: IntakeLimits) -> Self {
        mappings.sort_by(|a, b| a.metric.cmp(&b.metric));
        let mut by_metric: HashMap<String, Range<u32>, RandomState> = HashMap::default();
        for (mapping, number) in mappings.iter().zip(0_u32..) {
            let known = by_metric.entry(mapping.metric.clone());
            known.or_insert(number..number).end = number + 1;
        }
        Self {
            mappings,
            by_metric,
            limits,
            index: HashMap::default(),
            series: Vec::new(),
            free: Vec::new(),
            targets: Vec::new(),
            free_targets: Vec::new(),
            by_name: HashMap::default(),
            hand: 0,
            counts: IntakeCounts::default(),
            key: Vec::new(),
            sent: Vec::new(),
        }
    }

    /// What became of all samples so far.
    pub fn counts(&self) -> IntakeCounts {
        IntakeCounts {
            series: self.index.len() as u64,
            ..self.counts
        }
    }

    /// Takes the samples of one series, in the order of their time. `labels` come in any order, but
    /// always in the same.
    pub fn take(
        &mut self,
        metric: &str,
        labels: &[(&str, &str)],
        samples: impl Iterator<Item = RawSample> + Clone,
        now: Timestamp,
        into: &mut Vec<Observation>,
    ) {
        let mut sent = std::mem::take(&mut self.sent);
        sent.clear();
        for (name, value) in labels {
            for text in [name, value] {
                sent.extend(text.as_bytes());
                // A byte that no text holds.
                sent.push(0xff);
            }
        }
        self.take_as_sent(metric, &sent, || labels.to_vec(), samples, now, into);
        self.sent = sent;
    }

    /// The same for a series whose labels are told by `sent`, the bytes that its sender always sends
    /// for it; they are only read where the series is not known yet.
    pub(crate) fn take_as_sent<'a>(
        &mut self,
        metric: &str,
        sent: &[u8],
        labels: impl Fn() -> Vec<(&'a str, &'a str)>,
        samples: impl Iterator<Item = RawSample> + Clone,
        now: Timestamp,
        into: &mut Vec<Observation>,
    ) {
        let mut mapped = false;
        for number in self.by_metric.get(metric).cloned().unwrap_or_default() {
            match self.series_of(number, sent, &labels, now) {
                Place::Series(series) => self.samples(series, samples.clone(), now, into),
                Place::Refused => self.counts.refused += samples.clone().count() as u64,
                Place::Unmapped => continue,
            }
            mapped = true;
        }
        if !mapped {
            self.counts.unmapped += samples.count() as u64;
        }
    }

    /// Takes samples up to the end of the series; what comes after that in one request is left.
    fn samples(
        &mut self,
        series: u32,
        samples: impl Iterator<Item = RawSample>,
        now: Timestamp,
        into: &mut Vec<Observation>,
    ) {
        for sample in samples {
            self.sample(series, sample, now, into);
            if self.series[series as usize].is_none() {
                return;
            }
        }
    }

    /// The state of a series under a mapping.
    fn series_of<'a>(
        &mut self,
        number: u32,
        sent: &[u8],
        labels: &impl Fn() -> Vec<(&'a str, &'a str)>,
        now: Timestamp,
    ) -> Place {
        self.key.clear();
        self.key.extend(number.to_le_bytes());
        self.key.extend(sent);
        if let Some(&series) = self.index.get(self.key.as_slice()) {
            if let Some(known) = &mut self.series[series as usize] {
                known.used = true;
            }
            return Place::Series(series);
        }
        self.begin_series(number, &labels(), now)
    }

    fn begin_series(&mut self, number: u32, labels: &[(&str, &str)], now: Timestamp) -> Place {
        let mapping = &self.mappings[number as usize];
        let label = |wanted: &str| {
            let found = labels.iter().find(|(name, _)| *name == wanted);
            found.map(|(_, value)| *value)
        };
        if !mapping.conditions.iter().all(|one| one.holds(label)) {
            return Place::Unmapped;
        }
        let Some(name) = mapping.entity_of(label) else {
            return Place::Unmapped;
        };
        let resource = mapping.resource.clone();
        let Ok(entity) = EntityId::new(&name) else {
            return Place::Refused;
        };
        let name = (entity, resource);
        let known = self.by_name.get(&name).copied();
        let full = |target: u32| {
            self.targets[target as usize]
                .as_ref()
                .is_some_and(Target::is_full)
        };
        if known.is_some_and(full) {
            return Place::Refused;
        }
        if self.index.len() >= self.limits.max_series.max(1) {
            self.drop_one();
        }
        let target = self.target_of(name);
        let key: Arc<[u8]> = self.key.as_slice().into();
        let series = Series {
            key: key.clone(),
            mapping: number,
            target,
            member: 0,
            latest: RawSample {
                at: Timestamp::MIN,
                value: f64::NAN,
            },
            // So that a flood of series heard of once is dropped before those in use.
            used: false,
        };
        let place = put(&mut self.series, &mut self.free, series);
        let joined = self.targets[target as usize].as_mut();
        let member = joined.map(|target| target.join(place, now));
        self.move_member(place, member);
        self.index.insert(key, place);
        Place::Series(place)
    }

    fn target_of(&mut self, name: (EntityId, Arc<str>)) -> u32 {
        if let Some(&target) = self.by_name.get(&name) {
            return target;
        }
        let target = Target::new(name.0.clone(), name.1.clone());
        let place = put(&mut self.targets, &mut self.free_targets, target);
        self.by_name.insert(name, place);
        place
    }

    fn sample(
        &mut self,
        place: u32,
        sample: RawSample,
        now: Timestamp,
        into: &mut Vec<Observation>,
    ) {
        let Some(series) = &mut self.series[place as usize] else {
            return;
        };
        if sample.value.to_bits() == STALE_MARKER {
            // One that was sent again ends nothing that has gone on since.
            if sample.at >= series.latest.at {
                self.drop_series(place);
            }
            return;
        }
        let mapping = &self.mappings[series.mapping as usize];
        let counts = &mut self.counts;
        let refusal = if !sample.value.is_finite() {
            Some(&mut counts.not_finite)
        } else if sample.at > now + self.limits.future {
            Some(&mut counts.future)
        } else if sample.at < now - self.limits.past {
            Some(&mut counts.past)
        } else if sample.at == series.latest.at {
            Some(&mut counts.duplicate)
        } else if sample.at < series.latest.at {
            Some(&mut counts.out_of_order)
        } else {
            None
        };
        if let Some(count) = refusal {
            *count += 1;
            return;
        }
        counts.mapped += 1;
        let before = std::mem::replace(&mut series.latest, sample);
        let Some(target) = &mut self.targets[series.target as usize] else {
            return;
        };
        let value = match mapping.kind {
            MetricKind::Gauge => Some(sample.value),
            MetricKind::Counter => {
                let rated = rate((before.at, before.value), (sample.at, sample.value));
                counts.resets += u64::from(rated.is_some_and(|(_, reset)| reset));
                if rated.is_none() {
                    target.begin();
                }
                rated.map(|(rate, _)| rate)
            }
        };
        let Some(value) = value.map(|value| value * mapping.scale) else {
            return;
        };
        into.extend(match mapping.combine {
            Combine::Last => Some(target.observation(sample.at, value)),
            Combine::Sum => target.add(series.member, sample.at, value),
        });
    }

    /// Drops a series that was not heard of for long.
    fn drop_one(&mut self) {
        // Two turns at the most: after one, every mark is gone.
        for _ in 0..2 * self.series.len() {
            let place = self.hand;
            self.hand = (self.hand + 1) % self.series.len().max(1);
            match &mut self.series[place] {
                Some(series) if series.used => series.used = false,
                Some(_) => {
                    self.drop_series(place as u32);
                    self.counts.series_evicted += 1;
                    return;
                }
                None => {}
            }
        }
    }

    fn drop_series(&mut self, place: u32) {
        let Some(series) = self.series[place as usize].take() else {
            return;
        };
        self.index.remove(&series.key);
        self.free.push(place);
        let slot = &mut self.targets[series.target as usize];
        let Some(target) = slot else {
            return;
        };
        let moved = target.leave(series.member);
        if target.is_empty()
            && let Some(target) = slot.take()
        {
            self.by_name.remove(&(target.entity, target.resource));
            self.free_targets.push(series.target);
        }
        if let Some(moved) = moved {
            self.move_member(moved, Some(series.member));
        }
    }

    /// Takes note of a series' place among the members of its target.
    fn move_member(&mut self, place: u32, member: Option<u32>) {
        if let (Some(series), Some(member)) = (&mut self.series[place as usize], member) {
            series.member = member;
        }
    }
}

fn put<T>(slots: &mut Vec<Option<T>>, free: &mut Vec<u32>, value: T) -> u32 {
    if let Some(place) = free.pop() {
        slots[place as usize] = Some(value);
        return place;
    }
    slots.push(Some(value));
    (slots.len() - 1) as u32
}

#[cfg(test)]
mod tests;
