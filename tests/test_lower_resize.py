"""Resampling through a plan, on every instruction set, against the reference."""

from __future__ import annotations

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

CASES = [case for case in get("interpolate").cases() if case.attrs.get("layout") == "NHWC"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case.attrs))
def test_like_the_reference(case: Any) -> None:
    op = get("interpolate")
    (x,) = case.inputs
    expected = op.run_reference([x.astype(np.float64)], op.complete_attrs(case.attrs))[0]
    b = GraphBuilder()
    b.output("out", b.interpolate(b.input("x", x.dtype, ("N", *x.shape[1:])), **case.attrs))
    results = []
    for isa in _core.available_isas():
        plan = Plan(b.graph, cpu_backend(isa))
        assert all(isinstance(step, KernelStep) for step in plan.steps)
        out = CpuExecution(plan, plan.bind({"N": len(x)}), _core.Executor(plan.constants, 2)).run([x])[0]
        np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-5)
        results.append(out.tobytes())
    assert len(set(results)) == 1
