"""Which quantized layers become integer ones where their results are quantized by column or moved first."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from rushlight.runtime.ir import Graph, GraphBuilder, Value
from rushlight.runtime.ops import Array
from rushlight.runtime.passes import canonicalize
from rushlight.runtime.passes.lower_quant import lower_quant
from rushlight.runtime.reference import run_reference
from tests.passes.harness import ops, weights


def through_bytes(b: GraphBuilder, x: Value, scale: float, zero_point: int = 128) -> Value:
    return b.dequantize(*quantized(b, x, scale, zero_point))  # type: ignore[no-any-return]


def quantized(b: GraphBuilder, x: Value, scale: float, zero_point: int = 128) -> tuple[Value, Value, Value]:
    parameters = b.constant(np.float32(scale)), b.constant(np.uint8(zero_point))
    return b.quantize(x, *parameters), *parameters


def int8_weight(b: GraphBuilder, *shape: int) -> Value:
    whole = np.round(weights(*shape, scale=40)).clip(-127, 127).astype(np.int8)
    parameters = b.constant(np.full(shape[0], 0.01, np.float32)), b.constant(np.zeros(shape[0], np.int8))
    return b.dequantize(b.constant(whole), *parameters, axis=0)  # type: ignore[no-any-return]


def int8_linear(b: GraphBuilder, x: Value, columns: int) -> Value:
    depth = x.shape[-1]
    assert isinstance(depth, int)
    return b.linear(through_bytes(b, x, 0.02), int8_weight(b, columns, depth))  # type: ignore[no-any-return]


def by_column(b: GraphBuilder, x: Value, columns: int) -> Value:
    scales = b.constant(np.linspace(0.01, 0.1, columns, dtype=np.float32))
    return b.quantize(x, scales, b.constant(np.full(columns, 128, np.uint8)), axis=-1)  # type: ignore[no-any-return]


def lowered(b: GraphBuilder, inputs: dict[str, Array]) -> dict[str, int]:
    """Operators of the lowered graph, whose bytes are those of the graph but for one unit of rounding."""
    expected = run_reference(b.graph, inputs)
    graph: Graph = b.graph.clone()
    canonicalize(graph)
    lower_quant(graph)
    got = run_reference(graph, inputs)
    for name, array in expected.items():
        assert array.dtype == np.uint8
        assert np.abs(array.astype(int) - got[name].astype(int)).max() <= 1
    return ops(graph)


@pytest.mark.parametrize("width", [5, 6])
def test_rows_of_an_image_are_not_columns_of_its_convolution(width: int) -> None:
    b = GraphBuilder()
    x = b.input("x", np.float32, (2, 3, 4, width))
    b.output("y", by_column(b, b.conv2d(through_bytes(b, x, 0.02), int8_weight(b, 6, 3, 1, 1)), width))
    found = lowered(b, {"x": weights(2, 3, 4, width)})
    assert found["quantize"] == 2


def test_a_linear_layer_quantizes_by_column() -> None:
    b = GraphBuilder()
    x = b.input("x", np.float32, (4, 8))
    b.output("y", by_column(b, int8_linear(b, x, 6), 6))
    assert lowered(b, {"x": weights(4, 8)}) == {"quantize": 1, "qlinear": 1}


def test_what_stands_between_a_layer_and_its_columns_keeps_the_layer_integer() -> None:
    b = GraphBuilder()
    x = b.input("x", np.float32, (4, 8))
    b.output("y", by_column(b, b.relu(int8_linear(b, x, 6)), 6))
    assert lowered(b, {"x": weights(4, 8)})["qlinear"] == 1


def backwards(b: GraphBuilder, x: Value) -> Value:
    """Columns 11 to 4 of rows that were joined: 3 to 0 of the second, 7 to 4 of the first."""
    return b.slice(b.reshape(x, shape=(16,)), axes=(0,), starts=(11,), ends=(3,), steps=(-1,))  # type: ignore[no-any-return]


def forwards(b: GraphBuilder, x: Value) -> Value:
    return b.slice(x, axes=(1,), starts=(0,), ends=(4,), steps=(1,))  # type: ignore[no-any-return]


@pytest.mark.parametrize("move", [backwards, forwards])
def test_columns_of_two_scales(move: Callable[[GraphBuilder, Value], Value]) -> None:
    b = GraphBuilder()
    x = b.input("x", np.float32, (2, 8))
    product = int8_linear(b, x, 8)
    b.output("y", quantized(b, move(b, product), 0.05)[0])
    b.output("z", quantized(b, b.slice(product, axes=(1,), starts=(4,), ends=(8,), steps=(1,)), 0.002)[0])
    assert lowered(b, {"x": weights(2, 8)})["qlinear"] == 1


@pytest.mark.parametrize("activation", ["none", "relu"])
def test_moved_results_of_an_activation(activation: str) -> None:
    b = GraphBuilder()
    x = b.input("x", np.float32, (4, 8))
    product = b.linear(through_bytes(b, x, 0.02), int8_weight(b, 6, 8), activation=activation)
    b.output("y", quantized(b, b.reshape(product, shape=(6, 4)), 0.05)[0])
    assert lowered(b, {"x": weights(4, 8)})["qlinear"] == 1
