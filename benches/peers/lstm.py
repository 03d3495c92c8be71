"""The same network in PyTorch and ONNX Runtime: one tick, a window re-encoded, a training step.

    lstm.py FOLDER forecast|train

FOLDER holds `sizes.json`, the weights and a tick with its answers as flat little-endian floats, all
written by the harness. Prints one JSON object; rates are series (or series-steps) a second, the best
over chunk sizes and numbers of threads, each a median.
"""

import json
import statistics
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

WINDOW = 96
RUNS = 5
SECONDS = 0.4
CHUNKS = (64, 128, 256, 512, 1024)
THREADS = (1, 2)


class Weights:
    """The flat vector cut into matrices, in the order in which the harness lays them out."""

    def __init__(self, folder, sizes):
        self.flat = np.fromfile(folder / "weights.f32", "<f4")
        self.at = 0
        hidden, head, inner = sizes["hidden"], sizes["head"], sizes["head_inner"]
        outputs = 1 + 2 * sizes["anchors"] + len(sizes["levels"])
        self.cells = []
        for layer in range(sizes["layers"]):
            width = sizes["inputs"] if layer == 0 else hidden
            self.cells.append((self.cut(4 * hidden, width), self.cut(4 * hidden, hidden), self.cut(4 * hidden)))
        self.head_state, self.head_ahead, self.head_bias = self.cut(head, hidden), self.cut(head, sizes["ahead"]), self.cut(head)
        self.inner, self.inner_bias = self.cut(inner, head), self.cut(inner)
        self.out, self.out_bias = self.cut(outputs, inner), self.cut(outputs)
        assert self.at == len(self.flat), "the layout of the weights has changed"

    def cut(self, *shape):
        count = int(np.prod(shape))
        part = self.flat[self.at : self.at + count].reshape(shape).copy()
        self.at += count
        return part


def scores(sizes):
    """Where the levels lie on a line."""
    levels = np.array(sizes["levels"])
    return (np.log(levels / (1 - levels)) / 1.7).astype("<f4")


def reorder(matrix, order):
    """Gates lie as input, forget, output, candidate; other runtimes have orders of their own."""
    gates = np.split(matrix, 4, axis=0)
    return np.concatenate([gates["ifoc".index(gate)] for gate in order], axis=0)


class Head(nn.Module):
    def __init__(self, weights, sizes):
        super().__init__()
        self.split = [1, sizes["anchors"], sizes["anchors"], len(sizes["levels"])]
        self.scores = torch.from_numpy(scores(sizes))[:, None]
        for name in ("head_state", "head_ahead", "head_bias", "inner", "inner_bias", "out", "out_bias"):
            setattr(self, name, nn.Parameter(torch.from_numpy(getattr(weights, name))))

    def forward(self, hidden, ahead, anchors):
        by_state = torch.nn.functional.linear(hidden, self.head_state, self.head_bias)
        first = torch.relu(torch.nn.functional.linear(ahead, self.head_ahead) + by_state.unsqueeze(-2))
        second = torch.relu(torch.nn.functional.linear(first, self.inner, self.inner_bias))
        raw = torch.nn.functional.linear(second, self.out, self.out_bias)
        width, logits, slopes, distances = raw.split(self.split, -1)
        leaning = (logits.unsqueeze(-2) + self.scores * slopes.unsqueeze(-2)).clamp(-40.0, 40.0)
        blends = (leaning.softmax(-1) * anchors.unsqueeze(-2)).sum(-1)
        return blends + torch.sinh(8.0 * torch.tanh(distances * width.clamp(-9.0, 3.0).exp() / 8.0))


class Model(nn.Module):
    def __init__(self, weights, sizes):
        super().__init__()
        self.lstm = nn.LSTM(sizes["inputs"], sizes["hidden"], sizes["layers"], batch_first=True)
        self.cells = nn.ModuleList()
        for layer, (into, recurrent, bias) in enumerate(weights.cells):
            cell = nn.LSTMCell(into.shape[1], sizes["hidden"])
            parts = [reorder(part, "ifco") for part in (into, recurrent, bias)] + [np.zeros_like(bias)]
            with torch.no_grad():
                for name, part in zip(("weight_ih", "weight_hh", "bias_ih", "bias_hh"), parts):
                    getattr(cell, name).copy_(torch.from_numpy(part))
                    getattr(self.lstm, f"{name}_l{layer}").copy_(torch.from_numpy(part))
            self.cells.append(cell)
        self.head = Head(weights, sizes)

    def tick(self, inputs, state, ahead, anchors):
        carried = []
        for cell, (h, c) in zip(self.cells, state):
            h, c = cell(inputs, (h, c))
            carried.append((h, c))
            inputs = h
        return self.head(inputs, ahead, anchors), carried

    def window(self, inputs, ahead, anchors):
        return self.head(self.lstm(inputs)[0][:, -1], ahead, anchors)


