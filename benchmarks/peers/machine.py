"""The machine that a comparison ran on."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.peers.isa import visible_features
from rushlight.runtime.cpu import _core

RUNS = 3


def describe(threads: Sequence[int]) -> dict[str, Any]:
    """CPU, memory, kernel, and the peaks on so many threads: the best of a few measurements each, GFLOP/s, GOP/s, GB/s
    from memory and from the cache."""
    peaks = {}
    for count in threads:
        runs = [_core.measure_peaks(count) for _ in range(RUNS)]
        names = ("f32_gflops", "int8_gops", "memory_gb_s", "cache_gb_s")
        peaks[str(count)] = {
            name: round(max(column) / 1e9, 1) for name, column in zip(names, zip(*runs, strict=True), strict=True)
        }
    return {
        "cpu": cpu_name(Path("/proc/cpuinfo").read_text()),
        "features": visible_features(),
        "cores": os.cpu_count(),
        "caches": caches(Path("/sys/devices/system/cpu/cpu0/cache")),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "peaks": peaks,
    }


def cpu_name(cpuinfo: str) -> str:
    """Name, family, model and stepping: virtual machines share names."""
    found = dict(re.findall(r"^(model name|cpu family|model|stepping)\s*: (.*)$", cpuinfo, re.MULTILINE))
    numbers = ", ".join(
        f"{key.removeprefix('cpu ')} {found[key]}" for key in ("cpu family", "model", "stepping") if key in found
    )
    return f"{' '.join(found.get('model name', 'unknown').split())} ({numbers})"


def caches(folder: Path) -> str:
    """Sizes of the first core's data caches."""
    found = []
    for index in sorted(folder.glob("index*")):
        if (index / "type").read_text().strip() != "Instruction":
            found.append(f"L{(index / 'level').read_text().strip()} {(index / 'size').read_text().strip()}")
    return ", ".join(found)


def sentences(machine: dict[str, Any]) -> list[str]:
    """The description as text, one line a fact."""
    peaks = [
        f"{count} thread{'s' if count != '1' else ''}: {peak['f32_gflops']:.0f} GFLOP/s float32, "
        f"{peak['int8_gops']:.0f} GOP/s int8, {peak['memory_gb_s']:.1f} GB/s from memory, "
        f"{peak['cache_gb_s']:.0f} GB/s from the cache"
        for count, peak in machine["peaks"].items()
    ]
    return [
        f"CPU: {machine['cpu']}, {machine['cores']} cores, {machine['caches']}",
        f"Instruction sets: {' '.join(machine['features'])}",
        f"Memory: {machine['memory_gb']} GiB; {machine['system']}; Python {machine['python']}",
        *(f"Measured peaks, {peak}" for peak in peaks),
    ]
