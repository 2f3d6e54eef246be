"""Convolutions, linear layers and products through a plan, on every instruction set, against the references."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from rushlight.runtime.cpu import _core
from rushlight.runtime.cpu.backend import cpu_backend
from rushlight.runtime.cpu.execution import CpuExecution
from rushlight.runtime.ir import GraphBuilder
from rushlight.runtime.ops import get
from rushlight.runtime.plan import Plan
from rushlight.runtime.plan.lowering import KernelStep

OPS = ["conv2d", "linear", "matmul", "qconv2d", "qlinear"]
WEIGHTS = ("weight", "bias", "scale")


def cases() -> Iterator[Any]:
    """The operators' own cases, image operators in NHWC as the layout pass leaves them."""
    for op in OPS:
        for index, case in enumerate(get(op).cases()):
            attrs = dict(case.attrs)
            is_float = case.inputs[0] is not None and case.inputs[0].dtype in (np.float32, np.uint8)
            if is_float and get(op).complete_attrs(attrs).get("layout", "NHWC") == "NHWC":
                yield pytest.param(op, case.inputs, attrs, id=f"{op}-{index}")


def build(op: str, inputs: Any, attrs: dict[str, Any], dynamic: bool, constant: tuple[str, ...]) -> Any:
    """A graph of one node, and its inputs."""
    b = GraphBuilder()
    values, arrays = [], []
    for name, array in zip(get(op).inputs, inputs, strict=False):
        if array is None or name.rstrip("?") in constant:
            values.append(array)
            continue
        shape = list(array.shape)
        if dynamic and len(shape) > 1 and name.rstrip("?") in ("x", "residual"):
            shape[0] = "N"
        values.append(b.input(name.rstrip("?"), array.dtype, shape))
        arrays.append(np.ascontiguousarray(array))
    b.output("out", b.add_node(op, values, attrs)[0])
    return b.graph, arrays


def run(graph: Any, arrays: list[Any], isa: str) -> Any:
    plan = Plan(graph, cpu_backend(isa))
    assert all(isinstance(step, KernelStep) for step in plan.steps)
    sizes = {s: a.shape[0] for a in arrays[:1] for s in graph.symbols}
    executor = _core.Executor(plan.constants, 2)
    return CpuExecution(plan, plan.bind(sizes), executor).run(arrays)[0]


@pytest.mark.parametrize(("op", "inputs", "attrs"), list(cases()))
def test_like_the_reference(op: str, inputs: Any, attrs: dict[str, Any]) -> None:
    complete = get(op).complete_attrs(attrs)
    wide = [a.astype(np.float64) if a is not None and a.dtype == np.float32 and op[0] != "q" else a for a in inputs]
    (expected,) = get(op).run_reference(wide, complete)
    graph, arrays = build(op, inputs, attrs, True, WEIGHTS)
    first = None
    for isa in _core.available_isas():
        out = run(graph, arrays, isa)
        assert out.shape == expected.shape
        if op[0] == "q" and out.dtype == np.uint8:
            np.testing.assert_array_equal(out, expected)
        else:
            np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-5)
        first = out if first is None else first
        assert out.tobytes() == first.tobytes()


@pytest.mark.parametrize(("groups", "channels"), [(12, 12), (1, 16)])
def test_floats_added_to_a_convolution_of_bytes(groups: int, channels: int) -> None:
    """Depthwise, and by Winograd's method."""
    rng = np.random.default_rng(9)
    x = rng.integers(0, 256, (2, 8, 8, channels), np.uint8)
    residual = rng.standard_normal((2, 8, 8, channels), np.float32)
    weight = rng.integers(-128, 128, (channels, channels // groups, 3, 3)).astype(np.int8)
    scale, bias = rng.uniform(0.01, 0.02, channels).astype(np.float32), rng.standard_normal(channels, np.float32)
    attrs = {"groups": groups, "padding": (1, 1, 1, 1), "x_zero_point": 7, "out_dtype": "float32"}
    inputs = (x, weight, scale, bias, residual)
    (expected,) = get("qconv2d").run_reference(inputs, get("qconv2d").complete_attrs(attrs))
    for isa in _core.available_isas():
        out = run(*build("qconv2d", inputs, attrs, True, WEIGHTS), isa)
        np.testing.assert_array_equal(out, expected)


PRODUCTS = [
    ((3, 5), (5, 7)),
    ((5,), (5, 7)),
    ((2, 3, 5), (5,)),
    ((2, 4, 9, 33), (2, 4, 33, 70)),
    ((4, 9, 33), (2, 1, 33, 70)),
    ((2, 1, 9, 3), (4, 3, 20)),
    ((0, 4), (4, 3)),
    ((3, 0), (0, 2)),
]


@pytest.mark.parametrize(("left", "right"), PRODUCTS, ids=str)
@pytest.mark.parametrize("constant", [(), ("b",)], ids=["runtime", "constant"])
def test_products_of_two_activations(left: Any, right: Any, constant: tuple[str, ...]) -> None:
    rng = np.random.default_rng(4)
    inputs = (rng.standard_normal(left, np.float32), rng.standard_normal(right, np.float32))
    expected = np.matmul(*(x.astype(np.float64) for x in inputs))
    outs = [run(*build("matmul", inputs, {}, False, constant), isa) for isa in _core.available_isas()]
    np.testing.assert_allclose(outs[0], expected, rtol=1e-5, atol=1e-5)
    for out in outs[1:]:
        assert out.tobytes() == outs[0].tobytes()