def random_tick(sizes, rows):
    draw = lambda *shape: torch.rand(*shape) * 2 - 1
    steps, hidden = sizes["steps"], sizes["hidden"]
    state = [(draw(rows, hidden), draw(rows, hidden)) for _ in range(sizes["layers"])]
    return draw(rows, sizes["inputs"]), state, draw(rows, steps, sizes["ahead"]), draw(rows, steps, sizes["anchors"])


def reference(folder, sizes):
    """The harness's tick and answers, series-major."""
    load = lambda name, width: np.fromfile(folder / f"{name}.f32", "<f4").reshape(width, -1)
    series, steps, hidden = sizes["series"], sizes["steps"], sizes["hidden"]
    spread = lambda name, width: torch.from_numpy(load(name, width).T.reshape(series, steps, width).copy())
    state = load("state", 2 * sizes["layers"] * hidden).reshape(sizes["layers"], 2, hidden, series)
    pairs = [tuple(torch.from_numpy(part.T.copy()) for part in layer) for layer in state]
    inputs = torch.from_numpy(load("inputs", sizes["inputs"]).T.copy())
    answers = spread("quantiles", len(sizes["levels"]))
    return (inputs, pairs, spread("ahead", sizes["ahead"]), spread("anchors", sizes["anchors"])), answers


def rate(work, count):
    """Calls a second times what each does: the median of a few runs."""
    work()
    runs = []
    for _ in range(RUNS):
        calls, start = 0, time.perf_counter()
        while (spent := time.perf_counter() - start) < SECONDS / RUNS or calls == 0:
            work()
            calls += 1
        runs.append(calls * count / spent)
    return statistics.median(runs)


def best(measure, chunks=CHUNKS):
    return max(measure(threads, rows) for threads in THREADS for rows in chunks)


def torch_step(model, sizes):
    def measure(threads, rows):
        torch.set_num_threads(threads)
        tick = random_tick(sizes, rows)
        with torch.inference_mode():
            return rate(lambda: model.tick(*tick), rows)

    return best(measure)


def torch_window(model, sizes):
    def measure(threads, rows):
        torch.set_num_threads(threads)
        _, _, ahead, anchors = random_tick(sizes, rows)
        inputs = torch.rand(rows, WINDOW, sizes["inputs"])
        with torch.inference_mode():
            return rate(lambda: model.window(inputs, ahead, anchors), rows)

    return best(measure, (64, 256))


def sgemm():
    """Multiplications a second of 2048 x 2048 matrices on two threads."""
    torch.set_num_threads(2)
    left, right = torch.rand(2048, 2048), torch.rand(2048, 2048)
    return rate(lambda: left @ right, 2048**3)


