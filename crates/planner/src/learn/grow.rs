//! Growing one tree, best leaf first, on binned inputs.

use super::{
    boost::BoostSettings,
    rows::{BINS, Rows},
    tree::{Node, SIZED, Tree},
};

/// The rise of the log-likelihood below which a leaf is not split.
const LEAST_GAIN: f32 = 1.0;

/// Hits met and predicted.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    hits: f32,
    predicted: f32,
}

impl Sum {
    fn plus(self, other: Self) -> Self {
        Self {
            hits: self.hits + other.hits,
            predicted: self.predicted + other.predicted,
        }
    }

    fn minus(self, other: Self) -> Self {
        Self {
            hits: self.hits - other.hits,
            predicted: (self.predicted - other.predicted).max(0.0),
        }
    }

    /// The best change of score, drawn towards none.
    fn value(self, prior: f32) -> f32 {
        ((self.hits.max(0.0) + prior) / (self.predicted + prior))
            .ln()
            .clamp(-4.0, 4.0)
    }

    /// The most by which the log-likelihood can rise, or close to it, by one change of score.
    fn best_gain(self, prior: f32) -> f32 {
        let ratio = (self.hits.max(0.0) + prior) / (self.predicted + prior);
        self.hits * ratio.ln() - self.predicted * (ratio - 1.0)
    }

    /// By how much the log-likelihood rises when the score changes by `value`.
    fn gain(self, value: f32) -> f32 {
        self.hits * value - self.predicted * (value.exp() - 1.0)
    }
}

/// A leaf that may still be split.
struct Open {
    node: usize,
    rows: std::ops::Range<usize>,
    sums: Vec<[Sum; BINS]>,
    total: Sum,
    value: f32,
    /// Limits that keep the tree falling with the size.
    bounds: (f32, f32),
    split: Option<Split>,
}

#[derive(Debug, Clone, Copy)]
struct Split {
    gain: f32,
    /// Among the inputs that the tree sees.
    place: usize,
    bin: usize,
    low: f32,
    high: f32,
}

/// Grows a tree on the rows in `order`, splitting on `inputs` alone.
pub(super) fn grow(
    rows: &Rows,
    mut order: Vec<u32>,
    inputs: &[usize],
    settings: &BoostSettings,
) -> Tree {
    let predicted: Vec<Sum> = order
        .iter()
        .map(|&row| Sum {
            hits: rows.hits[row as usize],
            predicted: rows.exposure[row as usize] * rows.score[row as usize].exp(),
        })
        .collect();
    let mut pairs: Vec<(u32, Sum)> = order.drain(..).zip(predicted).collect();
    let mut nodes = vec![leaf(0.0)];
    let sums = sums_of(rows, &pairs, inputs);
    let total = pairs
        .iter()
        .fold(Sum::default(), |sum, pair| sum.plus(pair.1));
    let root = open(
        0,
        0..pairs.len(),
        sums,
        total,
        (-9.0, 9.0),
        inputs,
        settings,
    );
    let mut leaves = vec![root];
    while leaves.len() < settings.leaves {
        let best = (0..leaves.len())
            .filter_map(|index| leaves[index].split.map(|split| (index, split)))
            .max_by(|a, b| a.1.gain.total_cmp(&b.1.gain));
        let Some((index, split)) = best else { break };
        let parent = leaves.swap_remove(index);
        let [low, high] = split_leaf(
            parent, split, rows, &mut pairs, inputs, settings, &mut nodes,
        );
        leaves.push(low);
        leaves.push(high);
    }
    for leaf in &leaves {
        nodes[leaf.node].number = leaf.value * settings.rate;
    }
    let mut tree = Tree { nodes };
    cuts_to_values(&mut tree, rows);
    tree
}

fn leaf(value: f32) -> Node {
    Node {
        input: 0,
        low: 0,
        high: 0,
        number: value,
    }
}

fn open(
    node: usize,
    rows: std::ops::Range<usize>,
    sums: Vec<[Sum; BINS]>,
    total: Sum,
    bounds: (f32, f32),
    inputs: &[usize],
    settings: &BoostSettings,
) -> Open {
    let value = total.value(settings.prior).clamp(bounds.0, bounds.1);
    let split = best_split(&sums, total, value, bounds, inputs, settings);
    Open {
        node,
        rows,
        sums,
        total,
        value,
        bounds,
        split,
    }
}

fn sums_of(rows: &Rows, pairs: &[(u32, Sum)], inputs: &[usize]) -> Vec<[Sum; BINS]> {
    inputs
        .iter()
        .map(|&input| {
            let bins = &rows.bins[input];
            let mut sums = [Sum::default(); BINS];
            for &(row, sum) in pairs {
                let bin = usize::from(bins[row as usize]).min(BINS - 1);
                sums[bin].hits += sum.hits;
                sums[bin].predicted += sum.predicted;
            }
            sums
        })
        .collect()
}

