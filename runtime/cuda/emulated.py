"""The kernels on the CPU, for tests: each variant compiled by g++ against the emulator, launched thread by thread."""

from __future__ import annotations

import ctypes
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import DeviceError
from .cache import cached
from .device import Launch
from .source import Kernel, read_source

_ALIGNMENT = 256
_HEADERS = ("emulator.h", "emulated.h", "hopper_emulated.h")
_FLAGS = ("-std=c++20", "-O2", "-fPIC", "-shared", "-ffp-contract=off", "-DRUSHLIGHT_EMULATED")


def compiler() -> str:
    """The C++ compiler. Raises DeviceError where there is none, or where the emulator's fibers are not at home."""
    path = shutil.which("g++")
    if path is None or platform.machine() != "x86_64" or platform.system() != "Linux":
        raise DeviceError("the emulated device needs g++ on Linux x86-64")
    return path


def build(kernel: Kernel, flags: Sequence[str] = ()) -> Path:
    """The kernel as a shared library. Raises DeviceError."""
    command = [compiler(), *_FLAGS, *flags, *kernel.macros]

    def make() -> bytes:
        with as_file(files(__package__) / "kernels") as folder, tempfile.TemporaryDirectory() as scratch:
            out = Path(scratch, "kernel.so")
            done = subprocess.run(
                [*command, "-x", "c++", str(folder / f"{kernel.name}.cu"), "-o", str(out)],
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                raise DeviceError(f"{kernel.name} does not compile for the emulated device: {done.stderr.strip()}")
            return out.read_bytes()

    return cached(["emulated", _version(), *command, kernel.source, *map(read_source, _HEADERS)], ".so", make)


@lru_cache(maxsize=None)
def _version() -> str:
    return subprocess.run([compiler(), "--version"], capture_output=True, text=True, check=True).stdout


class HostBuffer:
    """Host memory that ends right at `size`, so that checkers see what reads past it."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._storage = np.full(size + _ALIGNMENT, 0xCD, np.uint8)
        skip = -self._storage.ctypes.data % _ALIGNMENT
        self.bytes = self._storage[skip : skip + size]

    @property
    def address(self) -> int:
        return int(self.bytes.ctypes.data)


@dataclass(frozen=True)
class EmulatedDevice:
    """`seed` orders the warps (0: in order), `eager` moves asynchronous work to its earliest moment, else its latest."""

    seed: int = 0
    eager: bool = False
    flags: tuple[str, ...] = ()
    multiprocessors: int = 4
    shared_bytes: int = 227 << 10
    is_hopper: bool = False

    def upload(self, array: npt.NDArray[Any]) -> HostBuffer:
        buffer = self.allocate(array.nbytes)
        buffer.bytes[:] = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        return buffer

    def allocate(self, size: int) -> HostBuffer:
        return HostBuffer(size)

    def download(self, buffer: HostBuffer, shape: Sequence[int], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        return buffer.bytes.view(dtype).reshape(shape).copy()

    def tensor_map(
        self, buffer: HostBuffer, columns: int, rows: int, pitch: int, tile_rows: int
    ) -> npt.NDArray[np.uint64]:
        fields = (buffer.address, columns, rows, pitch, 128, tile_rows)
        return np.array(fields + (0,) * (16 - len(fields)), np.uint64)

    def launch(self, launch: Launch) -> None:
        """Raises DeviceError with the emulator's finding: a deadlock, an access outside of shared memory ..."""
        run = getattr(ctypes.CDLL(str(build(launch.kernel, self.flags))), f"emulate_{launch.kernel.name}")
        message = ctypes.create_string_buffer(256)
        if run(
            (ctypes.c_uint * 3)(*launch.grid),
            ctypes.c_uint(launch.threads),
            ctypes.c_size_t(launch.shared_bytes),
            ctypes.c_uint(self.seed),
            ctypes.c_int(self.eager),
            launch.params.ctypes.data_as(ctypes.c_void_p),
            message,
            ctypes.c_size_t(len(message)),
        ):
            raise DeviceError(f"{launch.kernel.name}: {message.value.decode()}")
