"""Views: operators that only move elements need no step where the kernel that reads them takes strides."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from rushlight.runtime.cpu import _core
from rushlight.runtime.cpu.backend import cpu_backend
from rushlight.runtime.cpu.execution import CpuExecution
from rushlight.runtime.ir import GraphBuilder, Value
from rushlight.runtime.plan import Plan
from rushlight.runtime.plan.lowering import Lowering
from rushlight.runtime.plan.prepare import prepare
from rushlight.runtime.plan.views import view_of
from rushlight.runtime.reference import run_reference
from rushlight.runtime.types import evaluate

RNG = np.random.default_rng(3)
Build = Callable[[GraphBuilder, Value], Value]


def cut(b: GraphBuilder, x: Value, axis: int, start: int, end: int, step: int = 1) -> Value:
    return b.slice(x, axes=(axis,), starts=(start,), ends=(end,), steps=(step,))  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("shape", "build"),
    [
        (("N", 6, 4), lambda b, x: b.permute(x, dims=(1, 0, -1))),
        (("N", 6, 4), lambda b, x: cut(b, b.permute(x, dims=(2, 0, 1)), 2, 1, 6, 2)),
        (("N", 6, 4), lambda b, x: b.permute(b.reshape(x, shape=(x.shape[0], 3, 2, 4)), dims=(2, 0, 1, 3))),
        (
            ("N", 7, 24),
            lambda b, x: b.permute(
                b.reshape(
                    cut(b, b.reshape(x, shape=(x.shape[0], 7, 3, 2, 4)), 2, 1, 2), shape=(x.shape[0], 7, 2, 1, 4)
                ),
                dims=(3, 0, 2, 1, 4),
            ),
        ),
        ((5, "N", 8), lambda b, x: b.reshape(b.reshape(x, shape=(5 * x.shape[1], 8)), shape=(5, x.shape[1], 2, 4))),
    ],
)
def test_a_view_names_the_elements(shape: Any, build: Build) -> None:
    b = GraphBuilder()
    x = b.input("x", np.float32, shape)
    b.output("y", build(b, x))
    y = b.graph.outputs[0][1]
    data = RNG.standard_normal([2 if d == "N" else d for d in shape]).astype(np.float32)
    view = view_of(y, Lowering(cpu_backend("generic")))
    assert view.base is x
    steps = [4 * evaluate(stride, {"N": 2}) for stride in view.strides]
    expected = run_reference(b.graph, {"x": data})["y"]
    start = data.reshape(-1)[evaluate(view.offset, {"N": 2}) :]
    np.testing.assert_array_equal(np.lib.stride_tricks.as_strided(start, expected.shape, steps), expected)


def test_a_reshape_that_no_stride_expresses_starts_anew() -> None:
    b = GraphBuilder()
    x = b.input("x", np.float32, ("N", 6, 4))
    y = b.reshape(b.permute(x, dims=(0, 2, 1)), shape=(x.shape[0], 24))
    b.output("y", y)
    assert view_of(y, Lowering(cpu_backend("generic"))).base is y


def attend(b: GraphBuilder, x: Value, keep: bool) -> None:
    """Attention as models write it: one layer for q, k and v, heads cut out by reshape, permute and slice."""
    batch, length = x.shape[:2]
    weight, out_weight = (RNG.standard_normal((n, 24)).astype(np.float32) for n in (72, 24))
    parts = b.reshape(b.linear(x, weight), shape=(batch, length, 3, 3, 8))
    heads = b.permute(parts, dims=(2, 0, 3, 1, 4))
    q, k, v = (b.reshape(cut(b, heads, 0, i, i + 1), shape=(batch, 3, length, 8)) for i in range(3))
    y = b.permute(b.scaled_dot_product_attention(q, k, v), dims=(0, 2, 1, 3))
    b.output("y", b.linear(b.reshape(y, shape=(batch, length, 24)), out_weight))
    if keep:
        b.output("k", k)


@pytest.mark.parametrize("isa", _core.available_isas())
@pytest.mark.parametrize("keep", [False, True])
def test_attention_reads_and_writes_in_place(keep: bool, isa: str) -> None:
    b = GraphBuilder()
    attend(b, b.input("x", np.float32, ("N", 11, 24)), keep)
    plan = Plan(prepare(b.graph, cpu_backend(isa)), cpu_backend(isa))
    x = RNG.standard_normal((3, 11, 24)).astype(np.float32)
    results = CpuExecution(plan, plan.bind({"N": 3}), _core.Executor(plan.constants, 2)).run([x])
    for got, expected in zip(results, run_reference(b.graph, {"x": x}).values(), strict=True):
        np.testing.assert_allclose(got, expected, rtol=2e-4, atol=2e-4)
    ops = [step.node.op.name for step in plan.steps]
    moves = [op for op in ops if op in ("permute", "slice")]
    assert [op for op in ops if op not in moves] == ["linear", "scaled_dot_product_attention", "linear"]
    assert bool(moves) == keep  # a result has to be there as it is
