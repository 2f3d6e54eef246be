"""LSTM and GRU layers through a plan, on every instruction set, against the references."""

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
from rushlight.runtime.passes.decompose import decompose
from rushlight.runtime.plan import Plan
from rushlight.runtime.plan.lowering import KernelStep
from rushlight.runtime.plan.prepare import prepare


def cases() -> Iterator[Any]:
    for op in ("lstm", "gru", "lstm_scan", "gru_scan", "qlstm_scan", "qgru_scan"):
        for index, case in enumerate(get(op).cases()):
            yield pytest.param(op, case, id=f"{op}-{index}")


@pytest.mark.parametrize(("op", "case"), list(cases()))
def test_like_the_reference(op: str, case: Any) -> None:
    definition = get(op)
    wide = [a if a is None or a.dtype == np.int8 else a.astype(np.float64) for a in case.inputs]
    expected = definition.run_reference(wide, definition.complete_attrs(case.attrs))
    b = GraphBuilder()
    values, arrays = [], []
    for name, array in zip(definition.inputs, case.inputs, strict=True):
        if array is None or name.startswith(("w_", "b", "scale")):
            values.append(array)
        else:
            values.append(b.input(name, array.dtype, array.shape))
            arrays.append(np.ascontiguousarray(array))
    for name, value in zip(definition.outputs, b.add_node(op, values, case.attrs), strict=True):
        b.output(name, value)
    first: list[bytes] | None = None
    for isa in _core.available_isas():
        backend = cpu_backend(isa)
        plan = Plan(prepare(b.graph, backend), backend)
        assert all(isinstance(step, KernelStep) for step in plan.steps)
        out = CpuExecution(plan, plan.bind({}), _core.Executor(plan.constants, 2)).run(arrays)
        for got, wanted in zip(out, expected, strict=True):
            assert got.shape == wanted.shape
            np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=definition.tolerance)
        first = first or [x.tobytes() for x in out]
        assert [x.tobytes() for x in out] == first


@pytest.mark.parametrize(
    "size", [(1, 1, 5, 4), (3, 1, 9, 40), (24, 1, 20, 17), (21, 1, 8, 96), (9, 6, 33, 20)], ids=str
)
@pytest.mark.parametrize("attrs", [{}, {"bidirectional": True}, {"reverse": True}], ids=str)
@pytest.mark.parametrize("op", ["lstm", "gru"])
def test_a_layer_has_the_bits_of_its_parts(op: str, attrs: dict[str, bool], size: tuple[int, int, int, int]) -> None:
    """Of the product of its inputs, for all steps at once, and the recurrence."""
    steps, batch, width, hidden = size
    rng = np.random.default_rng(0)
    directions = 2 if attrs.get("bidirectional") else 1
    outputs = hidden * (4 if op == "lstm" else 3)

    def uniform(*shape: int) -> Any:
        return rng.uniform(-1, 1, shape).astype(np.float32)

    arrays = [uniform(steps, batch, width), *(uniform(directions, batch, hidden) for _ in get(op).outputs[1:])]
    weights = [uniform(directions, outputs, width), uniform(directions, outputs, hidden)]
    weights += [uniform(directions, outputs) for _ in range(2)]
    results: set[tuple[bytes, ...]] = set()
    for isa in _core.available_isas():
        backend = cpu_backend(isa)
        for is_whole in (True, False):
            b = GraphBuilder()
            values = [b.input(f"x{i}", array.dtype, array.shape) for i, array in enumerate(arrays)]
            for i, value in enumerate(b.add_node(op, [*values, *weights], attrs)):
                b.output(f"y{i}", value)
            if not is_whole:
                decompose(b.graph, lambda node: node.op.name != op)
            plan = Plan(prepare(b.graph, backend), backend)
            assert plan.steps[0].node.op.name == (op if is_whole else "linear")
            for threads in (1, 2):
                out = CpuExecution(plan, plan.bind({}), _core.Executor(plan.constants, threads)).run(arrays)
                results.add(tuple(array.tobytes() for array in out))
    assert len(results) == 1
