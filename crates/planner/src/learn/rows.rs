//! Samples spread out into rows of binned inputs.

use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;

use super::{
    grid::Grid,
    model::Base,
    samples::{Sample, Samples},
    tree::{INPUTS, TickInputs, scaled},
};

/// Bins an input is cut into, at most.
pub(crate) const BINS: usize = 48;
/// Rows learnt from, about.
const ROWS: usize = 150_000;
/// Rows from which the cuts between bins are found.
const CUT_ROWS: usize = 6_000;
/// Blocks just above the highest level met that are drawn from apart.
const NEAR: usize = 6;
/// Blocks drawn among the near, and among the far, of a sample.
const DRAWN: usize = 2;

/// The share of the past after which a tick counts half.
const HALF_LIFE: f32 = 0.5;

/// One block of sizes at one tick.
#[derive(Debug, Clone, Copy)]
struct RawRow {
    sample: u32,
    block: u16,
    hits: f32,
    /// Idle ticks.
    exposure: f32,
    /// How many rows it stands for; hits and exposure hold it already.
    weight: f32,
}

/// Rows of binned inputs with hits, exposure and the base's score.
#[derive(Debug)]
pub(crate) struct Rows {
    /// For each input, its bin in each row.
    pub(crate) bins: Vec<Vec<u8>>,
    /// For each input, the largest value of each bin but the last.
    pub(crate) cuts: Vec<Vec<f32>>,
    pub(crate) hits: Vec<f32>,
    /// Idle ticks.
    pub(crate) exposure: Vec<f32>,
    /// The logarithm of hits per idle tick as predicted so far.
    pub(crate) score: Vec<f32>,
    /// The number of the tick.
    pub(crate) tick: Vec<u64>,
}

