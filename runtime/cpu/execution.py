"""Runs bound plans on the CPU: native segments, and the NumPy references of nodes that have no kernel between them."""

from __future__ import annotations

import time
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from ..execution import Peaks, index_error, new_outputs, run_reference
from ..ir import Value
from ..lower.reasons import reason
from ..ops import Array
from ..plan import KernelStep, Plan
from ..plan.groups import ARENA, CONSTANT, INPUT, Location
from ..plan.plan import Binding
from . import _core
from .backend import ISAS, CpuBackend, cpu_backend

CACHE_SIZE = Path("/sys/devices/system/cpu/cpu0/cache/index2/size")
USUAL_CACHE = 1 << 20
"""Bytes of a second-level cache where the system does not tell."""


class CpuEngine:
    """So many threads of the process's pool, on one instruction set."""

    def __init__(self, threads: int, isa: str) -> None:
        self.threads, self.isa = threads, isa
        self.backend: CpuBackend = cpu_backend(isa)

    def load(self, plan: Plan) -> CpuLoaded:
        return CpuLoaded(plan, _core.Executor(plan.constants, self.threads))

    def array(self, value: Any) -> Array:
        array = np.asarray(value)
        return array if array.flags.c_contiguous else np.ascontiguousarray(array)

    def peaks(self) -> Peaks:
        """Measured now, in 0.4 s."""
        figures = _core.measure_peaks(self.threads, ISAS[self.isa])
        return Peaks(*figures, _cached_bytes(), f"measured on {self.threads} threads with {self.isa}")

    def tile(self, symbol: str, params: bytes) -> tuple[int, int]:
        return _core.tile(symbol, params)

    def compute(self, step: KernelStep) -> str:
        return step.compute

    def reason(self, step: KernelStep) -> str:
        return reason(step, f"{step.row.isa} has the best {step.row.types} row", has_winograd=True)


@cache
def _cached_bytes() -> int:
    """What the second-level cache of one core holds beside other data."""
    try:
        size = int(CACHE_SIZE.read_text().removesuffix("K\n")) << 10
    except (OSError, ValueError):
        size = USUAL_CACHE
    return size * 3 // 4


class CpuLoaded:
    def __init__(self, plan: Plan, executor: _core.Executor) -> None:
        self._plan, self._executor = plan, executor

    @property
    def held_bytes(self) -> int:
        return self._executor.held_bytes

    def bind(self, binding: Binding) -> CpuExecution:
        return CpuExecution(self._plan, binding, self._executor)


class CpuExecution:
    """See `Execution`."""

    def __init__(self, plan: Plan, binding: Binding, executor: _core.Executor) -> None:
        self.binding = binding
        self._plan = plan
        self._sessions = executor.bind(binding.steps, binding.arena_bytes, binding.copies)
        self.arena_bytes: int = self._sessions.arena_bytes
        is_native = all(isinstance(segment, tuple) for segment in binding.segments)
        self.native = self._sessions if is_native else None

    def run(self, inputs: list[Array], times: list[int] | None = None) -> list[Array]:
        outputs = new_outputs(self._plan, self.binding)
        session = self._sessions.session(inputs, outputs)
        memory = _Memory(session.arena_view(0, self.binding.arena_bytes), self._plan, inputs, outputs)
        for segment in self.binding.segments:
            if isinstance(segment, tuple):
                if times is None:
                    self._check(session.run(*segment))
                else:
                    fault, nanoseconds = session.run_timed(*segment)
                    self._check(fault)
                    times += nanoseconds
            else:
                start = time.perf_counter_ns()
                run_reference(segment, memory.view, memory.write)
                if times is not None:
                    times.append(time.perf_counter_ns() - start)
        session.finish()
        return outputs

    def _check(self, fault: int) -> None:
        if fault >= 0:
            raise index_error(self.binding, fault)


class _Memory:
    """Arrays over the places that locations name."""

    def __init__(self, arena: Any, plan: Plan, inputs: list[Array], outputs: list[Array]) -> None:
        self._arena = arena
        self._constants, self._inputs, self._outputs = plan.constants, inputs, outputs

    def view(self, location: Location, value: Value) -> Array:
        space, index, offset = location
        shape, dtype = value.type.static_shape(), value.dtype
        count = int(np.prod(shape))
        if count == 0:
            return np.empty(shape, dtype)
        if space == ARENA:
            return np.frombuffer(self._arena, dtype, count, offset).reshape(shape)
        arrays = self._constants if space == CONSTANT else self._inputs if space == INPUT else self._outputs
        raw = arrays[index].reshape(-1).view(np.uint8)
        return raw[offset : offset + count * dtype.itemsize].view(dtype).reshape(shape)

    def write(self, location: Location, value: Value, result: Array) -> None:
        self.view(location, value)[...] = result
