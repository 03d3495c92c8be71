//! The network as a burn graph: the reference for the hand-written kernel, and what a GPU runs.

use burn::tensor::{Device, Tensor, TensorData, activation};

use crate::{
    chunk::{Chunk, ChunkGradient},
    features::{AHEAD, ANCHORS, INPUTS},
    network::{Layout, Matrix, NetworkSize},
    spread::{LOG_WIDTH, REACH},
};

struct CellTensors {
    input: Tensor<2>,
    recurrent: Tensor<2>,
    bias: Tensor<2>,
}

/// The network's weights on a device.
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
        let ahead = on_device(&chunk.ahead, AHEAD);
        let anchors = on_device(&chunk.anchors, ANCHORS);
        let quantiles = self.quantiles(self.kept(hidden, chunk), chunk.draws, ahead, &anchors);
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
            let mut input = tensor(inputs.to_vec(), INPUTS, rows, &self.device);
            for (cell, pair) in self.cells.iter().zip(state.chunks_exact_mut(2)) {
                let (h, c) = advance(cell, input, pair[0].clone(), pair[1].clone(), hidden);
                input = h.clone();
                pair[0] = h;
                pair[1] = c;
            }
            if chunk.origins.contains(&step) {
                emitted.push(input);
            }
        }
        let carried = state.into_iter().flat_map(numbers).collect();
        (Tensor::cat(emitted, 1), carried)
    }

    /// Quantiles in units of the scale, `[levels, forecasts]`.
    fn quantiles(
        &self,
        hidden: Tensor<2>,
        draws: usize,
        ahead: Tensor<2>,
        anchors: &Tensor<2>,
    ) -> Tensor<2> {
        let [
            from_state,
            from_ahead,
            bias,
            inner,
            inner_bias,
            out,
            out_bias,
        ] = self.head.clone();
        let columns = hidden.dims()[1];
        let by_state = from_state
            .matmul(hidden)
            .reshape([self.size.head, columns, 1])
            .expand([self.size.head, columns, draws])
            .reshape([self.size.head, columns * draws]);
        let first = activation::relu(by_state + from_ahead.matmul(ahead) + bias);
        let second = activation::relu(inner.matmul(first) + inner_bias);
        let raw = out.matmul(second) + out_bias;
        let width = raw
            .clone()
            .narrow(0, 0, 1)
            .clamp(LOG_WIDTH.0, LOG_WIDTH.1)
            .exp();
        let logits = raw.clone().narrow(0, 1, ANCHORS);
        let slopes = raw.clone().narrow(0, 1 + ANCHORS, ANCHORS);
        let blend = |&score: &f32| {
            let shares = activation::softmax(logits.clone() + slopes.clone() * score, 0);
            (shares * anchors.clone()).sum_dim(0)
        };
        let blends = Tensor::cat(self.layout.levels.scores.iter().map(blend).collect(), 0);
        let spread = raw.narrow(0, 1 + 2 * ANCHORS, self.size.levels.len()) * width;
        let bounded = activation::tanh(spread / REACH) * REACH;
        let distance = (bounded.clone().exp() - (-bounded).exp()) * 0.5;
        blends + distance
    }
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
