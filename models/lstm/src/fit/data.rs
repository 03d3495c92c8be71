//! What a network is fitted to: panels at several resolutions, and how often each series is shown.

use foreshadow_forecast::{Panel, mean_magnitude};

use crate::{clock::Clock, random::Random};

/// How a series' share of the loss grows with its level.
const LEVEL_POWER: f32 = 0.5;
/// The least share of draws that a series gets, relative to the average.
const LEAST_DRAW: f32 = 0.05;

/// Panels to fit to, the first at the finest resolution.
#[derive(Debug, Clone)]
pub struct FitData {
    pub(crate) sources: Vec<Source>,
}

/// One panel, used up to a bin.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) panel: Panel,
    pub(crate) clock: Clock,
    /// The first bin that may not be seen.
    pub(crate) end: usize,
    /// Series that can be learned from.
    candidates: Vec<Candidate>,
    /// Running sums of the candidates' chances.
    chances: Vec<f32>,
    /// The part of all lanes that this panel gets.
    pub(crate) share: f32,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Candidate {
    pub(crate) series: usize,
    /// The first bin with a sample.
    pub(crate) first: usize,
    /// The mean magnitude.
    pub(crate) level: f32,
    /// Whether all values are counts.
    pub(crate) counts: bool,
    /// The average magnitude of the metric over all its series.
    unit: f32,
    /// Makes up for how often the series is drawn.
    correction: f32,
}

impl Candidate {
    /// The share in the loss of an error of one `scale`.
    pub(crate) fn weight(&self, scale: f32) -> f32 {
        self.correction * (scale / self.unit).clamp(0.0, 1e4).powf(LEVEL_POWER)
    }
}

impl FitData {
    /// From panels, each with the first bin that may not be seen and its part of the training.
    pub fn new(panels: Vec<(Panel, usize, f32)>) -> Self {
        let sources = panels
            .into_iter()
            .map(|(panel, end, share)| Source::new(panel, end, share))
            .filter(|source| !source.candidates.is_empty())
            .collect();
        Self { sources }
    }

    /// Whether there is nothing to learn from.
    pub fn is_empty(&self) -> bool {
        self.sources.is_empty()
    }

    /// Draws a panel by its share.
    pub(crate) fn draw_source(&self, random: &mut Random) -> usize {
        let total: f32 = self.sources.iter().map(|source| source.share).sum();
        let mut left = random.unit() * total;
        for (index, source) in self.sources.iter().enumerate() {
            left -= source.share;
            if left < 0.0 {
                return index;
            }
        }
        self.sources.len() - 1
    }
}

impl Source {
    fn new(panel: Panel, end: usize, share: f32) -> Self {
        let end = end.min(panel.bins());
        let mut candidates = candidates(&panel, end);
        let draws: Vec<f32> = candidates
            .iter()
            .map(|candidate| candidate.correction.powf(LEVEL_POWER / 2.0).max(LEAST_DRAW))
            .collect();
        let mean = draws.iter().sum::<f32>() / draws.len().max(1) as f32;
        let mut total = 0.0;
        let mut chances = Vec::with_capacity(draws.len());
        for (candidate, draw) in candidates.iter_mut().zip(draws) {
            candidate.correction = mean / draw;
            total += draw;
            chances.push(total);
        }
        let clock = Clock::new(panel.interval());
        Self {
            panel,
            clock,
            end,
            candidates,
            chances,
            share,
        }
    }

    /// Draws a series by its level.
    pub(crate) fn draw(&self, random: &mut Random) -> usize {
        let total = self.chances.last().copied().unwrap_or(0.0);
        let at = random.unit() * total;
        self.chances
            .partition_point(|&sum| sum <= at)
            .min(self.chances.len() - 1)
    }

    pub(crate) fn candidate(&self, index: usize) -> Candidate {
        self.candidates[index]
    }

    /// What may be seen of a candidate.
    pub(crate) fn values(&self, candidate: usize) -> &[f32] {
        &self.panel.series(self.candidates[candidate].series)[..self.end]
    }
}

/// The series with a value that is not zero; `correction` holds their level relative to the metric.
fn candidates(panel: &Panel, end: usize) -> Vec<Candidate> {
    let levels: Vec<Option<(usize, f32)>> = (0..panel.ids().len())
        .map(|series| level(&panel.series(series)[..end]))
        .collect();
    let unit = |metric: &str| {
        let of_metric = panel
            .ids()
            .iter()
            .zip(&levels)
            .filter(|(id, _)| id.metric == metric);
        let (sum, count) = of_metric
            .filter_map(|(_, level)| *level)
            .fold((0.0, 0.0), |(sum, count), (_, level)| {
                (sum + f64::from(level), count + 1.0)
            });
        (sum / f64::max(count, 1.0)) as f32
    };
    let mut units: Vec<(&str, f32)> = Vec::new();
    for id in panel.ids() {
        if !units.iter().any(|(metric, _)| *metric == id.metric) {
            units.push((&id.metric, unit(&id.metric)));
        }
    }
    let unit_of = |metric: &str| {
        units
            .iter()
            .find(|(known, _)| *known == metric)
            .map_or(1.0, |(_, unit)| *unit)
    };
    let ids = panel.ids().iter().zip(&levels).enumerate();
    ids.filter_map(|(series, (id, level))| {
        let (first, level) = (*level)?;
        let unit = unit_of(&id.metric);
        Some(Candidate {
            series,
            first,
            level,
            counts: are_counts(&panel.series(series)[..end]),
            unit,
            correction: level / unit,
        })
    })
    .collect()
}

/// The first sampled bin and the mean magnitude; `None` where all is missing or zero.
fn level(values: &[f32]) -> Option<(usize, f32)> {
    let first = values.iter().position(|value| value.is_finite())?;
    let level = mean_magnitude(values)? as f32;
    (level > f32::MIN_POSITIVE && level.is_finite()).then_some((first, level))
}

fn are_counts(values: &[f32]) -> bool {
    let mut present = values.iter().filter(|value| value.is_finite());
    present.all(|value| *value >= 0.0 && value.fract() == 0.0)
}
