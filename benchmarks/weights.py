"""A model with its weights as they are, in bfloat16 and in float16: bytes of the file, memory and time of a run.

`python -m benchmarks.weights --help`"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import rushlight as rl
from benchmarks.load import status_kilobytes
from rushlight.cli.arrays import batch_size, parse_sizes, random_inputs
from rushlight.cli.table import format_table

FORMATS: Mapping[str, str | None] = {"as it is": None, "bfloat16": "bf16-weight", "float16": "fp16-weight"}


def written(path: Path, folder: Path) -> dict[str, Path]:
    """The files of every format."""
    files = {}
    for name, scheme in FORMATS.items():
        files[name] = path
        if scheme is not None:
            files[name] = folder / f"{scheme}.rush"
            rl.quantize(rl.open(path), scheme=scheme).save(files[name])
    return files


def random_run(model: rl.Model, options: argparse.Namespace) -> Callable[[], Any]:
    """A run on inputs of the sizes asked for."""
    graph = model.program.graph
    return partial(model.run, random_inputs(graph, {**batch_size(graph, options.batch), **parse_sizes(options.dim)}))


def print_peak(options: argparse.Namespace) -> None:
    """Loads and runs a model once; prints the most memory that this process had, in bytes."""
    random_run(rl.load(options.models[0], threads=1), options)()
    print(status_kilobytes("VmHWM") << 10)  # ru_maxrss would count what the parent had before it started this process


def peak_bytes(path: Path, options: argparse.Namespace) -> int:
    """`print_peak` in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.weights", str(path), "--peak", "--batch", str(options.batch)]
    command += [word for dim in options.dim for word in ("--dim", dim)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def fastest(calls: Mapping[str, Callable[[], Any]], blocks: int, seconds: float) -> dict[str, float]:
    """Milliseconds of the fastest call of each; they take turns of `seconds`."""
    best = dict.fromkeys(calls, float("inf"))
    for _ in range(blocks):
        for name, call in calls.items():
            call()
            end = time.perf_counter() + seconds
            while (start := time.perf_counter()) < end:
                call()
                best[name] = min(best[name], (time.perf_counter() - start) * 1e3)
    return best


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.weights", description=__doc__)
    parser.add_argument("models", type=Path, nargs="+", metavar="MODEL.rush")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--dim", action="append", default=[], metavar="NAME=SIZE", help="the size of a dimension")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--blocks", type=int, default=5, help="turns that each takes")
    parser.add_argument("--seconds", type=float, default=0.3, help="of a turn")
    parser.add_argument("--peak", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(words)
    if options.peak:
        print_peak(options)
        return
    rows = []
    for path in options.models:
        with TemporaryDirectory() as folder:
            files = written(path, Path(folder))
            calls = {name: random_run(rl.load(file, threads=options.threads), options) for name, file in files.items()}
            times = fastest(calls, options.blocks, options.seconds)
            for name, file in files.items():
                sizes = [f"{size / 1e6:.1f}" for size in (file.stat().st_size, peak_bytes(file, options))]
                ratio = times["as it is"] / times[name]
                rows.append([path.stem, name, *sizes, f"{times[name]:.3f}", f"{ratio:.2f}"])
    print(format_table(["model", "weights", "file, MB", "memory of load and run, MB", "ms", "times as fast"], rows))


if __name__ == "__main__":
    main()