def onnx_model(weights, sizes):
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes, constants, feeds, results = [], [], [], []

    def constant(name, value):
        constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def node(kind, inputs, output, **attributes):
        nodes.append(helper.make_node(kind, inputs, [output] if isinstance(output, str) else output, **attributes))
        return output

    def result(name, *shape):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    def feed(name, *shape):
        feeds.append(result(name, *shape))
        return name

    hidden, steps = sizes["hidden"], sizes["steps"]
    below = feed("inputs", 1, "rows", sizes["inputs"])
    for layer, (into, recurrent, bias) in enumerate(weights.cells):
        w, r, b = (reorder(part, "iofc")[None] for part in (into, recurrent, bias))
        b = np.concatenate([b, np.zeros_like(b)], axis=1)
        names = [constant(f"{kind}{layer}", part) for kind, part in (("w", w), ("r", r), ("b", b))]
        h, c = feed(f"h{layer}", 1, "rows", hidden), feed(f"c{layer}", 1, "rows", hidden)
        outputs = ["", f"h{layer}_next", f"c{layer}_next"]
        node("LSTM", [below, *names, "", h, c], outputs, hidden_size=hidden)
        below = outputs[1]
        results += [result(name, 1, "rows", hidden) for name in outputs[1:]]
    rows = node("Squeeze", [below, constant("axis0", np.array([0]))], "top")
    ahead, anchors = feed("ahead", "rows", steps, sizes["ahead"]), feed("anchors", "rows", steps, sizes["anchors"])
    dense = lambda x, w, name: node("MatMul", [x, constant(f"{name}_w", w.T)], name)
    state = node("Add", [dense(rows, weights.head_state, "by_state"), constant("head_bias", weights.head_bias)], "biased")
    state = node("Unsqueeze", [state, constant("axis1", np.array([1]))], "spread")
    first = node("Relu", [node("Add", [dense(ahead, weights.head_ahead, "by_ahead"), state], "first_sum")], "first")
    second = node("Add", [dense(first, weights.inner, "by_first"), constant("inner_bias", weights.inner_bias)], "second_sum")
    raw = node("Add", [dense(node("Relu", [second], "second"), weights.out, "by_second"), constant("out_bias", weights.out_bias)], "raw")
    split = constant("split", np.array([1, sizes["anchors"], sizes["anchors"], len(sizes["levels"])]))
    node("Split", [raw, split], ["log_width", "logits", "slopes", "spreads"], axis=2)
    clip = lambda x, name, low, high: node("Clip", [x, constant(name + "_low", np.float32(low)), constant(name + "_high", np.float32(high))], name)
    width = node("Exp", [clip("log_width", "clipped", -9.0, 3.0)], "width")
    by_level = constant("by_level", np.array([2]))
    level = lambda x: node("Unsqueeze", [x, by_level], x + "_by_level")
    slopes = node("Mul", [level("slopes"), constant("scores", scores(sizes)[:, None])], "leaned")
    leaning = clip(node("Add", [level("logits"), slopes], "leaning"), "leaning_clipped", -40.0, 40.0)
    shared = node("Mul", [node("Softmax", [leaning], "shares", axis=3), level(anchors)], "shared")
    blend = node("ReduceSum", [shared, constant("over_anchors", np.array([3]))], "blend", keepdims=0)
    eight = constant("eight", np.float32(8.0))
    bounded = node("Tanh", [node("Div", [node("Mul", ["spreads", width], "wide"), eight], "small")], "bounded")
    far = node("Exp", [node("Mul", [bounded, eight], "back")], "far")
    near = node("Div", [constant("one", np.float32(1.0)), far], "near")
    distance = node("Mul", [node("Sub", [far, near], "difference"), constant("half", np.float32(0.5))], "distance")
    quantiles = result(node("Add", [blend, distance], "quantiles"), "rows", steps, len(sizes["levels"]))
    graph = helper.make_graph(nodes, "tick", feeds, [quantiles, *results], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def onnx_session(model, threads):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def onnx_feed(tick):
    inputs, state, ahead, anchors = tick
    feed = {"inputs": inputs[None].numpy(), "ahead": ahead.numpy(), "anchors": anchors.numpy()}
    for layer, (h, c) in enumerate(state):
        feed[f"h{layer}"], feed[f"c{layer}"] = h[None].numpy(), c[None].numpy()
    return feed


def onnx_step(model, sizes):
    def measure(threads, rows):
        session, feed = onnx_session(model, threads), onnx_feed(random_tick(sizes, rows))
        return rate(lambda: session.run(None, feed), rows)

    return best(measure)


def forecast(folder, sizes, weights):
    model = Model(weights, sizes)
    tick, answers = reference(folder, sizes)
    with torch.inference_mode():
        by_torch = model.tick(*tick)[0]
    serialized = onnx_model(weights, sizes)
    by_onnx = torch.from_numpy(onnx_session(serialized, 1).run(["quantiles"], onnx_feed(tick))[0])
    worst = lambda found: ((found - answers).abs() / answers.abs().clamp(min=1.0)).max().item()
    return {
        "pytorch_difference": worst(by_torch),
        "onnxruntime_difference": worst(by_onnx),
        "pytorch_step": torch_step(model, sizes),
        "onnxruntime_step": onnx_step(serialized, sizes),
        "pytorch_window": torch_window(model, sizes),
        "sgemm": sgemm(),
    }


def train(folder, sizes, weights):
    """A training step over a chunk of the harness's size, Adam included."""
    rows, steps, origins, draws = (sizes[key] for key in ("rows", "chunk_steps", "origins", "draws"))
    levels = torch.tensor(sizes["levels"])

    def measure(threads):
        torch.set_num_threads(threads)
        model = Model(weights, sizes)
        parameters = [*model.lstm.parameters(), *model.head.parameters()]
        optimiser = torch.optim.Adam(parameters, lr=1e-3)
        draw = lambda *shape: torch.rand(*shape) * 2 - 1
        inputs = draw(rows, steps, sizes["inputs"])
        ahead, anchors = draw(rows, origins, draws, sizes["ahead"]), draw(rows, origins, draws, sizes["anchors"])
        targets, at = draw(rows, origins, draws, 1), torch.linspace(0, steps - 1, origins).long()
        state = tuple(draw(sizes["layers"], rows, sizes["hidden"]) for _ in range(2))

        def step():
            optimiser.zero_grad()
            hidden = model.lstm(inputs, state)[0][:, at]
            error = targets - model.head(hidden, ahead, anchors)
            (torch.maximum(levels * error, (levels - 1) * error)).mean().backward()
            nn.utils.clip_grad_norm_(parameters, 1.0)
            optimiser.step()

        return rate(step, rows * steps)

    return {"pytorch_train": max(measure(threads) for threads in THREADS)}


def main():
    folder, part = Path(sys.argv[1]), sys.argv[2]
    sizes = json.loads((folder / "sizes.json").read_text())
    weights = Weights(folder, sizes)
    print(json.dumps({"forecast": forecast, "train": train}[part](folder, sizes, weights)))


main()
