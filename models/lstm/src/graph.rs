//! The network as a burn graph: the reference for the hand-written kernel, and what a graphics card
//! runs, for training and for serving.

mod serving;

use burn::tensor::{Device, Tensor, TensorData, activation};

use crate::{
    chunk::{Chunk, ChunkGradient},
    features::{AHEAD, ANCHORS, INPUTS},
    network::{Layout, Matrix, NetworkSize},
    spread::{LOG_WIDTH, MOST, MOST_BY_SLOPE, REACH},
};
pub(crate) use serving::{HeadParts, ReadState};

#[derive(Debug)]
struct CellTensors {
    input: Tensor<2>,
    recurrent: Tensor<2>,
    bias: Tensor<2>,
}

/// The network's weights on a device.
#[derive(Debug)]
pub(crate) struct Graph {
    size: NetworkSize,
    layout: Layout,
    device: Device,
    cells: Vec<CellTensors>,
    head: [Tensor<2>; 7],
}

impl Graph {
    /// Uploads the weights. On a device with autodiff, [`Self::gradient`] can be called.
    pub(crate) fn new(size: &NetworkSize, weights: &[f32], device: &Device) -> Self {
        let layout = size.layout();
        let upload = |matrix: Matrix| {
            let tensor = tensor(
                weights[matrix.range()].to_vec(),
                matrix.rows,
                matrix.columns,
                device,
            );
            if device.is_autodiff() {
                tensor.require_grad()
            } else {
                tensor
            }
        };
        let cells = layout
            .cells
            .iter()
            .map(|cell| CellTensors {
                input: upload(cell.input),
                recurrent: upload(cell.recurrent),
                bias: upload(cell.bias),
            })
            .collect();
        let head = head_matrices(&layout).map(upload);
        Self {
            size: size.clone(),
            layout,
            device: device.clone(),
            cells,
            head,
        }
    }

    /// Loss, gradient and carried state of one chunk.
    pub(crate) fn gradient(&self, chunk: &Chunk) -> ChunkGradient {
        let (loss, state) = self.loss(chunk);
        let value = loss
            .clone()
            .into_data()
            .iter::<f32>()
            .next()
            .unwrap_or(f32::NAN);
        let mut gradients = loss.backward();
        let mut gradient = vec![0.0; self.layout.total];
        let mut collect = |matrix: Matrix, tensor: &Tensor<2>| {
            if let Some(found) = tensor.grad_remove(&mut gradients) {
                gradient[matrix.range()].copy_from_slice(&numbers(found));
            }
        };
        for (cell, tensors) in self.layout.cells.iter().zip(&self.cells) {
            collect(cell.input, &tensors.input);
            collect(cell.recurrent, &tensors.recurrent);
            collect(cell.bias, &tensors.bias);
        }
        for (matrix, tensor) in head_matrices(&self.layout).into_iter().zip(&self.head) {
            collect(matrix, tensor);
        }
        ChunkGradient {
            loss: f64::from(value),
            gradient,
            state,
        }
    }

    fn loss(&self, chunk: &Chunk) -> (Tensor<1>, Vec<f32>) {
        let (hidden, state) = self.recur(chunk);
        let forecasts = chunk.forecasts();
        let on_device =
            |values: &[f32], rows| tensor(values.to_vec(), rows, forecasts, &self.device);
        let [from_state, from_ahead, ..] = self.head.clone();
        let by_state = from_state.matmul(self.kept(hidden, chunk));
        let by_ahead = from_ahead.matmul(on_device(&chunk.ahead, AHEAD));
        let anchors = on_device(&chunk.anchors, ANCHORS);
        let quantiles = self.quantiles(by_state, by_ahead, &anchors);
        let levels = self.size.levels.iter().map(|&level| level as f32).collect();
        let levels = tensor(levels, self.size.levels.len(), 1, &self.device);
        let error = on_device(&chunk.targets, 1) - quantiles;
        let pinball = error.clone() * levels + activation::relu(-error);
        let weights = on_device(&chunk.weights, 1);
        let loss = (pinball * weights).sum() / self.size.levels.len() as f32;
        (loss, state)
    }

    /// What dropout leaves of the top layer's output.
    fn kept(&self, hidden: Tensor<2>, chunk: &Chunk) -> Tensor<2> {
        if chunk.keep.is_empty() {
            return hidden;
        }
        let [rows, columns] = hidden.dims();
        hidden * tensor(chunk.keep.clone(), rows, columns, &self.device)
    }

