"""Elementwise, quantizing, reducing and normalizing operators through a plan, on every instruction set"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from rushlight.runtime.cpu import _core
from rushlight.runtime.cpu.backend import cpu_backend
from rushlight.runtime.cpu.execution import CpuExecution
from rushlight.runtime.ir import GraphBuilder
from rushlight.runtime.ops import get, registry
from rushlight.runtime.plan import Plan
from rushlight.runtime.plan.lowering import KernelStep

FAMILIES = ("unary", "binary", "cast", "reduce", "softmax", "norm", "quantize")
OPS = [name for name, op in registry().items() if op.family in FAMILIES] + ["qadd", "qmul", "qlut"]
WITHOUT_KERNEL = ("batch_norm", "isnan")
"""Operators that are always decomposed."""


def cases() -> Iterator[Any]:
    for op in OPS:
        for index, case in enumerate(get(op).cases()):
            yield pytest.param(op, case.inputs, dict(case.attrs), id=f"{op}-{index}")


def wide(array: Any, op: str) -> Any:
    """Float64 where the reference should be exact; quantization is defined in float32."""
    if array is None or array.dtype != np.float32 or op in ("quantize", "dequantize", "qadd", "qmul"):
        return array
    return array.astype(np.float64)


@pytest.mark.parametrize(("op", "inputs", "attrs"), list(cases()))
def test_like_the_reference(op: str, inputs: Any, attrs: dict[str, Any]) -> None:
    definition = get(op)
    complete = definition.complete_attrs(attrs)
    exact = definition.tolerance == 0
    with np.errstate(all="ignore"):
        expected = definition.run_reference([a if exact else wide(a, op) for a in inputs], complete)[0]
    if op == "gelu" and complete["approximate"] == "none":  # kernels give the limit; the formula has infinity times 0
        expected = np.where(np.isneginf(inputs[0]), np.zeros_like(expected), expected)
    b = GraphBuilder()
    values = [None if a is None else b.input(f"input{i}", a.dtype, a.shape) for i, a in enumerate(inputs)]
    b.output("out", b.add_node(op, values, attrs)[0])
    arrays = [np.ascontiguousarray(a).reshape(a.shape) for a in inputs if a is not None]
    first = None
    for isa in _core.available_isas():
        plan = Plan(b.graph, cpu_backend(isa))
        if arrays[0].dtype == np.float32 and op not in WITHOUT_KERNEL and is_covered(op, complete, inputs):
            assert all(isinstance(step, KernelStep) for step in plan.steps)
        with np.errstate(all="ignore"):
            out = CpuExecution(plan, plan.bind({}), _core.Executor(plan.constants, 2)).run(arrays)[0]
        assert out.shape == expected.shape
        if exact or out.dtype.kind != "f":
            np.testing.assert_array_equal(out, expected.astype(out.dtype))
        else:
            tolerance = max(definition.tolerance, 1e-6)
            with np.errstate(over="ignore"):
                rounded = expected.astype(out.dtype)
            np.testing.assert_allclose(out, rounded, rtol=tolerance, atol=tolerance)
        first = out if first is None else first
        np.testing.assert_array_equal(out, first)


def is_covered(op: str, attrs: dict[str, Any], inputs: Any) -> bool:
    """Whether float32 kernels promise to take the case without help."""
    if op == "cast":
        return attrs["dtype"] not in ("float16", "uint16", "uint32", "uint64")
    if op == "group_norm":
        return bool(attrs["layout"] == "NHWC")
    if op in ("sum", "mean", "prod", "amax", "amin", "logsumexp"):
        rank = inputs[0].ndim
        dims = sorted(d % rank for d in attrs["dim"]) if attrs["dim"] else list(range(rank))
        return not dims or dims == list(range(dims[0], dims[-1] + 1))
    return True
