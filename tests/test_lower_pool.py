"""Pooling and means of quantized values through a plan, on every instruction set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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

OPS = ("max_pool2d", "avg_pool2d", "qavg_pool2d", "qmean")


def cases() -> Iterator[Any]:
    for op in OPS:
        for index, case in enumerate(get(op).cases()):
            attrs = get(op).complete_attrs(case.attrs)
            if attrs.get("layout", "NHWC") == "NHWC" and is_covered(case.inputs[0], attrs.get("dim", ())):
                yield pytest.param(op, case.inputs[0], attrs, id=f"{op}-{index}")


def is_covered(x: Any, dim: Sequence[int]) -> bool:
    """Images of float32 and uint8; means over neighbouring axes."""
    dims = sorted(d % x.ndim for d in dim)
    return x.dtype in (np.float32, np.uint8) and dims == list(range(dims[0], dims[-1] + 1) if dims else ())


def test_there_are_cases_of_all() -> None:
    assert {param.values[0] for param in cases()} == set(OPS)


@pytest.mark.parametrize(("op", "x", "attrs"), list(cases()))
def test_like_the_reference(op: str, x: Any, attrs: Mapping[str, Any]) -> None:
    definition = get(op)
    (expected,) = definition.run_reference([x], attrs)
    b = GraphBuilder()
    b.output("out", b.add_node(op, [b.input("x", x.dtype, x.shape)], attrs)[0])
    results = []
    for isa in _core.available_isas():
        plan = Plan(b.graph, cpu_backend(isa))
        assert all(isinstance(step, KernelStep) for step in plan.steps)
        results += CpuExecution(plan, plan.bind({}), _core.Executor(plan.constants, 2)).run([np.ascontiguousarray(x)])
    for out in results:
        assert out.dtype == expected.dtype
        np.testing.assert_allclose(out, expected, rtol=definition.tolerance, atol=definition.tolerance)
        np.testing.assert_array_equal(out, results[0])
