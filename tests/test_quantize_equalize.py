"""Equalized channels: the float function is the same, the integer one closer to it, at no extra step."""

from collections import Counter
from typing import Any

import numpy as np

from rushlight.quant import quantize
from rushlight.quant.equalize import equalize
from rushlight.runtime.ir import GraphBuilder
from rushlight.runtime.model import load
from rushlight.runtime.passes import canonicalize
from rushlight.runtime.passes.lower_quant import lower_quant
from rushlight.runtime.program import Program
from rushlight.runtime.reference import run_reference

RNG = np.random.default_rng(6)
WIDTH = 32


def weights(*shape: int) -> Any:
    return (RNG.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)


def block() -> Program:
    """A layer norm with outlier channels that two linear layers and a sum read; one column of weights is zero."""
    gain = np.ones(WIDTH, np.float32)
    gain[[3, 17]] = 40, 25
    b = GraphBuilder()
    y = b.layer_norm(b.input("x", np.float32, ("N", 5, WIDTH)), gain, weights(WIDTH), eps=1e-5)
    left, right = weights(WIDTH, WIDTH), weights(WIDTH, WIDTH)
    left[:, 3], right[:, 3], left[:, 17], right[:, 17] = 0.01, -0.01, 0, 0
    z = b.add(b.mul(b.linear(y, left, weights(WIDTH)), b.linear(y, right)), b.mul(y, 0.01))
    b.output("y", b.softmax(z, dim=-1))
    b.output("z", z)
    program: Program = b.build()
    return program


def inputs(rows: int) -> Any:
    return RNG.standard_normal((rows, 5, WIDTH)).astype(np.float32)


def test_the_float_function_does_not_change() -> None:
    program, x = block(), inputs(4)
    graph = program.graph.clone()
    canonicalize(graph)
    (norm,) = (node for node in graph.nodes if node.op.name == "layer_norm")
    peak = np.abs(run_reference(program.graph, {"x": x})["z"]).max() * RNG.uniform(0, 1, WIDTH)
    peak[5] = 0
    assert equalize(graph, {norm.output: peak})
    for name, expected in run_reference(program.graph, {"x": x}).items():
        np.testing.assert_allclose(run_reference(graph, {"x": x})[name], expected, rtol=2e-4, atol=2e-5)


def test_outlier_channels_cost_less_and_nothing_is_added_to_the_plan() -> None:
    program, x = block(), inputs(64)
    plain, equal = quantize(program, {"x": x}, observer="minmax"), quantize(program, {"x": x})
    recipes = [each.provenance["quantization"] for each in (plain, equal)]
    assert [recipe["equalized"] for recipe in recipes] == [False, True]
    assert recipes[1]["sqnr_db"] > recipes[0]["sqnr_db"] + 6
    steps = [Counter(step.node.op.name for step in load(each).main.plan.steps) for each in (plain, equal)]
    assert steps[0] == steps[1]
    fresh = inputs(16)
    expected = run_reference(program.graph, {"x": fresh})["z"]
    noise = [float(((load(each).run({"x": fresh})["z"] - expected) ** 2).sum()) for each in (plain, equal)]
    assert noise[1] < noise[0] / 4


def test_factors_become_step_sizes() -> None:
    """The lowered graph against the file's own float graph: equal up to the rounding of ties."""
    quantized, x = quantize(block(), {"x": inputs(64)}), inputs(8)
    graph = quantized.graph.clone()
    canonicalize(graph)
    assert lower_quant(graph)
    (node,) = (node for node in graph.nodes if node.op.name == "quantize")
    assert node.attrs["axis"] == 2
    expected, got = (run_reference(each, {"x": x})["z"] for each in (quantized.graph, graph))
    assert 10 * np.log10((expected**2).sum() / ((expected - got) ** 2).sum()) > 45


def test_factors_that_are_not_positive_stay_a_product() -> None:
    for factor in (-1.0, 0.0):
        b = GraphBuilder()
        x = b.input("x", np.float32, (2, 3))
        how = np.float32(0.1), np.uint8(100)
        scaled = b.mul(x, np.array([1.0, factor, 2.0], np.float32))
        b.output("y", b.dequantize(b.quantize(scaled, *how, dtype="uint8"), *how))
        data = np.array([[1, 2, -3], [0, -1, 0.5]], np.float32)
        program = b.build()
        np.testing.assert_array_equal(load(program)(data), run_reference(program.graph, {"x": data})["y"])
