"""The kernels on the CPU, for tests: each variant compiled by g++ against the emulator, launched thread by thread."""

from __future__ import annotations

import ctypes
import platform
import shutil
import subprocess
import tempfile
import time
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import DeviceError
from ..execution import Peaks
from .cache import cached
from .device import ALIGNMENT, Launch
from .source import Kernel, read_source
from .tensor_maps import MatrixMap, PixelMap

_POISON = 0xCD
_HEADERS = ("emulator.h", "emulated.h", "hopper_emulated.h")
_FLAGS = (
    "-std=c++20", "-O1", "-march=x86-64-v3", "-fPIC", "-ffp-contract=off", "-fno-math-errno",
    "-fno-strict-aliasing", "-DRUSHLIGHT_EMULATED",
)  # fmt: skip


def compiler() -> str:
    """The C++ compiler. Raises DeviceError where there is none, or where the emulator's fibers are not at home."""
    path = shutil.which("g++")
    if path is None or platform.machine() != "x86_64" or platform.system() != "Linux":
        raise DeviceError("the emulated device needs g++ on Linux x86-64")
    return path


def build(kernel: Kernel, flags: Sequence[str] = ()) -> Path:
    """The kernel as a shared library. Raises DeviceError."""
    text = "".join(f"#define {name} {value}\n" for name, value in kernel.defines) + kernel.source

    def make() -> bytes:
        return _compile(f"{kernel.name}.cc", text, (*flags, "-include", str(_prelude(flags)), "-shared"))

    return cached(_key(text, flags), ".so", make)


def _prelude(flags: Sequence[str]) -> Path:
    """A header that includes the emulator, and beside it what g++ made of that ahead: most of what a variant takes to
    compile."""
    text, options = '#include "emulated.h"\n', (*flags, "-x", "c++-header")
    key = _key(text, options)
    cached(key, ".h.gch", lambda: _compile("prelude.h", text, options))
    return cached(key, ".h", text.encode)


def _compile(name: str, text: str, options: Sequence[str]) -> bytes:
    with as_file(files(__package__) / "kernels") as folder, tempfile.TemporaryDirectory() as scratch:
        source, out = Path(scratch, name), Path(scratch, "out")
        source.write_text(text)
        done = subprocess.run(
            [compiler(), *_FLAGS, *options, "-I", str(folder), str(source), "-o", str(out)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise DeviceError(f"{name} does not compile for the emulated device: {done.stderr.strip()}")
        return out.read_bytes()


def _key(text: str, options: Sequence[str]) -> list[str]:
    try:
        headers = [read_source(header) for header in _HEADERS]
    except FileNotFoundError as error:
        raise DeviceError("the emulated device is for development: wheels lack its headers") from error
    return ["emulated", _version(), *_FLAGS, *options, text, *headers]


@cache
def _version() -> str:
    return subprocess.run([compiler(), "--version"], capture_output=True, text=True, check=True).stdout


class HostBuffer:
    """Host memory of its own allocation, so that AddressSanitizer sees what reads past `size`."""

    def __init__(self, size: int) -> None:
        libc, pointer = ctypes.CDLL(None), ctypes.c_void_p()
        if libc.posix_memalign(ctypes.byref(pointer), ctypes.c_size_t(ALIGNMENT), ctypes.c_size_t(max(size, 1))):
            raise MemoryError(f"{size} bytes for the emulated device")
        weakref.finalize(self, libc.free, pointer)
        self.size = size
        self.address = pointer.value or 0
        self.bytes = np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(self.address))
        self.bytes.fill(_POISON)


@dataclass(frozen=True)
class EmulatedDevice:
    """`seed` orders the warps (0: in order). `eager` says which asynchronous work happens at its earliest moment, the
    rest at its latest: 1 copies, 2 products of warp groups, 3 both."""

    seed: int = 0
    eager: int = 0
    flags: tuple[str, ...] = ()
    multiprocessors: int = 4
    shared_bytes: int = 227 << 10
    is_hopper: bool = False

    name = "emulated"
    arch = "emulated"
    tells_time = False
    stream = None

    def peaks(self) -> Peaks:
        return Peaks(0, 0, 0, 0, 0, "not known: the device is emulated")

    def write(self, address: int, array: npt.NDArray[Any]) -> None:
        ctypes.memmove(address, array.ctypes.data, array.nbytes)

    def read(self, address: int, out: npt.NDArray[Any]) -> None:
        ctypes.memmove(out.ctypes.data, address, out.nbytes)

    def synchronize(self) -> None:
        """What is queued has been done."""

    def mark(self) -> Callable[[], None]:
        return self.synchronize

    def copy(self, target: int, source: int, size: int) -> None:
        ctypes.memmove(target, source, size)

    def pooled(self, size: int) -> HostBuffer:
        return self.allocate(size)

    def wait_for(self, stream: int) -> None:
        """What others queue has been done."""

    def adopt(self, value: Any) -> Any:
        raise DeviceError("the emulated device has no DLPack")

    def foreign(self, array: Any) -> Any:
        raise DeviceError("the emulated device has no DLPack")

    def prepare(self, launches: Sequence[Launch]) -> Callable[[], None]:
        for launch in launches:
            build(launch.kernel, self.flags)

        def run() -> None:
            for launch in launches:
                self.launch(launch)

        return run

    def timed(self, launches: Sequence[Launch], repeats: int = 0) -> int:
        run = self.prepare(launches)
        if repeats:
            run()
        start = time.perf_counter_ns()
        for _ in range(repeats or 1):
            run()
        return (time.perf_counter_ns() - start) // (repeats or 1)

    def allocate(self, size: int) -> HostBuffer:
        return HostBuffer(size)

    def tensor_map(self, layout: MatrixMap | PixelMap) -> npt.NDArray[np.uint64]:
        """As hopper_emulated.h reads it."""
        if not layout.is_encodable:
            raise DeviceError(f"a driver makes no tensor map of {layout}")
        fields: tuple[int, ...]
        if isinstance(layout, MatrixMap):
            tile = layout.element << 32 | layout.tile_columns
            fields = (layout.address, layout.columns, layout.rows, layout.pitch, tile, layout.tile_rows)
        else:
            tile = layout.element << 32 | layout.tile_channels
            fields = (
                layout.address, layout.channels, *layout.size, layout.images, layout.pixel, layout.row, layout.image,
                *layout.lower, *layout.upper, tile, layout.tile_pixels, *layout.steps,
            )  # fmt: skip
        return np.array(fields + (0,) * (16 - len(fields)), np.int64).view(np.uint64)

    def launch(self, launch: Launch) -> None:
        """Raises DeviceError with the emulator's finding: a deadlock, an access outside of shared memory ..."""
        run = getattr(ctypes.CDLL(str(build(launch.kernel, self.flags))), f"emulate_{launch.kernel.name}")
        message = ctypes.create_string_buffer(256)
        if run(
            (ctypes.c_uint * 3)(*launch.grid),
            ctypes.c_uint(launch.threads),
            ctypes.c_size_t(launch.shared_bytes),
            ctypes.c_uint(self.seed),
            ctypes.c_uint(self.eager),
            launch.params.ctypes.data_as(ctypes.c_void_p),
            message,
            ctypes.c_size_t(len(message)),
        ):
            raise DeviceError(f"{launch.kernel.name}: {message.value.decode()}")