    /// The top layer's output at the origins, `[hidden, origins · rows]`, and the state at the end.
    fn recur(&self, chunk: &Chunk) -> (Tensor<2>, Vec<f32>) {
        let (rows, hidden) = (chunk.rows, self.size.hidden);
        let mut state: Vec<Tensor<2>> = chunk
            .state
            .chunks_exact(hidden * rows)
            .map(|part| tensor(part.to_vec(), hidden, rows, &self.device))
            .collect();
        let mut emitted = Vec::with_capacity(chunk.origins.len());
        for (step, inputs) in chunk.inputs.chunks_exact(INPUTS * rows).enumerate() {
            let input = tensor(inputs.to_vec(), INPUTS, rows, &self.device);
            let top = self.step(&mut state, input);
            if chunk.origins.contains(&step) {
                emitted.push(top);
            }
        }
        let carried = state.into_iter().flat_map(numbers).collect();
        (Tensor::cat(emitted, 1), carried)
    }

    /// Advances the state, for each layer h and c `[hidden, rows]`, by one step, and gives the top
    /// layer's output.
    fn step(&self, state: &mut [Tensor<2>], mut input: Tensor<2>) -> Tensor<2> {
        for (cell, pair) in self.cells.iter().zip(state.chunks_exact_mut(2)) {
            let [h, c] = [0, 1].map(|part: usize| pair[part].clone());
            let (h, c) = advance(cell, input, h, c, self.size.hidden);
            input = h.clone();
            pair[0] = h;
            pair[1] = c;
        }
        input
    }

    /// Quantiles in units of the scale, `[levels, forecasts]`, from what the state and the features
    /// ahead add to the head's first layer, `[head, columns]` and `[head, forecasts]`: a column has
    /// several forecasts next to each other.
    fn quantiles(
        &self,
        by_state: Tensor<2>,
        by_ahead: Tensor<2>,
        anchors: &Tensor<2>,
    ) -> Tensor<2> {
        let [_, _, bias, inner, inner_bias, out, out_bias] = self.head.clone();
        let by_state = repeated(by_state + bias, by_ahead.dims()[1]);
        let first = activation::relu(by_state + by_ahead);
        let second = activation::relu(inner.matmul(first) + inner_bias);
        let raw = out.matmul(second) + out_bias;
        let width = raw
            .clone()
            .narrow(0, 0, 1)
            .clamp(LOG_WIDTH.0, LOG_WIDTH.1)
            .exp();
        let logits = raw.clone().narrow(0, 1, ANCHORS).clamp(-MOST, MOST);
        let slopes = raw.clone().narrow(0, 1 + ANCHORS, ANCHORS);
        let blend = |&score: &f32| {
            let by_slope = (slopes.clone() * score).clamp(-MOST_BY_SLOPE, MOST_BY_SLOPE);
            let shares = activation::softmax(logits.clone() + by_slope, 0);
            (shares * anchors.clone()).sum_dim(0)
        };
        let blends = Tensor::cat(self.layout.levels.scores.iter().map(blend).collect(), 0);
        let spread = raw.narrow(0, 1 + 2 * ANCHORS, self.size.levels.len()) * width;
        let bounded = activation::tanh(spread / REACH) * REACH;
        let distance = (bounded.clone().exp() - (-bounded).exp()) * 0.5;
        blends + distance
    }
}

/// Each column of `[rows, columns]` as many times next to each other as `[rows, all]` has room for.
fn repeated(tensor: Tensor<2>, all: usize) -> Tensor<2> {
    let [rows, columns] = tensor.dims();
    tensor
        .reshape([rows, columns, 1])
        .expand([rows, columns, all / columns.max(1)])
        .reshape([rows, all])
}

fn head_matrices(layout: &Layout) -> [Matrix; 7] {
    [
        layout.head_state,
        layout.head_ahead,
        layout.head_bias,
        layout.inner,
        layout.inner_bias,
        layout.out,
        layout.out_bias,
    ]
}

/// One step of a layer with the gates computed together.
fn advance(
    cell: &CellTensors,
    input: Tensor<2>,
    h: Tensor<2>,
    c: Tensor<2>,
    hidden: usize,
) -> (Tensor<2>, Tensor<2>) {
    let gates =
        cell.input.clone().matmul(input) + cell.recurrent.clone().matmul(h) + cell.bias.clone();
    let open = activation::sigmoid(gates.clone().narrow(0, 0, 3 * hidden));
    let candidate = tanh(gates.narrow(0, 3 * hidden, hidden));
    let gate = |index| open.clone().narrow(0, index * hidden, hidden);
    let c = gate(1) * c + gate(0) * candidate;
    let h = gate(2) * tanh(c.clone());
    (h, c)
}

/// Through the sigmoid, whose derivative is cheaper on the CPU backend.
fn tanh(tensor: Tensor<2>) -> Tensor<2> {
    activation::sigmoid(tensor * 2.0) * 2.0 - 1.0
}

fn tensor(values: Vec<f32>, rows: usize, columns: usize, device: &Device) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values, [rows, columns]), device)
}

fn numbers(tensor: Tensor<2>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}
