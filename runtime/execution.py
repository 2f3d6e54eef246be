"""Runs a bound plan: native segments, and the NumPy references of nodes that have no kernel between them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from .cpu import _core
from .errors import RushlightError, ShapeError
from .ir import Value
from .ops import Array
from .plan import Plan
from .plan.groups import ARENA, CONSTANT, INPUT, Location
from .plan.plan import Binding, ReferenceCall


class Execution:
    """A plan for one choice of sizes, ready to run on many threads at once. `is_native`: no step runs in Python."""

    def __init__(self, plan: Plan, binding: Binding, executor: _core.Executor) -> None:
        self.binding = binding
        self._constants = plan.constants
        self.native = executor.bind(binding.steps, binding.arena_bytes, binding.copies)
        self._outputs = [
            (shape, value.dtype) for shape, (_, value) in zip(binding.output_shapes, plan.graph.outputs, strict=True)
        ]
        self.is_native = all(isinstance(segment, tuple) for segment in binding.segments)

    def run(self, inputs: list[Array], times: list[int] | None = None) -> list[Array]:
        """Contiguous inputs, checked by the caller; new outputs. `times` gets every step's nanoseconds, in order.

        Raises ShapeError for an index of what is not there.
        """
        outputs = [np.empty(shape, dtype) for shape, dtype in self._outputs]
        session = self.native.session(inputs, outputs)
        memory = _Memory(session, self.binding.arena_bytes, self._constants, inputs, outputs)
        for segment in self.binding.segments:
            if isinstance(segment, tuple):
                if times is None:
                    self.check(session.run(*segment))
                else:
                    fault, nanoseconds = session.run_timed(*segment)
                    self.check(fault)
                    times += nanoseconds
            else:
                start = time.perf_counter_ns()
                _run_reference(segment, memory)
                if times is not None:
                    times.append(time.perf_counter_ns() - start)
        session.finish()
        return outputs

    def check(self, fault: int) -> None:
        """Raises ShapeError where a native run ended at step `fault`."""
        if fault >= 0:
            node = self.binding.nodes[fault]
            raise ShapeError(f"{node.op.name} '{node.outputs[0].name}': an index is out of range")


class _Memory:
    """Arrays over the places that locations name."""

    def __init__(
        self, session: Any, arena_bytes: int, constants: Sequence[Array], inputs: list[Array], outputs: list[Array]
    ) -> None:
        self._arena = session.arena_view(0, arena_bytes)
        self._constants, self._inputs, self._outputs = constants, inputs, outputs

    def view(self, location: Location, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        space, index, offset = location
        count = int(np.prod(shape))
        if count == 0:
            return np.empty(shape, dtype)
        if space == ARENA:
            return np.frombuffer(self._arena, dtype, count, offset).reshape(shape)
        arrays = self._constants if space == CONSTANT else self._inputs if space == INPUT else self._outputs
        raw = arrays[index].reshape(-1).view(np.uint8)
        return raw[offset : offset + count * dtype.itemsize].view(dtype).reshape(shape)


def _run_reference(call: ReferenceCall, memory: _Memory) -> None:
    def view(location: Location, value: Value) -> Array:
        return memory.view(location, value.type.static_shape(), value.dtype)

    arrays = [None if item is None else view(*item) for item in call.inputs]
    try:
        results = call.node.op.run_reference(arrays, call.attrs)
    except IndexError as error:
        raise ShapeError(f"{call.node.op.name} '{call.node.outputs[0].name}': {error}") from None
    for (location, value), result in zip(call.outputs, results, strict=True):
        target = view(location, value)
        if result.shape != target.shape:
            raise RushlightError(f"{call.node.op.name}: the reference gave {result.shape}, planned {target.shape}")
        if target.size:
            target[...] = result.astype(target.dtype, copy=False)
