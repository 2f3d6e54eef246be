"""Holds engines to AVX2: a preloaded library hides newer instruction sets from what they ask the CPU."""

from __future__ import annotations

import ctypes
import hashlib
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from rushlight.runtime.files import replacing

EAX, EBX, ECX, EDX = range(4)

BEYOND_AVX2: Mapping[str, tuple[int, int, int, int]] = {
    "avx512f": (7, 0, EBX, 16), "avx512dq": (7, 0, EBX, 17), "avx512ifma": (7, 0, EBX, 21), "avx512pf": (7, 0, EBX, 26),
    "avx512er": (7, 0, EBX, 27), "avx512cd": (7, 0, EBX, 28), "avx512bw": (7, 0, EBX, 30), "avx512vl": (7, 0, EBX, 31),
    "avx512vbmi": (7, 0, ECX, 1), "avx512_vbmi2": (7, 0, ECX, 6), "gfni": (7, 0, ECX, 8), "vaes": (7, 0, ECX, 9),
    "vpclmulqdq": (7, 0, ECX, 10), "avx512_vnni": (7, 0, ECX, 11), "avx512_bitalg": (7, 0, ECX, 12),
    "avx512_vpopcntdq": (7, 0, ECX, 14), "avx512_4vnniw": (7, 0, EDX, 2), "avx512_4fmaps": (7, 0, EDX, 3),
    "avx512_vp2intersect": (7, 0, EDX, 8), "amx_bf16": (7, 0, EDX, 22), "avx512_fp16": (7, 0, EDX, 23),
    "amx_tile": (7, 0, EDX, 24), "amx_int8": (7, 0, EDX, 25), "sha512": (7, 1, EAX, 0), "sm3": (7, 1, EAX, 1),
    "sm4": (7, 1, EAX, 2), "avx_vnni": (7, 1, EAX, 4), "avx512_bf16": (7, 1, EAX, 5), "amx_fp16": (7, 1, EAX, 21),
    "avx_ifma": (7, 1, EAX, 23), "avx_vnni_int8": (7, 1, EDX, 4), "avx_ne_convert": (7, 1, EDX, 5),
    "amx_complex": (7, 1, EDX, 8), "avx_vnni_int16": (7, 1, EDX, 10), "avx10": (7, 1, EDX, 19),
}  # fmt: skip
"""Leaf, sub-leaf, register and bit of what a CPU with AVX2 alone lacks, named as in /proc/cpuinfo (Intel SDM, vol. 2A,
CPUID)."""

WITHIN_AVX2: Mapping[str, tuple[int, int, int, int]] = {
    "avx": (1, 0, ECX, 28), "fma": (1, 0, ECX, 12), "f16c": (1, 0, ECX, 29), "avx2": (7, 0, EBX, 5),
}  # fmt: skip

CPUINFO = Path("/proc/cpuinfo")
SOURCE = Path(__file__).with_name("hide.c")


class IsaError(Exception):
    """This machine cannot hide its instruction sets."""


def masks(features: Iterable[tuple[int, int, int, int]]) -> dict[tuple[int, int], list[int]]:
    """Bits to clear in the four registers, by leaf and sub-leaf."""
    found: dict[tuple[int, int], list[int]] = {}
    for leaf, subleaf, register, bit in features:
        found.setdefault((leaf, subleaf), [0, 0, 0, 0])[register] |= 1 << bit
    return found


def hiding_environment(folder: Path) -> dict[str, str]:
    """Variables that hide BEYOND_AVX2 from a new process; the library is compiled into `folder` when it is not there.

    Raises IsaError where the compiler is missing, or kernel or hypervisor do not let CPUID fault.
    """
    rows = ", ".join(
        f"{{{leaf}, {subleaf}, {{{', '.join(f'0x{bits:x}u' for bits in registers)}}}}}"
        for (leaf, subleaf), registers in masks(BEYOND_AVX2.values()).items()
    )
    name = hashlib.sha256(SOURCE.read_bytes() + rows.encode()).hexdigest()[:12]
    library = folder / f"hide-{name}.so"
    if not library.exists():
        with replacing(library) as whole:
            flags = ["-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-Wl,-z,initfirst"]
            _run(["gcc", *flags, f"-DMASKS={rows}", "-o", str(whole), str(SOURCE)])
    environment = {"LD_PRELOAD": str(library.resolve())}
    seen = _run([sys.executable, "-m", "benchmarks.peers.isa"], {**os.environ, **environment}).split()
    left = sorted(set(seen) & set(BEYOND_AVX2))
    if left:
        raise IsaError(f"CPUID still tells of {', '.join(left)}")
    if "avx2" not in seen:
        raise IsaError("this CPU has no AVX2")
    return environment


def _run(command: list[str], environment: Mapping[str, str] | None = None) -> str:
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise IsaError(f"hiding instruction sets needs {command[0]}") from None
    if done.returncode != 0:
        raise IsaError((done.stderr.strip().splitlines() or [f"{command[0]} ended with {done.returncode}"])[-1])
    return done.stdout


def visible_features() -> list[str]:
    """The features of both tables that this process is told of: by CPUID where they are hidden, else by the kernel."""
    every = {**WITHIN_AVX2, **BEYOND_AVX2}
    try:
        call = ctypes.CDLL(None).read_cpuid
    except AttributeError:  # nothing is preloaded
        flags = set(next(line for line in CPUINFO.read_text().splitlines() if line.startswith("flags")).split())
        return [name for name in every if name in flags]
    call.restype = None
    call.argtypes = [ctypes.c_uint32, ctypes.c_uint32, ctypes.POINTER(ctypes.c_uint32 * 4)]
    registers = {}
    for key in masks(every.values()):
        registers[key] = (ctypes.c_uint32 * 4)()
        call(*key, registers[key])
    return [
        name for name, (leaf, subleaf, register, bit) in every.items() if registers[leaf, subleaf][register] >> bit & 1
    ]


if __name__ == "__main__":
    print(*visible_features())
