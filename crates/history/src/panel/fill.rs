//! The second pass: samples and requests fall into their bins.

use std::collections::HashMap;

use arrow::array::{Array, StringArray};
use foreshadow_forecast::{Panel, SeriesId, SeriesKind};
use foreshadow_types::{EntityId, Timestamp};

use super::{
    REQUESTS_METRIC,
    survey::{Plan, Source, SourceKind},
};
use crate::{
    HistoryError,
    file::Batch,
    schema::{ENTITY_ID, POOL, SAMPLE_COUNT, TIMESTAMP, USER_ID},
};

/// Means are summed in 64 bits while a series stays in one bin, as it does in files sorted by time;
/// a bin that is left and entered again goes on from its stored mean and count.
#[derive(Debug)]
pub(super) struct Filler {
    plan: Plan,
    entities: HashMap<String, usize>,
    pools: HashMap<String, usize>,
    users: HashMap<String, usize>,
    /// Row-major `[series, bins]`.
    values: Vec<f32>,
    /// Samples behind each mean, for the usage series alone.
    counts: Vec<u16>,
    open: Vec<OpenBin>,
}

/// The bin that a series is in.
#[derive(Debug, Clone, Copy, Default)]
struct OpenBin {
    bin: usize,
    samples: u32,
    sum: f64,
}

impl Filler {
    pub(super) fn new(plan: Plan) -> Self {
        let index = |names: &[String], first: usize, stride: usize| {
            let numbered = names.iter().enumerate();
            numbered
                .map(|(i, name)| (name.clone(), first + i * stride))
                .collect::<HashMap<_, _>>()
        };
        let usage = plan.entities.len() * plan.metrics.len();
        let counted = plan.pools.len() + plan.users.len();
        let mut values = vec![f32::NAN; (usage + counted) * plan.bins];
        values[usage * plan.bins..].fill(0.0);
        Self {
            entities: index(&plan.entities, 0, plan.metrics.len()),
            pools: index(&plan.pools, usage, 1),
            users: index(&plan.users, usage + plan.pools.len(), 1),
            values,
            counts: vec![0; usage * plan.bins],
            open: vec![OpenBin::default(); usage],
            plan,
        }
    }

    pub(super) fn read(&mut self, source: &Source) -> Result<(), HistoryError> {
        match &source.kind {
            SourceKind::Usage { metrics } => {
                let mut columns = vec![TIMESTAMP, ENTITY_ID, SAMPLE_COUNT];
                columns.extend(metrics.iter().map(String::as_str));
                for batch in source.file.batches(&columns)? {
                    self.average(&batch?, metrics)?;
                }
            }
            SourceKind::Requests => {
                for batch in source.file.batches(&[TIMESTAMP, POOL, USER_ID])? {
                    self.count(&batch?, source.file.has(USER_ID))?;
                }
            }
        }
        Ok(())
    }

    fn average(&mut self, batch: &Batch, metrics: &[String]) -> Result<(), HistoryError> {
        let bins = self.bins_of(batch)?;
        let entities = batch.texts(ENTITY_ID)?;
        let rows: Vec<Option<usize>> = entities
            .iter()
            .map(|name| self.entities.get(name?).copied())
            .collect();
        let weights = weights(batch)?;
        for metric in metrics {
            let Some(offset) = self.plan.metrics.iter().position(|known| known == metric) else {
                continue;
            };
            let samples = batch.numbers(metric)?;
            for row in 0..batch.rows() {
                let (Some(bin), Some(first)) = (bins[row], rows[row]) else {
                    continue;
                };
                if samples.is_valid(row) && samples.value(row).is_finite() {
                    let weight = weights.as_ref().map_or(1, |weights| weights[row]);
                    self.add(first + offset, bin, samples.value(row), weight);
                }
            }
        }
        Ok(())
    }

