"""Bias correction: with rounded weights, a layer's mean result is that of the float layer."""

from typing import Any

import numpy as np
import pytest

from rushlight.quant import quantize
from rushlight.quant.correction import corrected_biases, input_axes
from rushlight.quant.insert import quantize_weight
from rushlight.quant.observers import Channels
from rushlight.runtime.ir import Graph, GraphBuilder, Node
from rushlight.runtime.model import load

RNG = np.random.default_rng(8)


def layer(shape: tuple[Any, ...], weight: Any, bias: Any, op: str, **attrs: Any) -> tuple[Graph, Node]:
    b = GraphBuilder()
    b.output("y", getattr(b, op)(b.input("x", np.float32, shape), weight, bias, **attrs))
    graph: Graph = b.build().graph
    return graph, graph.nodes[-1]


@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize(
    ("op", "shape", "weight", "attrs", "axis"),
    [
        ("linear", (50, 3, 7), (5, 7), {}, 2),
        ("conv2d", (9, 6, 8, 8), (4, 3, 3, 2), {"groups": 2}, 1),
        ("conv2d", (9, 8, 8, 6), (6, 1, 2, 2), {"groups": 6, "layout": "NHWC"}, 3),
    ],
)
def test_mean_results_are_those_of_the_float_layer(
    op: str, shape: tuple[int, ...], weight: tuple[int, ...], attrs: dict[str, Any], axis: int, biased: bool
) -> None:
    w = RNG.standard_normal(weight).astype(np.float32)
    bias = RNG.standard_normal(weight[0]).astype(np.float32) if biased else None
    # Constant over the image, so that its borders hold the mean too.
    values = RNG.uniform(0, 4, [n if i in (0, axis) else 1 for i, n in enumerate(shape)])
    x = np.broadcast_to(values, shape).astype(np.float32)
    graph, node = layer(shape, w, bias, op, **attrs)
    assert input_axes([node]) == {graph.inputs[0]: axis}
    total = Channels(axis, shape[axis])
    total.see(x[:4])
    total.see(x[4:])
    expected = node.op.run_reference([x, w, bias], node.attrs)[0]
    q, scale = quantize_weight(w)
    rounded = (q * scale.reshape(-1, *[1] * (w.ndim - 1))).astype(np.float32)
    (corrected,) = corrected_biases([node], {graph.inputs[0]: total.mean()}).values()
    got = node.op.run_reference([x, rounded, corrected.data], node.attrs)[0]
    before = node.op.run_reference([x, rounded, bias], node.attrs)[0]
    out_axis = axis if op == "linear" else (3 if attrs.get("layout") == "NHWC" else 1)
    others = tuple(i for i in range(got.ndim) if i != out_axis)
    assert np.abs((got - expected).mean(others)).max() < 1e-5 < np.abs((before - expected).mean(others)).max()


def test_quantized_programs_have_no_mean_error() -> None:
    b = GraphBuilder()
    weight = (RNG.standard_normal((16, 64)) / 8).astype(np.float32)
    b.output("y", b.linear(b.input("x", np.float32, ("N", 64)), weight))
    program = b.build()
    x = (RNG.standard_normal((512, 64)) * 0.1 + RNG.uniform(2, 6, 64)).astype(np.float32)
    error = load(quantize(program, {"x": x}))(x) - load(program)(x)
    assert np.abs(error.mean(0)).max() < 3e-3
