//! Gradient boosting of trees on the Poisson deviance with exposure (Friedman, 2001), on binned
//! inputs, with shares that never rise with the size of the pool.

use rand::{Rng, SeedableRng, seq::SliceRandom};
use rand_pcg::Pcg64Mcg;

use super::{
    grow::grow,
    rows::Rows,
    tree::{INPUTS, Tree},
};

/// How trees are grown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BoostSettings {
    /// The most trees.
    pub(crate) trees: usize,
    /// Leaves of a tree, at most.
    pub(crate) leaves: usize,
    /// How much of a leaf's value is taken.
    pub(crate) rate: f32,
    /// Hits as predicted by which every leaf is drawn to no change.
    pub(crate) prior: f32,
    /// Hits met or predicted that a leaf must hold.
    pub(crate) least: f32,
    /// The share of rows and of inputs that a tree sees.
    pub(crate) row_share: f32,
    pub(crate) input_share: f32,
    /// Trees without progress on the held-out rows after which growing ends.
    pub(crate) patience: usize,
}

impl Default for BoostSettings {
    fn default() -> Self {
        Self {
            trees: 300,
            leaves: 8,
            rate: 0.05,
            prior: 6.0,
            least: 12.0,
            row_share: 0.5,
            input_share: 0.5,
            patience: 28,
        }
    }
}

/// Grows trees on the rows before `held_out_from` until the rows from there on gain no more.
/// Returns the trees and, where rows are held out, how much each held-out hit gained.
pub(crate) fn boost(
    rows: &mut Rows,
    held_out_from: Option<u64>,
    settings: &BoostSettings,
    seed: u64,
) -> (Vec<Tree>, f32) {
    let mut rng = Pcg64Mcg::seed_from_u64(seed);
    let held_out: Vec<u32> =
        rows_where(rows, |tick| held_out_from.is_some_and(|from| tick >= from));
    let learnt_from: Vec<u32> =
        rows_where(rows, |tick| held_out_from.is_none_or(|from| tick < from));
    let start = likelihood(rows, &held_out);
    let (mut best, mut best_at) = (start, 0);
    let mut trees = Vec::new();
    let mut inputs: Vec<usize> = (0..INPUTS).collect();
    while trees.len() < settings.trees {
        inputs.shuffle(&mut rng);
        let seen = ((INPUTS as f32 * settings.input_share) as usize).max(1);
        let chosen: Vec<u32> = learnt_from
            .iter()
            .copied()
            .filter(|_| rng.random::<f32>() < settings.row_share)
            .collect();
        let tree = grow(rows, chosen, &inputs[..seen], settings);
        apply(&tree, rows);
        trees.push(tree);
        if held_out_from.is_some() {
            let now = likelihood(rows, &held_out);
            if now > best {
                (best, best_at) = (now, trees.len());
            } else if trees.len() >= best_at + settings.patience {
                break;
            }
        }
    }
    if held_out_from.is_some() {
        trees.truncate(best_at);
    }
    let hits: f32 = held_out.iter().map(|&row| rows.hits[row as usize]).sum();
    (trees, ((best - start) / f64::from(hits.max(1.0))) as f32)
}

fn rows_where(rows: &Rows, wanted: impl Fn(u64) -> bool) -> Vec<u32> {
    (0..rows.len() as u32)
        .filter(|&row| wanted(rows.tick[row as usize]))
        .collect()
}

fn likelihood(rows: &Rows, which: &[u32]) -> f64 {
    which
        .iter()
        .map(|&row| {
            let row = row as usize;
            let score = rows.score[row];
            f64::from(rows.hits[row] * score - rows.exposure[row] * score.exp())
        })
        .sum()
}

/// Adds a tree's values to the scores of all rows.
fn apply(tree: &Tree, rows: &mut Rows) {
    for row in 0..rows.hits.len() {
        let mut at = 0;
        loop {
            let node = tree.nodes[at];
            if node.low == 0 && node.high == 0 {
                rows.score[row] += node.number;
                break;
            }
            let input = node.input as usize;
            let bin = usize::from(rows.bins[input][row]);
            let low = rows.cuts[input]
                .get(bin)
                .is_some_and(|&cut| cut <= node.number);
            at = usize::from(if low { node.low } else { node.high });
        }
    }
}
