"""CUDA C++ to cubins through NVRTC, which needs neither a GPU nor a driver nor the CUDA toolkit."""

from __future__ import annotations

import ctypes
import importlib.util
import re
from ctypes.util import find_library
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ..errors import DeviceError
from .cache import cached
from .source import Kernel

ARCHITECTURES = ("sm_80", "sm_86", "sm_89", "sm_90a", "sm_120")
"""What kernels are compiled and checked for."""

_ABSENT = ("cstddef", "cstdint")
"""Headers that NVRTC lacks; device.cuh has what kernels need of them."""

_USAGE = re.compile(r"Used (\d+) registers")
_SPILLS = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")


@dataclass(frozen=True)
class Resources:
    """What the assembler says of a kernel: registers of a thread, bytes of its stack frame and of its spills."""

    registers: int
    stack: int
    spills: int


def architecture(major: int, minor: int) -> str:
    """The target for a device of this compute capability. Raises DeviceError where the kernels cannot run on it."""
    if (major, minor) < (8, 0):
        raise DeviceError(f"compute capability {major}.{minor}: the kernels need 8.0 or later")
    return "sm_90a" if (major, minor) == (9, 0) else f"sm_{major}{minor}"


class Nvrtc:
    """NVIDIA's run-time compiler. Raises DeviceError where it is not installed."""

    def __init__(self) -> None:
        path = _find_nvrtc()
        if path is None:
            raise DeviceError("NVRTC is not installed: pip install nvidia-cuda-nvrtc")
        try:
            for builtins in sorted(path.parent.glob("libnvrtc-builtins.so.*")):
                if ".alt." not in builtins.name:
                    ctypes.CDLL(str(builtins), mode=ctypes.RTLD_GLOBAL)
            self._library = ctypes.CDLL(str(path))
        except OSError as error:
            raise DeviceError(f"NVRTC cannot be loaded: {error}") from error
        self._library.nvrtcGetErrorString.restype = ctypes.c_char_p
        major, minor = ctypes.c_int(), ctypes.c_int()
        self._check(self._library.nvrtcVersion(ctypes.byref(major), ctypes.byref(minor)))
        self.version = (major.value, minor.value)

    def compile(self, kernel: Kernel, arch: str) -> tuple[bytes, str]:
        """The cubin and the compiler's log. Raises DeviceError with the log where the source does not compile."""
        program = ctypes.c_void_p()
        names = (ctypes.c_char_p * len(_ABSENT))(*(name.encode() for name in _ABSENT))
        texts = (ctypes.c_char_p * len(_ABSENT))(*(b"" for _ in _ABSENT))
        name = f"{kernel.name}.cu".encode()
        self._check(
            self._library.nvrtcCreateProgram(
                ctypes.byref(program), kernel.source.encode(), name, len(_ABSENT), texts, names
            )
        )
        try:
            options = [option.encode() for option in _options(kernel, arch)]
            status = self._library.nvrtcCompileProgram(
                program, len(options), (ctypes.c_char_p * len(options))(*options)
            )
            log = self._read(program, "ProgramLog").rstrip(b"\0").decode()
            if status:
                raise DeviceError(f"{kernel.name} does not compile for {arch}: {log.strip()}")
            return self._read(program, "CUBIN"), log
        finally:
            self._library.nvrtcDestroyProgram(ctypes.byref(program))

    def _read(self, program: ctypes.c_void_p, what: str) -> bytes:
        size = ctypes.c_size_t()
        self._check(getattr(self._library, f"nvrtcGet{what}Size")(program, ctypes.byref(size)))
        buffer = ctypes.create_string_buffer(size.value)
        self._check(getattr(self._library, f"nvrtcGet{what}")(program, buffer))
        return buffer.raw

    def _check(self, status: int) -> None:
        if status:
            raise DeviceError(f"NVRTC: {self._library.nvrtcGetErrorString(status).decode()}")


@cache
def nvrtc() -> Nvrtc:
    """The process's NVRTC. Raises DeviceError where it is not installed."""
    return Nvrtc()


def compile_kernel(kernel: Kernel, arch: str) -> Path:
    """The file of the kernel's cubin, compiled unless the cache has it. Raises DeviceError."""
    compiler = nvrtc()
    key = ["cubin", *map(str, compiler.version), kernel.source, *_options(kernel, arch)]
    return cached(key, ".cubin", lambda: compiler.compile(kernel, arch)[0])


def resources(log: str) -> Resources:
    """What the log of a compilation of one kernel says that the kernel uses."""
    usage, spills = _USAGE.search(log), _SPILLS.search(log)
    if usage is None or spills is None:
        raise LookupError("the compiler's log has no resource report")
    return Resources(int(usage[1]), int(spills[1]), int(spills[2]) + int(spills[3]))


def _options(kernel: Kernel, arch: str) -> list[str]:
    arithmetic = ["--fmad=false", "--ftz=true"]
    dialect = ["-std=c++20", "--device-as-default-execution-space", "--device-int128", "--diag-suppress=177"]  # unused
    return [f"-arch={arch}", *dialect, *arithmetic, "--ptxas-options=-v", *kernel.macros]


def _find_nvrtc() -> Path | None:
    """NVRTC of the NVIDIA wheels, newest first, else the system's."""
    spec = importlib.util.find_spec("nvidia")
    folders = [Path(folder) for folder in (spec.submodule_search_locations or [])] if spec else []
    found = [path for folder in folders for path in folder.glob("*/lib/libnvrtc.so.*") if ".alt." not in path.name]
    if found:
        return max(found, key=lambda path: [int(part) for part in re.findall(r"\d+", path.name)])
    name = find_library("nvrtc")
    return Path(name) if name else None
