"""Load time and memory of a program, plain and packed, and what processes share of a packed file.

    python -m benchmarks.load resnet50.rush [--processes 4] [--runs 10000]

Packs the program for this machine in a temporary folder, then prints, each measured in fresh processes: milliseconds of
the first `rushlight.load` of a process, and the peak of its resident memory after one run; with all processes alive at
once, what /proc/PID/smaps says of the mapped file in each of them; with --runs, the resident memory during that many
runs with changing sizes of the symbolic dimensions.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

import rushlight as rl
from rushlight.cli.arrays import random_inputs
from rushlight.cli.table import format_table
from rushlight.runtime.cpu.backend import best_isa
from rushlight.runtime.model import load
from rushlight.runtime.packing import pack

LARGEST = 12
"""Of the sizes in --runs."""

LOADS = 5
"""Fresh processes whose load time is measured; the table shows the fastest and the slowest."""


def mapped_kilobytes(path: Path, process: int | str = "self") -> dict[str, int]:
    """Sums of the fields of /proc/PID/smaps over the mappings of one file, in KiB."""
    total: dict[str, int] = {}
    inside = False
    for line in Path(f"/proc/{process}/smaps").read_text().splitlines():
        head = line.split(maxsplit=5)
        if "-" in head[0] and not head[0].endswith(":"):
            inside = len(head) > 5 and head[5] == str(path.resolve())
        elif inside and head[-1] == "kB":
            total[head[0][:-1]] = total.get(head[0][:-1], 0) + int(head[1])
    return total


def status_kilobytes(field: str) -> int:
    """A field of /proc/self/status: VmHWM is the peak of resident memory, VmRSS what is resident now."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))


def child(path: Path, runs: int) -> None:
    """Loads, runs once, says how long and how much, and waits for a line before it ends."""
    start = time.perf_counter()
    model = load(path)
    found: dict[str, Any] = {"load_ms": (time.perf_counter() - start) * 1e3}
    symbols = model.program.graph.symbols
    small = random_inputs(model.program.graph, dict.fromkeys(symbols, 1))
    model.run(small)
    found["peak_kb"] = status_kilobytes("VmHWM")
    if runs:
        found["growth_kb"] = growth(model, runs)
    print(json.dumps(found), flush=True)
    sys.stdin.readline()


def growth(model: rl.Model, runs: int) -> list[int]:
    """Resident memory (KiB) after a tenth of the runs, after half of them, and at the end. Sizes of all symbolic
    dimensions change with every run; two of them have more combinations than a method keeps plans for."""
    graph = model.program.graph
    rng = np.random.default_rng(0)
    marks = []
    for run in range(1, runs + 1):
        sizes = {
            name: int(np.clip(rng.integers(1, LARGEST, endpoint=True), limits.low, limits.high))
            for name, limits in graph.symbols.items()
        }
        model.run(random_inputs(graph, sizes))
        if run in (runs // 10, runs // 2, runs):
            marks.append(status_kilobytes("VmRSS"))
    return marks


class Process:
    """A child that has loaded `path`."""

    def __init__(self, path: Path, runs: int = 0) -> None:
        command = [sys.executable, "-m", "benchmarks.load", "--child", str(path), "--runs", str(runs)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.path = path

    def report(self) -> dict[str, Any]:
        line = _pipe(self._process.stdout).readline()
        if not line:
            raise RuntimeError(f"{self.path}: the process ended early")
        found: dict[str, Any] = json.loads(line)
        return found

    def memory(self) -> dict[str, int]:
        return mapped_kilobytes(self.path, self._process.pid)

    def end(self) -> None:
        self._process.communicate()


def _pipe(stream: IO[str] | None) -> IO[str]:
    assert stream is not None
    return stream


def measure(path: Path) -> list[str]:
    """One process after the other: load times and the peak of memory."""
    found = []
    for _ in range(LOADS):
        process = Process(path)
        found.append(process.report())
        process.end()
    times = sorted(item["load_ms"] for item in found)
    return [f"{times[0]:.0f} to {times[-1]:.0f}", f"{max(item['peak_kb'] for item in found) / 1024:.0f}"]


def share(path: Path, count: int) -> list[list[str]]:
    """`count` processes at once: what each of them maps of the file, and how much of it is its own."""
    processes = [Process(path) for _ in range(count)]
    for process in processes:
        process.report()
    rows = [process.memory() for process in processes]
    for process in processes:
        process.end()
    fields = ("Rss", "Pss", "Shared_Clean", "Private_Clean", "Private_Dirty")
    return [[str(index), *(f"{row[field] / 1024:.1f}" for field in fields)] for index, row in enumerate(rows)]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--runs", type=int, default=0)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    if args.child:
        child(args.model, args.runs)
        return
    with tempfile.TemporaryDirectory() as folder:
        packed = Path(folder, "packed.rush")
        pack(rl.open(args.model), [best_isa()]).save(packed)
        sizes = [file.stat().st_size / 1e6 for file in (args.model, packed)]
        print(f"{args.model.name}, {sizes[0]:.1f} MB; packed {sizes[1]:.1f} MB")
        rows = [["plain", *measure(args.model)], ["packed", *measure(packed)]]
        print(format_table(["file", "load ms", "peak MiB"], rows))
        print(f"\nthe mapped file in {args.processes} processes, MiB")
        header = ["process", "Rss", "Pss", "shared", "private clean", "private dirty"]
        print(format_table(header, share(packed, args.processes)))
    if args.runs:
        process = Process(args.model, args.runs)
        first, half, last = process.report()["growth_kb"]
        process.end()
        print(
            f"\n{args.runs} runs with changing sizes: {first / 1024:.1f} MiB resident after {args.runs // 10}, "
            f"{half / 1024:.1f} after {args.runs // 2}, {last / 1024:.1f} after {args.runs}"
        )


if __name__ == "__main__":
    main()