impl Rows {
    /// Draws rows from the samples; `top` is the highest size of interest.
    pub(crate) fn draw(
        samples: &Samples,
        grid: &Grid,
        base: &Base,
        tick_s: f32,
        top: u32,
        seed: u64,
    ) -> Self {
        let mut rng = Pcg64Mcg::seed_from_u64(seed);
        let top_block = grid.block_of(top);
        let chosen: Vec<(&Sample, f32)> = samples.weighted().collect();
        let mut raw = Vec::new();
        for (index, &(sample, weight)) in chosen.iter().enumerate() {
            scored_rows(index, sample, weight, tick_s, &mut raw);
            idle_rows(index, sample, weight, grid, top_block, &mut rng, &mut raw);
        }
        thin(&mut raw, &mut rng);
        weigh_hits_as_one(&mut raw);
        fade(&mut raw, &chosen);
        let ticks: Vec<TickInputs> = chosen
            .iter()
            .map(|(sample, _)| TickInputs::new(&sample.known))
            .collect();
        let sizes: Vec<f32> = (0..grid.len()).map(|b| scaled(grid.middle(b))).collect();
        let value = |row: &RawRow, input| {
            ticks[row.sample as usize].value(input, sizes[row.block as usize])
        };
        let cut_rows = rows_for_cuts(&raw, &mut rng);
        let cuts: Vec<Vec<f32>> = (0..INPUTS)
            .map(|input| cuts(cut_rows.iter().map(|row| value(row, input)).collect()))
            .collect();
        let bins = cuts
            .iter()
            .enumerate()
            .map(|(input, cuts)| {
                raw.iter()
                    .map(|row| cuts.partition_point(|&cut| cut < value(row, input)) as u8)
                    .collect()
            })
            .collect();
        Self {
            bins,
            cuts,
            hits: raw.iter().map(|row| row.hits).collect(),
            exposure: raw.iter().map(|row| row.exposure).collect(),
            score: raw
                .iter()
                .map(|row| base.score(sizes[row.block as usize]))
                .collect(),
            tick: raw
                .iter()
                .map(|row| chosen[row.sample as usize].0.tick)
                .collect(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.hits.len()
    }
}

fn scored_rows(index: usize, sample: &Sample, weight: f32, tick_s: f32, raw: &mut Vec<RawRow>) {
    for (offset, &(hits, idle_s)) in sample.scored.iter().enumerate() {
        raw.push(RawRow {
            sample: index as u32,
            block: (sample.first + offset) as u16,
            hits: hits * weight,
            exposure: (idle_s / tick_s).max(1e-3) * weight,
            weight,
        });
    }
}

/// A few of the blocks that idled throughout, weighted to stand for all of them.
fn idle_rows(
    index: usize,
    sample: &Sample,
    weight: f32,
    grid: &Grid,
    top_block: usize,
    rng: &mut Pcg64Mcg,
    raw: &mut Vec<RawRow>,
) {
    let from = sample.first + sample.scored.len();
    let near_end = (from + NEAR).min(top_block + 1);
    for (from, to) in [(from, near_end), (near_end, top_block + 1)] {
        let blocks = to.saturating_sub(from);
        let drawn = DRAWN.min(blocks);
        for _ in 0..drawn {
            let block = rng.random_range(from..to);
            let stands_for = blocks as f32 / drawn as f32;
            raw.push(RawRow {
                sample: index as u32,
                block: block as u16,
                hits: 0.0,
                exposure: grid.width(block) * stands_for * weight,
                weight: stands_for * weight,
            });
        }
    }
}

/// Keeps about the wanted number of rows: all with hits before those without.
fn thin(raw: &mut Vec<RawRow>, rng: &mut Pcg64Mcg) {
    for with_hits in [false, true] {
        if raw.len() <= ROWS {
            return;
        }
        let candidates = raw
            .iter()
            .filter(|row| (row.hits > 0.0) == with_hits)
            .count();
        let others = raw.len() - candidates;
        let room = ROWS.saturating_sub(others).max(ROWS / 2);
        let keep = (room as f32 / candidates.max(1) as f32).min(1.0);
        raw.retain_mut(|row| {
            if (row.hits > 0.0) != with_hits {
                return true;
            }
            row.hits /= keep;
            row.exposure /= keep;
            row.weight /= keep;
            rng.random::<f32>() < keep
        });
    }
}

/// Scales all weights so that the hits count as many as there are rows' worth of them: what is
/// drawn to stand for many is no more certain for it.
fn weigh_hits_as_one(raw: &mut [RawRow]) {
    let weighted: f32 = raw.iter().map(|row| row.hits).sum();
    let met: f32 = raw.iter().map(|row| row.hits / row.weight).sum();
    if weighted > 0.0 {
        for row in raw {
            row.hits *= met / weighted;
            row.exposure *= met / weighted;
        }
    }
}

/// Lets what is long past count less: demand drifts.
fn fade(raw: &mut [RawRow], samples: &[(&Sample, f32)]) {
    let now = samples.iter().map(|(sample, _)| sample.tick).max();
    let now = now.unwrap_or(0).max(1) as f32;
    for row in raw {
        let past = samples[row.sample as usize].0.tick as f32;
        let keep = ((past - now) / (HALF_LIFE * now)).exp2();
        row.hits *= keep;
        row.exposure *= keep;
    }
}

/// Rows with and without hits in equal number.
fn rows_for_cuts(raw: &[RawRow], rng: &mut Pcg64Mcg) -> Vec<RawRow> {
    let hits = raw.iter().filter(|row| row.hits > 0.0).count().max(1);
    let others = (raw.len() - hits.min(raw.len())).max(1);
    let half = CUT_ROWS as f32 / 2.0;
    raw.iter()
        .filter(|row| {
            let of = if row.hits > 0.0 { hits } else { others };
            rng.random::<f32>() < half / of as f32
        })
        .copied()
        .collect()
}

/// Up to `BINS − 1` cuts that share the values evenly.
fn cuts(mut values: Vec<f32>) -> Vec<f32> {
    values.sort_by(f32::total_cmp);
    let mut cuts: Vec<f32> = (1..BINS)
        .filter_map(|bin| values.get(bin * values.len() / BINS).copied())
        .collect();
    cuts.dedup();
    cuts
}