fn best_split(
    sums: &[[Sum; BINS]],
    total: Sum,
    value: f32,
    bounds: (f32, f32),
    inputs: &[usize],
    settings: &BoostSettings,
) -> Option<Split> {
    let before = total.gain(value);
    let mut best: Option<Split> = None;
    for (place, (bins, &input)) in sums.iter().zip(inputs).enumerate() {
        let mut low = Sum::default();
        for (bin, &sum) in bins[..BINS - 1].iter().enumerate() {
            if sum.predicted == 0.0 {
                continue;
            }
            low = low.plus(sum);
            let high = total.minus(low);
            if low.hits + low.predicted < settings.least
                || high.hits + high.predicted < settings.least
            {
                continue;
            }
            let free = low.best_gain(settings.prior) + high.best_gain(settings.prior) - before;
            if free <= best.map_or(LEAST_GAIN, |split| split.gain) {
                continue;
            }
            let low_value = low.value(settings.prior).clamp(bounds.0, bounds.1);
            let high_value = high.value(settings.prior).clamp(bounds.0, bounds.1);
            if input < SIZED && low_value < high_value {
                continue;
            }
            let gain = low.gain(low_value) + high.gain(high_value) - before;
            if gain > best.map_or(LEAST_GAIN, |split| split.gain) {
                best = Some(Split {
                    gain,
                    place,
                    bin,
                    low: low_value,
                    high: high_value,
                });
            }
        }
    }
    best
}

fn split_leaf(
    parent: Open,
    split: Split,
    rows: &Rows,
    pairs: &mut [(u32, Sum)],
    inputs: &[usize],
    settings: &BoostSettings,
    nodes: &mut Vec<Node>,
) -> [Open; 2] {
    let input = inputs[split.place];
    let bins = &rows.bins[input];
    let goes_low = |row: u32| usize::from(bins[row as usize]) <= split.bin;
    let own = &mut pairs[parent.rows.clone()];
    let cut = parent.rows.start + partition(own, |pair| goes_low(pair.0));
    let (low_rows, high_rows) = (parent.rows.start..cut, cut..parent.rows.end);
    let low_is_smaller = low_rows.len() <= high_rows.len();
    let smaller = if low_is_smaller {
        low_rows.clone()
    } else {
        high_rows.clone()
    };
    let smaller_sums = sums_of(rows, &pairs[smaller], inputs);
    let mut larger_sums = parent.sums;
    for (bins, smaller) in larger_sums.iter_mut().zip(&smaller_sums) {
        for (sum, part) in bins.iter_mut().zip(smaller) {
            *sum = sum.minus(*part);
        }
    }
    let low_total = pairs[low_rows.clone()]
        .iter()
        .fold(Sum::default(), |sum, pair| sum.plus(pair.1));
    let high_total = parent.total.minus(low_total);
    let (low_sums, high_sums) = if low_is_smaller {
        (smaller_sums, larger_sums)
    } else {
        (larger_sums, smaller_sums)
    };
    let (low_bounds, high_bounds) = if input < SIZED {
        let middle = f32::midpoint(split.low, split.high);
        ((middle, parent.bounds.1), (parent.bounds.0, middle))
    } else {
        (parent.bounds, parent.bounds)
    };
    let (low_node, high_node) = (nodes.len(), nodes.len() + 1);
    nodes.extend([leaf(0.0); 2]);
    nodes[parent.node] = Node {
        input: input as u16,
        low: low_node as u16,
        high: high_node as u16,
        number: split.bin as f32,
    };
    [
        open(
            low_node, low_rows, low_sums, low_total, low_bounds, inputs, settings,
        ),
        open(
            high_node,
            high_rows,
            high_sums,
            high_total,
            high_bounds,
            inputs,
            settings,
        ),
    ]
}

/// Puts the wanted before the others and says how many they are.
fn partition<T>(items: &mut [T], wanted: impl Fn(&T) -> bool) -> usize {
    let mut front = 0;
    for index in 0..items.len() {
        if wanted(&items[index]) {
            items.swap(front, index);
            front += 1;
        }
    }
    front
}

/// Splits name bins while a tree grows, and values from then on.
fn cuts_to_values(tree: &mut Tree, rows: &Rows) {
    for node in &mut tree.nodes {
        if node.low != 0 || node.high != 0 {
            let cuts = &rows.cuts[node.input as usize];
            let bin = node.number as usize;
            node.number = cuts.get(bin).copied().unwrap_or(f32::INFINITY);
        }
    }
}
