"""An NVIDIA GPU through CuPy, which is imported when a device is opened, not before."""

from __future__ import annotations

import ctypes
import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import DeviceError
from ..execution import Peaks
from .compile import architecture, compile_kernel
from .device import Buffer, Launch
from .source import Kernel

_STATIC_SHARED_LIMIT = 48 << 10
"""A block gets more shared memory than this only where the kernel's attribute allows it."""


_FLOAT_OPERATIONS = {(8, 0): 128, (8, 6): 256, (8, 9): 256, (9, 0): 256, (12, 0): 256}
_BYTE_OPERATIONS = {(8, 0): 4096, (8, 6): 2048, (8, 9): 2048, (9, 0): 8192, (12, 0): 2048}
"""Multiplications and additions of float32, and of bytes in dense matrix products, of a multiprocessor in a clock, by
compute capability: CUDA C++ Programming Guide, "Arithmetic Instructions"; the vendor's rates of A100, A40, RTX 4090,
H100 and RTX 5090 over multiprocessors and clock."""


def device_names() -> list[str]:
    """The GPUs of this machine; none where CuPy or a driver is missing."""
    try:
        runtime = importlib.import_module("cupy").cuda.runtime
        count = runtime.getDeviceCount()
    except (ImportError, RuntimeError):  # CuPy's errors of the driver are RuntimeErrors
        return []
    return [runtime.getDeviceProperties(index)["name"].decode() for index in range(count)]


@dataclass(frozen=True)
class GpuBuffer:
    memory: Any
    size: int

    @property
    def address(self) -> int:
        return int(self.memory.ptr)


