"""Attention through a plan, on every instruction set, against the references."""

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

OPS = ["scaled_dot_product_attention", "window_attention", "qattention", "qwindow_attention"]
CONSTANT = ("rows",)


def cases() -> Iterator[Any]:
    for op in OPS:
        for index, case in enumerate(get(op).cases()):
            yield pytest.param(op, case.inputs, dict(case.attrs), id=f"{op}-{index}")


@pytest.mark.parametrize("dynamic", [False, True], ids=["fixed", "dynamic"])
@pytest.mark.parametrize(("op", "inputs", "attrs"), list(cases()))
def test_like_the_reference(op: str, inputs: Any, attrs: dict[str, Any], dynamic: bool) -> None:
    definition = get(op)
    exact = definition.tolerance == 0
    given = zip(definition.inputs, inputs, strict=False)
    arrays = [np.ascontiguousarray(a) for name, a in given if a is not None and name not in CONSTANT]
    truth = [a if a is None or exact or a.dtype != np.float32 else a.astype(np.float64) for a in inputs]
    (expected,) = definition.run_reference(truth, definition.complete_attrs(attrs))
    b = GraphBuilder()
    values = []
    for name, array in zip(definition.inputs, inputs, strict=False):
        if name in CONSTANT:
            values.append(b.constant(array))
            continue
        shape = None if array is None else list(array.shape)
        has_batch = name in ("q", "k", "v") or (shape and name == "mask?" and len(shape) == 4 and shape[0] > 1)
        if shape and dynamic and has_batch:
            shape[0] = "N"
        values.append(None if array is None else b.input(name.rstrip("?"), array.dtype, shape))
    b.output("out", b.add_node(op, values, attrs)[0])
    sizes = dict.fromkeys(b.graph.symbols, arrays[0].shape[0])
    first = None
    for isa in _core.available_isas():
        plan = Plan(b.graph, cpu_backend(isa))
        assert all(isinstance(step, KernelStep) for step in plan.steps)
        out = CpuExecution(plan, plan.bind(sizes), _core.Executor(plan.constants, 2)).run(arrays)[0]
        assert out.shape == expected.shape
        if exact:
            np.testing.assert_array_equal(out, expected)
        else:
            np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-5)
        first = out if first is None else first
        assert out.tobytes() == first.tobytes()
