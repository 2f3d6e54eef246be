"""An NVIDIA GPU through CuPy, which is imported when a device is opened, not before."""

from __future__ import annotations

import ctypes
import importlib
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import DeviceError
from ..execution import Peaks
from .compile import architecture, compile_kernel, nvrtc
from .device import Launch
from .source import Kernel
from .tensor_maps import MatrixMap, PixelMap

_STAGED_BYTES = 8 << 20
"""Pinned memory for copies from the host, and as much for those to it."""
_STATIC_SHARED_LIMIT = 48 << 10
"""A block gets more shared memory than this only where the kernel's attribute allows it."""


_FLOAT_OPERATIONS = {(8, 0): 128, (8, 6): 256, (8, 9): 256, (9, 0): 256, (12, 0): 256}
_BYTE_OPERATIONS = {(8, 0): 4096, (8, 6): 2048, (8, 9): 2048, (9, 0): 8192, (12, 0): 2048}
_TF32_OPERATIONS = {(8, 0): 1024, (8, 6): 512, (8, 9): 512, (9, 0): 2048, (12, 0): 256}
"""Multiplications and additions of float32, and of bytes and in TF32 in dense matrix products, of a multiprocessor in a
clock, by compute capability: CUDA C++ Programming Guide, "Arithmetic Instructions"; the vendor's rates of A100, A40,
L40S, H100 and RTX 5090 over multiprocessors and clock (GeForce of 8.6 and 8.9 has half of TF32)."""


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
    """The GPU of this index, and a stream of its own on which all work is queued, whatever thread asks for it.

    Raises DeviceError where CuPy, a driver, or the GPU is missing, or where the GPU is too old.
    """

    def __init__(self, index: int = 0) -> None:
        try:
            self.cupy: Any = importlib.import_module("cupy")
        except ImportError as error:
            raise DeviceError(f"CuPy cannot be imported ({error}): pip install cupy-cuda13x") from error
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
        nvrtc()
        self._device = self.cupy.cuda.Device(index)
        with self._device:
            self._stream = self.cupy.cuda.Stream(non_blocking=True)
            self._recorder = self.cupy.cuda.Stream(non_blocking=True)  # others may touch the first one meanwhile
        self.stream = int(self._stream.ptr)
        self._lock = threading.RLock()
        self._functions: dict[Kernel, Any] = {}
        self._shared_limits: dict[Kernel, int] = {}
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
        tf32 = clocks * _TF32_OPERATIONS.get(self._capability, 0)
        return Peaks(floats, whole, read, 0.0, 0, f"of {self.name} by its clocks, not measured", tf32)

    @contextmanager
    def _working(self) -> Iterator[None]:
        """This thread alone uses the stream and the staging memory; what fails is a DeviceError."""
        cuda = self.cupy.cuda
        with self._lock, self._device:
            try:
                yield
            except cuda.memory.OutOfMemoryError as error:
                raise DeviceError(f"{self.name} has too little memory: {error}") from error
            except (cuda.runtime.CUDARuntimeError, cuda.driver.CUDADriverError) as error:
                raise DeviceError(f"{self.name}: {error}") from error

    def allocate(self, size: int) -> GpuBuffer:
        """Memory of its own, not of CuPy's pool, which would keep it."""
        with self._working():
            memory = self.cupy.cuda.Memory(max(size, 1))
            return GpuBuffer(self.cupy.cuda.MemoryPointer(memory, 0), size)

    def write(self, address: int, array: npt.NDArray[Any]) -> None:
        source = array.reshape(-1).view(np.uint8)
        with self._working():
            for start in range(0, source.size, _STAGED_BYTES):
                part = source[start : start + _STAGED_BYTES]
                staged = self._staged("write", part.size)
                self._stream.synchronize()  # what was written before has left the staging memory
                staged[:] = part
                self._copy(address + start, staged.ctypes.data, part.size, self._runtime.memcpyHostToDevice)

    def read(self, address: int, out: npt.NDArray[Any]) -> None:
        target = out.reshape(-1).view(np.uint8)
        with self._working():
            for start in range(0, target.size, _STAGED_BYTES):
                part = target[start : start + _STAGED_BYTES]
                staged = self._staged("read", part.size)
                self._copy(staged.ctypes.data, address + start, part.size, self._runtime.memcpyDeviceToHost)
                self._stream.synchronize()
                part[:] = staged

    def synchronize(self) -> None:
        with self._working():
            self._stream.synchronize()

    def mark(self) -> Callable[[], None]:
        with self._working():
            event = self._stream.record()

        def wait() -> None:
            with self._working():
                event.synchronize()

        return wait

    def copy(self, target: int, source: int, size: int) -> None:
        if size:
            with self._working():
                self._copy(target, source, size, self._runtime.memcpyDefault)

    def pooled(self, size: int) -> GpuBuffer:
        with self._working(), self._stream:
            return GpuBuffer(self.cupy.cuda.alloc(max(size, 1)), size)

    def wait_for(self, stream: int) -> None:
        with self._working():
            self._stream.wait_event(self.cupy.cuda.ExternalStream(stream).record())

    def adopt(self, value: Any) -> Any:
        with self._working(), self._stream:
            return self.cupy.from_dlpack(value)

    def foreign(self, array: Any) -> Any:
        with self._working():
            return self.cupy.asarray(array)

    def launch(self, launch: Launch) -> None:
        with self._working():
            self._queue(launch, self._stream)

    def prepare(self, launches: Sequence[Launch]) -> Callable[[], None]:
        """A CUDA graph of the launches."""
        if not launches:
            return lambda: None
        with self._working():
            for launch in launches:  # modules are loaded before, which a capture does not allow
                self._function(launch)
            self._recorder.begin_capture()
            try:
                for launch in launches:
                    self._queue(launch, self._recorder)
            finally:
                graph = self._recorder.end_capture()
            graph.upload(self._stream)

        def run() -> None:
            with self._working():
                graph.launch(self._stream)

        return run

    def timed(self, launches: Sequence[Launch], repeats: int = 0) -> int:
        """By events around a graph, so that what the host does between launches does not count."""
        event = self.cupy.cuda.Event
        run = self.prepare(list(launches) * (repeats or 1))
        if repeats:
            run()
        with self._working():
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

    def tensor_map(self, layout: MatrixMap | PixelMap) -> npt.NDArray[np.uint64]:
        """Raises DeviceError where the driver refuses the layout."""
        name = "cuTensorMapEncodeTiled" if isinstance(layout, MatrixMap) else "cuTensorMapEncodeIm2col"
        try:
            encode = getattr(ctypes.CDLL("libcuda.so.1"), name)
        except (OSError, AttributeError) as error:
            raise DeviceError(f"the driver has no tensor maps: {error}") from error
        storage = np.zeros(24, np.uint64)
        out = storage[-storage.ctypes.data % 64 // 8 :][:16]
        with self._working():
            status = encode(out.ctypes.data_as(ctypes.c_void_p), *encoding(layout))
        if status:
            raise DeviceError(f"{name} of {layout}: error {status}")
        return out

    def _queue(self, launch: Launch, stream: Any) -> None:
        function = self._function(launch)
        with stream:
            function(launch.grid, (launch.threads, 1, 1), (launch.params,), shared_mem=launch.shared_bytes)

    def _function(self, launch: Launch) -> Any:
        """The kernel, loaded, and allowed as much shared memory as any of its launches has needed so far: CuPy keeps
        one function for all who load the same file."""
        kernel = launch.kernel
        if kernel not in self._functions:
            module = self.cupy.RawModule(path=str(compile_kernel(kernel, self.arch)))
            self._functions[kernel] = module.get_function(kernel.name)
        if launch.shared_bytes > self._shared_limits.get(kernel, _STATIC_SHARED_LIMIT):
            self._functions[kernel].max_dynamic_shared_size_bytes = launch.shared_bytes
            self._shared_limits[kernel] = launch.shared_bytes
        return self._functions[kernel]


def encoding(layout: MatrixMap | PixelMap) -> list[Any]:
    """What the driver's functions take after the tensor map; axes are innermost first."""
    u8, tf32, no_interleave, promote_128, zeros = 0, 11, 0, 2, 0
    kind, element = u8 if layout.element == 1 else tf32, layout.element
    address = ctypes.c_void_p(layout.address)
    if isinstance(layout, MatrixMap):
        width = layout.tile_columns
        axes = [_u64(layout.columns // element, layout.rows), _u64(layout.pitch)]
        tile = [_u32(width // element, layout.tile_rows), _u32(1, 1)]
    else:
        width, sizes = layout.tile_channels, (layout.channels // element, *layout.size, layout.images)
        axes = [_u64(*sizes), _u64(layout.pixel, layout.row, layout.image)]
        corners = [(ctypes.c_int * 2)(*corner) for corner in (layout.lower, layout.upper)]
        counts = [ctypes.c_uint32(width // element), ctypes.c_uint32(layout.tile_pixels)]
        tile = [*corners, *counts, _u32(1, *layout.steps, 1)]
    swizzle = {32: 1, 64: 2, 128: 3}[width]
    return [kind, len(axes[0]), address, *axes, *tile, no_interleave, swizzle, promote_128, zeros]


def _u64(*values: int) -> Any:
    return (ctypes.c_uint64 * len(values))(*values)


def _u32(*values: int) -> Any:
    return (ctypes.c_uint32 * len(values))(*values)