class GpuDevice:
    """The GPU of this index, and a stream of its own on which all work is queued, whatever thread asks for it. Callers
    take turns: the stream's captures and its staging memory are not for two at once.

    Raises DeviceError where CuPy, a driver, or the GPU is missing, or where the GPU is too old.
    """

    def __init__(self, index: int = 0) -> None:
        try:
            self.cupy: Any = importlib.import_module("cupy")
        except ImportError as error:
            raise DeviceError("CuPy is not installed: pip install cupy-cuda13x") from error
        runtime = self.cupy.cuda.runtime
        try:
            count = runtime.getDeviceCount()
        except runtime.CUDARuntimeError as error:
            raise DeviceError(f"no CUDA device: {error}") from error
        if not 0 <= index < count:
            raise DeviceError(f"CUDA device {index}: there are {count}")
        properties = runtime.getDeviceProperties(index)
        self.tells_time = True
        self.name: str = properties["name"].decode()
        self.arch = architecture(properties["major"], properties["minor"])
        self.is_hopper = self.arch == "sm_90a"
        self.multiprocessors = int(properties["multiProcessorCount"])
        self.shared_bytes = int(properties["sharedMemPerBlockOptin"])
        self._capability = int(properties["major"]), int(properties["minor"])
        self._runtime = runtime
        self._device = self.cupy.cuda.Device(index)
        with self._device:
            self._stream = self.cupy.cuda.Stream(non_blocking=True)
        self.stream = int(self._stream.ptr)
        self._functions: dict[tuple[Kernel, int], Any] = {}
        self._staging: dict[str, npt.NDArray[np.uint8]] = {}

    def peaks(self) -> Peaks:
        """From the GPU's clocks and widths as its driver names them, not measured."""
        clock_rate, memory_clock_rate, bus_width = 13, 36, 37  # cudaDeviceAttr

        def attribute(number: int) -> int:
            return int(self._runtime.deviceGetAttribute(number, self._device.id))

        clocks = attribute(clock_rate) * 1e3 * self.multiprocessors
        read = 2 * attribute(memory_clock_rate) * 1e3 * attribute(bus_width) / 8
        floats = clocks * _FLOAT_OPERATIONS.get(self._capability, 0)
        whole = clocks * _BYTE_OPERATIONS.get(self._capability, 0)
        return Peaks(floats, whole, read, 0.0, 0, f"of {self.name} by its clocks, not measured")

    def allocate(self, size: int) -> GpuBuffer:
        """Memory of its own, not of CuPy's pool, which would keep it."""
        with self._device:
            memory = self.cupy.cuda.Memory(max(size, 1))
            return GpuBuffer(self.cupy.cuda.MemoryPointer(memory, 0), size)

    def write(self, address: int, array: npt.NDArray[Any]) -> None:
        if array.nbytes:
            with self._device:
                staged = self._staged("write", array.nbytes)
                self._stream.synchronize()  # what was written before has left the staging memory
                staged[:] = array.reshape(-1).view(np.uint8)
                self._copy(address, staged.ctypes.data, array.nbytes, self._runtime.memcpyHostToDevice)

    def read(self, address: int, out: npt.NDArray[Any]) -> None:
        with self._device:
            if out.nbytes:
                staged = self._staged("read", out.nbytes)
                self._copy(staged.ctypes.data, address, out.nbytes, self._runtime.memcpyDeviceToHost)
            self._stream.synchronize()
            if out.nbytes:
                out.reshape(-1).view(np.uint8)[:] = staged

    def copy(self, target: int, source: int, size: int) -> None:
        if size:
            with self._device:
                self._copy(target, source, size, self._runtime.memcpyDefault)

    def pooled(self, size: int) -> GpuBuffer:
        with self._device, self._stream:
            return GpuBuffer(self.cupy.cuda.alloc(max(size, 1)), size)

    def wait_for(self, stream: int) -> None:
        with self._device:
            other = self.cupy.cuda.ExternalStream(stream)
            self._stream.wait_event(other.record())

    def adopt(self, value: Any) -> Any:
        with self._device:
            return self.cupy.from_dlpack(value)

    def foreign(self, array: Any) -> Any:
        with self._device:
            return self.cupy.asarray(array)

    def upload(self, array: npt.NDArray[Any]) -> GpuBuffer:
        source = np.ascontiguousarray(array)
        buffer = self.allocate(source.nbytes)
        self.write(buffer.address, source)
        return buffer

    def download(self, buffer: Buffer, shape: Sequence[int], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        out = np.empty(shape, dtype)
        self.read(buffer.address, out)
        return out

    def launch(self, launch: Launch) -> None:
        function = self._function(launch.kernel, launch.shared_bytes)
        with self._device, self._stream:
            function(launch.grid, (launch.threads, 1, 1), (launch.params,), shared_mem=launch.shared_bytes)

    def prepare(self, launches: Sequence[Launch]) -> Callable[[], None]:
        """A CUDA graph of the launches."""
        if not launches:
            return lambda: None
        for launch in launches:  # modules are loaded before, which a capture does not allow
            self._function(launch.kernel, launch.shared_bytes)
        with self._device, self._stream:
            self._stream.begin_capture()
            try:
                for launch in launches:
                    self.launch(launch)
            finally:
                graph = self._stream.end_capture()
            graph.upload(self._stream)
        kept = list(launches)  # whose memory the graph uses

        def run() -> None:
            assert kept
            with self._device:
                graph.launch(self._stream)

        return run

    def timed(self, launches: Sequence[Launch], repeats: int = 0) -> int:
        """By events around a graph, so that what the host does between launches does not count."""
        event = self.cupy.cuda.Event
        run = self.prepare(list(launches) * (repeats or 1))
        if repeats:
            run()
        with self._device:
            start, end = event(), event()
            start.record(self._stream)
            run()
            end.record(self._stream)
            end.synchronize()
            return int(self.cupy.cuda.get_elapsed_time(start, end) * 1e6) // (repeats or 1)

    def _copy(self, target: int, source: int, size: int, kind: int) -> None:
        self._runtime.memcpyAsync(target, source, size, kind, self._stream.ptr)

    def _staged(self, use: str, size: int) -> npt.NDArray[np.uint8]:
        """Pinned memory of the host, from which and to which copies run by themselves."""
        held = self._staging.get(use)
        if held is None or held.nbytes < size:
            if held is not None:
                self._stream.synchronize()
            memory = self.cupy.cuda.alloc_pinned_memory(size)
            held = self._staging[use] = np.frombuffer(memory, np.uint8, size)
        return held[:size]

    def tensor_map(self, address: int, columns: int, rows: int, pitch: int, tile_rows: int) -> npt.NDArray[np.uint64]:
        """Raises DeviceError where the driver refuses the layout."""
        try:
            encode = ctypes.CDLL("libcuda.so.1").cuTensorMapEncodeTiled
        except (OSError, AttributeError) as error:
            raise DeviceError(f"the driver has no tensor maps: {error}") from error
        u8, no_interleave, swizzle_128, promote_128, zeros = 0, 0, 3, 2, 0
        storage = np.zeros(24, np.uint64)
        out = storage[-storage.ctypes.data % 64 // 8 :][:16]
        status = encode(
            out.ctypes.data_as(ctypes.c_void_p),
            u8,
            2,
            ctypes.c_void_p(address),
            (ctypes.c_uint64 * 2)(columns, rows),
            (ctypes.c_uint64 * 1)(pitch),
            (ctypes.c_uint32 * 2)(128, tile_rows),
            (ctypes.c_uint32 * 2)(1, 1),
            no_interleave,
            swizzle_128,
            promote_128,
            zeros,
        )
        if status:
            raise DeviceError(f"cuTensorMapEncodeTiled of {rows} rows of {columns} bytes: error {status}")
        return out

    def _function(self, kernel: Kernel, shared_bytes: int) -> Any:
        key = (kernel, shared_bytes)
        if key not in self._functions:
            with self._device:
                module = self.cupy.RawModule(path=str(compile_kernel(kernel, self.arch)))
                function = module.get_function(kernel.name)
                if shared_bytes > _STATIC_SHARED_LIMIT:
                    function.max_dynamic_shared_size_bytes = shared_bytes
            self._functions[key] = function
        return self._functions[key]