    /// Adds a mean of `weight` samples.
    fn add(&mut self, series: usize, bin: usize, mean_value: f64, weight: u32) {
        if self.open[series].bin != bin {
            self.close(series);
            let cell = series * self.plan.bins + bin;
            let samples = u32::from(self.counts[cell]);
            let mean = f64::from(self.values[cell]);
            self.open[series] = OpenBin {
                bin,
                samples,
                sum: if samples == 0 {
                    0.0
                } else {
                    mean * f64::from(samples)
                },
            };
        }
        let open = &mut self.open[series];
        open.samples = open.samples.saturating_add(weight);
        open.sum += mean_value * f64::from(weight);
    }

    fn close(&mut self, series: usize) {
        let OpenBin { bin, samples, sum } = self.open[series];
        if samples > 0 {
            let cell = series * self.plan.bins + bin;
            self.values[cell] = (sum / f64::from(samples)) as f32;
            self.counts[cell] = u16::try_from(samples).unwrap_or(u16::MAX);
        }
    }

    fn count(&mut self, batch: &Batch, with_users: bool) -> Result<(), HistoryError> {
        let bins = self.bins_of(batch)?;
        let pools = batch.texts(POOL)?;
        count_names(&mut self.values, &self.plan, &self.pools, &pools, &bins);
        if with_users {
            let users = batch.texts(USER_ID)?;
            count_names(&mut self.values, &self.plan, &self.users, &users, &bins);
        }
        Ok(())
    }

    /// The bin of every row, `None` outside the grid.
    fn bins_of(&self, batch: &Batch) -> Result<Vec<Option<usize>>, HistoryError> {
        let times = batch.times(TIMESTAMP)?;
        Ok(times
            .into_iter()
            .map(|time| self.plan.bin_of(time))
            .collect())
    }

    pub(super) fn finish(mut self) -> Panel {
        for series in 0..self.open.len() {
            self.close(series);
        }
        let plan = self.plan;
        let ids = plan.ids();
        Panel::new(plan.start, plan.interval, ids, plan.bins, self.values)
    }
}

/// How many samples each row is the mean of, if a batch tells.
pub(crate) fn weights(batch: &Batch) -> Result<Option<Vec<u32>>, HistoryError> {
    if batch.column(SAMPLE_COUNT).is_err() {
        return Ok(None);
    }
    let counts = batch.numbers(SAMPLE_COUNT)?;
    let weight = |count: Option<f64>| count.map_or(1, |count| (count as u32).max(1));
    Ok(Some(counts.iter().map(weight).collect()))
}

fn count_names(
    values: &mut [f32],
    plan: &Plan,
    index: &HashMap<String, usize>,
    names: &StringArray,
    bins: &[Option<usize>],
) {
    for (name, bin) in names.iter().zip(bins) {
        let series = name.and_then(|name| index.get(name));
        if let (Some(series), Some(bin)) = (series, bin) {
            values[series * plan.bins + bin] += 1.0;
        }
    }
}

impl Plan {
    fn bin_of(&self, time: Timestamp) -> Option<usize> {
        let step = self.interval.as_millis() as i64;
        let bin = time.as_millis().div_euclid(step) - self.start.as_millis().div_euclid(step);
        usize::try_from(bin).ok().filter(|&bin| bin < self.bins)
    }

    fn ids(&self) -> Vec<SeriesId> {
        let mut ids = Vec::new();
        let entity = |name: &String| {
            EntityId::new(name).expect("names were checked when the files were surveyed")
        };
        for name in &self.entities {
            let entity = entity(name);
            ids.extend(
                self.metrics
                    .iter()
                    .map(|metric| SeriesId::of_entity(entity.clone(), metric.clone())),
            );
        }
        ids.extend(self.pools.iter().map(|name| {
            let id = SeriesId::of_entity(entity(name), REQUESTS_METRIC);
            SeriesId {
                kind: SeriesKind::Pool,
                ..id
            }
        }));
        let users = self.users.iter();
        ids.extend(users.map(|name| SeriesId::of_entity(entity(name), REQUESTS_METRIC)));
        ids
    }
}
