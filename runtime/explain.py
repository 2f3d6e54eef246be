"""Explains a model: for every step of its plan the kernel, the time, the share of the machine's peak, and why."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .execution import Engine, Peaks
from .ir import Node, Value
from .model import Model
from .plan import KernelStep, ReferenceStep
from .plan.lowering import Operand
from .types import Dim, evaluate

REFERENCE = "NumPy reference"
IDLE = "none"
WARM_UPS = 2
REPEATS = 5


@dataclass(frozen=True)
class StepReport:
    """One step: the operator ("chain" of several) and the node's name, the kernel's symbol or "NumPy reference", the
    register tile that most of it is computed by (rows and columns of the result, "" where the family has none), the
    result's shape.

    `nanoseconds` is the median of several runs; `share` the part of a bound that was reached (0 to 1) and `bound` its
    name: the peak of multiply-adds for matrix kernels, else the bandwidth of memory, or of the cache where the operands
    fit it; "" where nobody knows it. A share above 1 says that the operands lay closer than that. `reason` says why
    this kernel runs.
    """

    operator: str
    name: str
    kernel: str
    tile: str
    shape: tuple[int, ...]
    nanoseconds: int
    share: float
    bound: str
    reason: str


@dataclass(frozen=True)
class Explanation:
    """All steps of one method at one choice of sizes, the nodes that take none (kernel "none"), and the bounds that
    shares refer to."""

    steps: list[StepReport]
    idle: list[StepReport]
    sizes: Mapping[str, int]
    arena_bytes: int
    peaks: Peaks

    @property
    def nanoseconds(self) -> int:
        return sum(step.nanoseconds for step in self.steps)


def explain(model: Model, inputs: Mapping[str, Any], method: str | None = None) -> Explanation:
    """Runs a method on `inputs` a few times and reports every step. Raises ShapeError for inputs that do not fit."""
    target = model.main if method is None else model.method(method)
    arrays = [np.ascontiguousarray(inputs[spec.name]) for spec in target.inputs]
    sizes = target.sizes(arrays)
    runs = [target.timed(arrays) for _ in range(WARM_UPS + REPEATS)][WARM_UPS:]
    times = [int(t) for t in np.median(np.array(runs), axis=0)] if runs[0] else []
    peaks = model.engine.peaks()
    binding = target.execution(sizes).binding
    bands = {index: group.describe() for group in binding.groups for index in range(group.first, group.end)}
    steps = [
        _report(step, sizes, time, model.engine, peaks, bands.get(index, ""))
        for index, (step, time) in enumerate(zip(target.plan.steps, times, strict=True))
    ]
    arena = target.execution(sizes).arena_bytes
    computed = {id(node) for step in target.plan.steps for node in _nodes(step)}
    idle = [_idle(node, sizes) for node in target.plan.graph.nodes if id(node) not in computed]
    return Explanation(steps, idle, sizes, arena, peaks)


def _report(
    step: KernelStep | ReferenceStep,
    sizes: Mapping[str, int],
    time: int,
    engine: Engine,
    peaks: Peaks,
    band: str,
) -> StepReport:
    node = step.node
    shape = tuple(evaluate(d, sizes) for d in node.outputs[0].shape)
    if isinstance(step, ReferenceStep):
        types = ", ".join(str(value.dtype) for value in [*node.inputs, *node.outputs] if value is not None)
        why = f"{step.reason} ({types}), nothing to decompose it into"
        return StepReport(node.op.name, _label(node), REFERENCE, "", shape, time, 0.0, "", why)
    if compute := engine.compute(step):
        rates = {"f32": peaks.f32_flops, "int8": peaks.int8_ops, "tf32": peaks.tf32_flops}
        done, rate, bound = 2 * evaluate(step.macs, sizes), rates[compute], f"{compute} peak"
    else:
        done = _bytes(step, sizes)
        is_cached = done <= peaks.cache_size
        rate, bound = (peaks.cache_bytes, "cache") if is_cached else (peaks.read_bytes, "memory")
    share = done / (max(time, 1) * 1e-9) / rate if rate else 0.0
    why = "; ".join(filter(None, [engine.reason(step), band]))
    tile = _tile(step, sizes, engine)
    operator = step.family if step.chain else node.op.name
    return StepReport(operator, _label(node), step.row.symbol, tile, shape, time, share, bound if rate else "", why)


def _nodes(step: KernelStep | ReferenceStep) -> list[Node]:
    """Whose work the step does."""
    chain = step.chain if isinstance(step, KernelStep) else ()
    return [own.node for own in chain] or [step.node]


def _idle(node: Node, sizes: Mapping[str, int]) -> StepReport:
    shape = tuple(evaluate(d, sizes) for d in node.outputs[0].shape)
    why = "no step of its own: the kernels around it do its work, or read and write its elements where they lie"
    return StepReport(node.op.name, _label(node), IDLE, "", shape, 0, 0.0, "", why)


def _tile(step: KernelStep, sizes: Mapping[str, int], engine: Engine) -> str:
    params = engine.backend.pack_params(
        step.family, {name: _number(value, sizes) for name, value in step.params.items()}
    )
    rows, columns = engine.tile(step.row.symbol, params)
    return f"{rows}x{columns}" if rows * columns > 1 else ""


def _number(value: Any, sizes: Mapping[str, int]) -> Any:
    if isinstance(value, (tuple, list)):
        return [_number(item, sizes) for item in value]
    return evaluate(value, sizes) if isinstance(value, Dim) else value


def _label(node: Node) -> str:
    return node.name or node.outputs[0].name


def _bytes(step: KernelStep, sizes: Mapping[str, int]) -> int:
    """What the step reads and writes, each value once; of what it indexes, as much as it writes. A concatenation is a
    step for every part."""
    if step.chain:
        made = {own.node.output for own in step.chain}
        read = {value for own in step.chain for value in own.node.inputs if value is not None}
        written = [operand for name, operand in step.operands.items() if name.startswith("out")]
        return sum(_size(value, sizes) for value in [*(read - made), *written])
    node = step.node
    if node.op.name == "concat":
        dims = step.params["dims"]
        assert isinstance(dims, (tuple, list))
        return 2 * math.prod(evaluate(dim, sizes) for dim in dims) * node.output.dtype.itemsize
    if step.row.op == "quantize_planes":  # what the node reads is quantized by this step, too
        return sum(_size(step.operands[name], sizes) for name in ("x", "out"))
    has_index = node.op.family == "index" and len(node.inputs) > 1
    inputs = (node.output, *node.inputs[1:]) if has_index else node.inputs
    return sum(_size(value, sizes) for value in [*{value for value in inputs if value is not None}, *node.outputs])


def _size(value: Operand, sizes: Mapping[str, int]) -> int:
    assert isinstance(value, Value)
    return evaluate(value.type.size, sizes) * value.dtype.itemsize
