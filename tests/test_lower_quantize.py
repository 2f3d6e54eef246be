"""Quantized images of few channels change their layout as they are quantized, on every instruction set."""

from __future__ import annotations

import numpy as np
import pytest

from rushlight.runtime.cpu import _core
from rushlight.runtime.cpu.backend import cpu_backend
from rushlight.runtime.cpu.execution import CpuExecution
from rushlight.runtime.ir import GraphBuilder
from rushlight.runtime.plan import Plan
from rushlight.runtime.plan.lowering import KernelStep
from rushlight.runtime.reference import run_reference


@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize(("channels", "also_read", "ops"), [
    (2, False, ["quantize_planes"]),
    (3, False, ["quantize_planes"]),
    (4, False, ["quantize_planes"]),
    (5, False, ["quantize", "copy"]),
    (3, True, ["quantize", "quantize_planes"]),
])  # fmt: skip
def test_one_step(dtype: type, per_channel: bool, channels: int, also_read: bool, ops: list[str]) -> None:
    generator = np.random.default_rng(channels)
    size = (channels,) if per_channel else ()
    b = GraphBuilder()
    x = b.input("x", np.float32, ("n", channels, 7, 13))
    scale = b.constant(np.asarray(generator.uniform(0.01, 0.02, size), np.float32))
    zero_point = b.constant(np.asarray(generator.integers(0, 90, size), dtype))
    quantized = b.quantize(x, scale, zero_point, axis=1 if per_channel else None, dtype=np.dtype(dtype).name)
    b.output("y", b.permute(quantized, dims=(0, 2, 3, 1)))
    if also_read:
        b.output("z", quantized)
    image = generator.standard_normal((3, channels, 7, 13)).astype(np.float32)
    expected = run_reference(b.graph, {"x": image})
    for isa in _core.available_isas():
        plan = Plan(b.graph, cpu_backend(isa))
        assert [step.row.op for step in plan.steps if isinstance(step, KernelStep)] == ops
        got = CpuExecution(plan, plan.bind({"n": 3}), _core.Executor(plan.constants, 2)).run([image])
        for (name, _), array in zip(b.graph.outputs, got, strict=True):
            np.testing.assert_array_equal(array, expected[name])
