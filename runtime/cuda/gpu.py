"""An NVIDIA GPU through CuPy, which is imported when a device is opened, not before."""

from __future__ import annotations

import ctypes
import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import DeviceError
from .compile import architecture, compile_kernel
from .device import Buffer, Launch
from .source import Kernel

_STATIC_SHARED_LIMIT = 48 << 10
"""A block gets more shared memory than this only where the kernel's attribute allows it."""


@dataclass(frozen=True)
class GpuBuffer:
    memory: Any
    size: int

    @property
    def address(self) -> int:
        return int(self.memory.ptr)


class GpuDevice:
    """The GPU of this index. Work is queued on CuPy's current stream of the calling thread.

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
        self.name: str = properties["name"].decode()
        self.arch = architecture(properties["major"], properties["minor"])
        self.is_hopper = self.arch == "sm_90a"
        self.multiprocessors = int(properties["multiProcessorCount"])
        self.shared_bytes = int(properties["sharedMemPerBlockOptin"])
        self._device = self.cupy.cuda.Device(index)
        self._functions: dict[tuple[Kernel, int], Any] = {}

    def upload(self, array: npt.NDArray[Any]) -> GpuBuffer:
        source = np.ascontiguousarray(array)
        buffer = self.allocate(source.nbytes)
        if source.nbytes:
            buffer.memory.copy_from_host(source.ctypes.data, source.nbytes)
        return buffer

    def allocate(self, size: int) -> GpuBuffer:
        with self._device:
            return GpuBuffer(self.cupy.cuda.alloc(max(size, 1)), size)

    def download(self, buffer: GpuBuffer, shape: Sequence[int], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """Waits for all work of the device, then copies."""
        out = np.empty(shape, dtype)
        self._device.synchronize()
        if out.nbytes:
            buffer.memory.copy_to_host(out.ctypes.data, out.nbytes)
        return out

    def launch(self, launch: Launch) -> None:
        function = self._function(launch.kernel, launch.shared_bytes)
        with self._device:
            function(launch.grid, (launch.threads, 1, 1), (launch.params,), shared_mem=launch.shared_bytes)

    def tensor_map(self, buffer: Buffer, columns: int, rows: int, pitch: int, tile_rows: int) -> npt.NDArray[np.uint64]:
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
            ctypes.c_void_p(buffer.address),
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
