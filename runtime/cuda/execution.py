"""Runs bound plans on a device: constants and one block of memory there, prepared launches, references on the host."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from ..execution import Peaks, index_error, new_outputs, run_reference
from ..ir import Value
from ..lower.reasons import reason
from ..ops import Array
from ..plan import KernelStep, Plan
from ..plan.groups import ARENA, CONSTANT, FAULT, INPUT, NONE, OUTPUT, Location
from ..plan.plan import Binding, NativeStep
from ..types import evaluate
from .array import DeviceArray, find_array
from .backend import CudaBackend, cuda_backend
from .choice import choose
from .device import ALIGNMENT, Buffer, Device, Launch
from .families import families
from .family import COUNTERS, SCRATCH_AT, Call, Row, Tf32Row

_FAULT_BYTES = 8
_MOST_TILES = 1 << 14
"""Of prepared calls, kept for explain."""


class CudaEngine:
    """Programs on one device. `threads` of the host pack weights. `tf32`: as of `CudaBackend`."""

    def __init__(self, device: Device, threads: int, tf32: bool = False) -> None:
        self.device, self.threads = device, threads
        self.isa = device.arch
        self.backend: CudaBackend = cuda_backend(tf32)
        self._lock = threading.Lock()
        self._tiles: dict[tuple[str, bytes], tuple[int, int]] = {}

    def load(self, plan: Plan) -> CudaLoaded:
        with self._lock:
            return CudaLoaded(plan, self.device, self._lock, self._tiles)

    def array(self, value: Any) -> Array | DeviceArray:
        found = find_array(self.device, value)
        return np.asarray(value, order="C") if found is None else found

    def peaks(self) -> Peaks:
        return self.device.peaks()

    def tile(self, symbol: str, params: bytes) -> tuple[int, int]:
        """Of the kernel that was chosen when the call was prepared last, (0, 0) where it takes several."""
        return self._tiles.get((symbol, params), (0, 0))

    def compute(self, step: KernelStep) -> str:
        return "tf32" if isinstance(step.row, Tf32Row) else step.compute

    def reason(self, step: KernelStep) -> str:
        row = "generated from the graph" if step.chain else f"the {step.row.types} row of GPUs"
        is_tf32 = isinstance(step.row, Tf32Row)
        row += ", operands rounded to TF32" if is_tf32 else ""
        return reason(step, row, has_winograd=False, packs_wide=is_tf32)


class CudaLoaded:
    """A plan's constants on a device, and the memory of its runs. Executions for other sizes share that memory: it is
    as large as the largest one needs. Whoever holds `lock` has the device. `tiles` gets those of prepared calls."""

    def __init__(
        self, plan: Plan, device: Device, lock: threading.Lock, tiles: dict[tuple[str, bytes], tuple[int, int]]
    ) -> None:
        self.plan, self.device, self.lock, self.tiles = plan, device, lock, tiles
        offsets, total = _stacked([array.nbytes for array in plan.constants])
        self._constants = device.allocate(total)
        self.constants = [self._constants.address + offset for offset in offsets]
        for address, array in zip(self.constants, plan.constants, strict=True):
            device.write(address, array)
        plan.release_packed()
        self.memory: Buffer = device.allocate(0)
        self.generation = 0
        self.rows = {step.row.symbol: step.row for step in plan.steps if isinstance(step, KernelStep)}

    @property
    def held_bytes(self) -> int:
        return self.memory.size

    def reserve(self, size: int) -> None:
        """At least `size` bytes of memory. What is prepared for the memory before has to be prepared again."""
        if size > self.memory.size:
            self.memory = self.device.allocate(0)  # first the old block goes
            self.memory = self.device.allocate(size)
            self.device.write(self.memory.address, np.zeros(COUNTERS, np.int32))
            self.generation += 1

    def bind(self, binding: Binding) -> CudaExecution:
        return CudaExecution(self, binding)


class CudaExecution:
    """See `Execution`."""

    native = None

    def __init__(self, loaded: CudaLoaded, binding: Binding) -> None:
        self.binding = binding
        self._loaded, self._device = loaded, loaded.device
        self._generation = 0  # of the memory that launches are prepared for
        graph = loaded.plan.graph
        inputs = [evaluate(value.type.size, binding.sizes) * value.dtype.itemsize for value in graph.inputs]
        dtypes = [value.dtype for _, value in graph.outputs]
        self._results = list(zip(binding.output_shapes, dtypes, strict=True))
        outputs = [math.prod(shape) * dtype.itemsize for shape, dtype in self._results]
        self._steps: list[NativeStep] = []
        self._faults: dict[int, int] = {}  # step to its fault's index
        for index, step in enumerate(binding.steps):
            assert isinstance(step[0], str), "the backend has no bands"
            _, _, locations = step
            self._steps.append(step)
            if any(space == FAULT for space, *_ in locations):
                self._faults[index] = len(self._faults)
        scratch = max((self._scratch_bytes(*step) for step in self._steps), default=0)
        sizes = [SCRATCH_AT + scratch, *inputs, *outputs, binding.arena_bytes, len(self._faults) * _FAULT_BYTES]
        offsets, self.arena_bytes = _stacked(sizes)
        _, *offsets = offsets  # the counters lie at the same place for all sizes
        self._inputs, rest = offsets[: len(inputs)], offsets[len(inputs) :]
        self._outputs, (self._arena, self._fault) = rest[: len(outputs)], rest[len(outputs) :]
        self._calls: list[list[Launch]] = []
        self._segments: list[Callable[[], None] | None] = []

    def run(self, inputs: list[Any], times: list[int] | None = None) -> list[Any]:
        """Outputs stay on the device where an input lies there."""
        loaded, device = self._loaded, self._device
        stay = any(isinstance(array, DeviceArray) for array in inputs)
        with loaded.lock:
            self._prepare()
            base = loaded.memory.address
            for offset, array in zip(self._inputs, inputs, strict=True):
                if isinstance(array, DeviceArray):
                    device.copy(base + offset, array.address, array.nbytes)
                else:
                    device.write(base + offset, array)
            inputs_are_read = device.mark() if stay else None
            faults = np.zeros(len(self._faults), np.int64)
            if self._faults:
                device.write(base + self._fault, faults)
            memory = _Memory(self)
            for segment, launch in zip(self.binding.segments, self._segments, strict=True):
                if launch is None:
                    start = time.perf_counter_ns()
                    run_reference(segment, memory.read, memory.write)  # type: ignore[arg-type]
                    if times is not None:
                        times.append(time.perf_counter_ns() - start)
                elif times is None:
                    launch()
                else:
                    times += [device.timed(launches) for launches in self._calls[slice(*segment)]]  # type: ignore[misc]
            sources = [base + offset for offset in self._outputs]
            for index, location, _ in self.binding.copies:
                sources[index] = self.address(location)
            if inputs_are_read is not None:
                results: list[Any] = [
                    self._kept(source, *result) for source, result in zip(sources, self._results, strict=True)
                ]
                inputs_are_read()  # callers may change or drop them now
            else:
                results = new_outputs(loaded.plan, self.binding)
                for source, array in zip(sources, results, strict=True):
                    device.read(source, array)
            if self._faults:
                device.read(base + self._fault, faults)
        for step, index in self._faults.items():
            if faults[index]:
                raise index_error(self.binding, step)
        return results

    def _kept(self, source: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> DeviceArray:
        """A result in memory of its own on the device."""
        device, size = self._device, math.prod(shape) * dtype.itemsize
        buffer = device.pooled(size)
        device.copy(buffer.address, source, size)
        return DeviceArray(device, buffer.address, shape, dtype, buffer, device.stream)

    def _prepare(self) -> None:
        """Launches for the memory that there is."""
        self._loaded.reserve(self.arena_bytes)
        if self._generation == self._loaded.generation and self._segments:
            return
        self._calls = [self._launches(index, *step) for index, step in enumerate(self._steps)]
        self._segments = [
            self._device.prepare([launch for launches in self._calls[slice(*segment)] for launch in launches])
            if isinstance(segment, tuple)
            else None
            for segment in self.binding.segments
        ]
        self._generation = self._loaded.generation

    def _scratch_bytes(self, symbol: str, params: bytes, locations: list[Location]) -> int:
        row = self._row(symbol)
        return families()[row.family].scratch_bytes(Call(row, params, ()), self._device)

    def _row(self, symbol: str) -> Row:
        row = self._loaded.rows[symbol]
        assert isinstance(row, Row)
        return row

    def _launches(self, index: int, symbol: str, params: bytes, locations: list[Location]) -> list[Launch]:
        row = self._row(symbol)
        operands = [self.address(location, index) for location in locations]
        call = Call(row, params, operands, self._loaded.memory.address + SCRATCH_AT)
        chosen = choose(call, families()[row.family].ways(call, self._device), self._device)
        if len(chosen) == 1:
            if len(self._loaded.tiles) >= _MOST_TILES:
                self._loaded.tiles.clear()  # of programs and sizes that may be long gone
            self._loaded.tiles[symbol, params] = chosen[0].tile
        return chosen

    def address(self, location: Location, step: int = 0) -> int:
        """Where on the device a location lies, for this step; 0 where there is nothing."""
        space, index, offset = location
        base = self._loaded.memory.address
        if space == NONE:
            return 0
        if space == CONSTANT:
            return self._loaded.constants[index] + offset
        if space == FAULT:
            return base + self._fault + self._faults[step] * _FAULT_BYTES
        start = {INPUT: self._inputs, OUTPUT: self._outputs, ARENA: [self._arena]}[space][index]
        return base + start + offset


class _Memory:
    """What references read and write."""

    def __init__(self, execution: CudaExecution) -> None:
        self._execution, self._device = execution, execution._device
        self._constants = execution._loaded.plan.constants

    def read(self, location: Location, value: Value) -> Array:
        out = np.empty(value.type.static_shape(), value.dtype)
        space, index, offset = location
        if space == CONSTANT:  # on the host, too
            raw = self._constants[index].reshape(-1).view(np.uint8)[offset : offset + out.nbytes]
            out[...] = raw.view(out.dtype).reshape(out.shape)
        else:
            self._device.read(self._execution.address(location), out)
        return out

    def write(self, location: Location, value: Value, result: Array) -> None:
        self._device.write(self._execution.address(location), np.ascontiguousarray(result))


def _stacked(sizes: list[int]) -> tuple[list[int], int]:
    """Offsets of blocks of these sizes, one behind the other, and the size of all."""
    offsets, total = [], 0
    for size in sizes:
        offsets.append(total)
        total += -(-size // ALIGNMENT) * ALIGNMENT
    return offsets, total
