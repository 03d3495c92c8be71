//! The network as it serves: weights laid out once, and the head one series at a time, so that all
//! of its intermediate results stay in the nearest cache.

use crate::{
    cell::activate,
    features::{AHEAD, FIXED, MOVING},
    network::{Cell, Layout, Matrix, NetworkSize},
    packed::{Layer, Packed},
    spread::{Levels, Spread},
};

/// All weights of a network, laid out.
#[derive(Debug)]
pub(crate) struct Served {
    cells: Vec<ServedCell>,
    by_state: Packed,
    /// From the features of a series that are the same for all steps ahead.
    by_fixed: Packed,
    by_state_bias: Vec<f32>,
    /// From those that differ.
    by_moving: Packed,
    /// From both, for those who do not tell them apart.
    by_ahead: Packed,
    inner: Packed,
    inner_bias: Vec<f32>,
    out: Packed,
    out_bias: Vec<f32>,
    levels: Levels,
}

#[derive(Debug)]
struct ServedCell {
    input: Packed,
    recurrent: Packed,
    bias: Vec<f32>,
}

/// Room for one batch's intermediate results.
#[derive(Debug, Clone, Default)]
pub(crate) struct HeadRoom {
    /// What the state adds to the head's first layer, `[head, columns]`.
    by_state: Vec<f32>,
    bias: Vec<f32>,
    first: Vec<f32>,
    inner: Vec<f32>,
    raw: Vec<f32>,
    spread: Spread,
}

/// Features of the steps ahead of one series, `[depth, steps]`.
#[derive(Debug, Clone, Copy)]
pub(crate) enum StepFeatures<'a> {
    /// Only [`MOVING`]; [`FIXED`] were given with the state.
    Moving(&'a [f32]),
    /// All.
    All(&'a [f32]),
}

impl Served {
    pub(crate) fn new(size: &NetworkSize, layout: &Layout, weights: &[f32]) -> Self {
        let vector = |matrix: Matrix| weights[matrix.range()].to_vec();
        let columns = |matrix: Matrix, columns: &[usize]| {
            Packed::new(&weights[matrix.range()], matrix.rows, columns)
        };
        let whole = |matrix: Matrix| {
            let all: Vec<usize> = (0..matrix.columns).collect();
            columns(matrix, &all)
        };
        let cell = |cell: &Cell| ServedCell {
            input: whole(cell.input),
            recurrent: whole(cell.recurrent),
            bias: vector(cell.bias),
        };
        Self {
            cells: layout.cells.iter().map(cell).collect(),
            by_state: whole(layout.head_state),
            by_fixed: columns(layout.head_ahead, &FIXED),
            by_state_bias: vector(layout.head_bias),
            by_moving: columns(layout.head_ahead, &MOVING),
            by_ahead: whole(layout.head_ahead),
            inner: whole(layout.inner),
            inner_bias: vector(layout.inner_bias),
            out: whole(layout.out),
            out_bias: vector(layout.out_bias),
            levels: Levels::new(size.scores()),
        }
    }

    /// Advances `state`, for each layer `h [hidden, rows]` and `c [hidden, rows]`, by one step.
    pub(crate) fn step(
        &self,
        state: &mut [f32],
        inputs: &[f32],
        rows: usize,
        gates: &mut Vec<f32>,
    ) {
        let unit = state.len() / (2 * self.cells.len());
        for (layer, cell) in self.cells.iter().enumerate() {
            let (below, here) = state.split_at_mut(2 * layer * unit);
            let (h, c) = here[..2 * unit].split_at_mut(unit);
            let input = match layer.checked_sub(1) {
                Some(under) => &below[2 * under * unit..][..unit],
                None => inputs,
            };
            let layer = Layer {
                parts: &[(&cell.input, input), (&cell.recurrent, h)],
                bias: &cell.bias,
                rectified: false,
                columns: rows,
            };
            layer.run(gates);
            activate(gates, h, c);
        }
    }

    /// Prepares forecasts of some series from their `hidden [hidden, columns]`, and from their
    /// `fixed [FIXED, columns]` where those features are told apart.
    pub(crate) fn read_state(
        &self,
        hidden: &[f32],
        fixed: Option<&[f32]>,
        columns: usize,
        room: &mut HeadRoom,
    ) {
        let state = (&self.by_state, hidden);
        let both;
        let alone = [state];
        let parts: &[(&Packed, &[f32])] = match fixed {
            Some(fixed) => {
                both = [state, (&self.by_fixed, fixed)];
                &both
            }
            None => &alone,
        };
        let layer = Layer {
            parts,
            bias: &self.by_state_bias,
            rectified: false,
            columns,
        };
        layer.run(&mut room.by_state);
    }

    /// Quantiles `[levels, steps]` of the series whose state was read as `column`, in units of its
    /// scale, from its `anchors [ANCHORS, steps]`.
    pub(crate) fn quantiles<'a>(
        &self,
        column: usize,
        features: StepFeatures<'_>,
        anchors: &[f32],
        steps: usize,
        room: &'a mut HeadRoom,
    ) -> &'a mut [f32] {
        let columns = room.by_state.len() / self.by_state_bias.len();
        let of_series = room.by_state.chunks_exact(columns).map(|row| row[column]);
        room.bias.clear();
        room.bias.extend(of_series);
        let first = match features {
            StepFeatures::Moving(features) => (&self.by_moving, features),
            StepFeatures::All(features) => (&self.by_ahead, features),
        };
        let run = |part, bias: &[f32], rectified, out: &mut Vec<f32>| {
            let layer = Layer {
                parts: &[part],
                bias,
                rectified,
                columns: steps,
            };
            layer.run(out);
        };
        run(first, &room.bias, true, &mut room.first);
        run(
            (&self.inner, &room.first),
            &self.inner_bias,
            true,
            &mut room.inner,
        );
        run(
            (&self.out, &room.inner),
            &self.out_bias,
            false,
            &mut room.raw,
        );
        room.spread.forward(&room.raw, anchors, &self.levels, steps);
        &mut room.spread.quantiles
    }
}

const _: () = assert!(
    FIXED.len() + MOVING.len() == AHEAD,
    "each feature is in one of the two"
);
