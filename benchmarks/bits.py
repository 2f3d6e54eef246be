"""Whether a model gives the same bits at every batch size, thread count and instruction set.

`python -m benchmarks.bits MODEL.rush INPUTS.npz`: the arrays of the file hold samples along axis 0, named as the
model's inputs. Every instruction set runs in a process of its own.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import rushlight as rl

BATCHES = (1, 2, 5, 9)
THREADS = (1, 2, 3)
_CHILD = "from benchmarks.bits import run_child; run_child()"

Array = npt.NDArray[Any]
Arrays = Mapping[str, Array]


def run_alone(path: Path, inputs: Arrays) -> dict[str, Array]:
    """What every sample gives by itself, on one thread and the best instruction set."""
    model = rl.load(path, threads=1)
    count = len(next(iter(inputs.values())))
    alone = [model.run({name: array[at : at + 1] for name, array in inputs.items()}) for at in range(count)]
    return {name: np.concatenate([outputs[name] for outputs in alone]) for name in alone[0]}


def run_batches(path: Path, inputs: Arrays, batches: Sequence[int], threads: Sequence[int]) -> dict[str, Array]:
    """Outputs of the first samples as one batch, by "threads/batch/output", in this process."""
    found = {}
    for count in threads:
        model = rl.load(path, threads=count)
        for batch in batches:
            outputs = model.run({name: array[:batch] for name, array in inputs.items()})
            found |= {f"{count}/{batch}/{name}": array for name, array in outputs.items()}
    return found


def find_differences(
    path: Path,
    inputs: Arrays,
    alone: Arrays,
    isa: str,
    batches: Sequence[int] = BATCHES,
    threads: Sequence[int] = THREADS,
) -> list[str]:
    """Where a sample in a batch, run on `isa` in a new process, has other bits than in `alone`."""
    with tempfile.TemporaryDirectory() as folder:
        given, made = Path(folder, "given.npz"), Path(folder, "made.npz")
        np.savez(given, **dict(inputs))
        lists = [",".join(map(str, numbers)) for numbers in (batches, threads)]
        subprocess.run(
            [sys.executable, "-c", _CHILD, str(path), str(given), str(made), *lists],
            env={**os.environ, "RUSHLIGHT_FORCE_ISA": isa},
            cwd=Path(__file__).resolve().parents[1],
            check=True,
        )
        with np.load(made) as found:
            return [line for key in found for line in _compare(key, found[key], alone)]


def run_child() -> None:
    path, given, made, *lists = sys.argv[1:]
    batches, threads = ([int(number) for number in text.split(",")] for text in lists)
    with np.load(given) as inputs:
        np.savez(made, **run_batches(Path(path), dict(inputs), batches, threads))


def _compare(key: str, found: Array, alone: Arrays) -> list[str]:
    count, batch, name = key.split("/", 2)
    expected = alone[name][: len(found)]
    rows = [row for row in range(len(found)) if found[row].tobytes() != expected[row].tobytes()]
    return [f"{name} of sample {row} in a batch of {batch} on {count} threads" for row in rows]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bits", description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("inputs", type=Path)
    parser.add_argument("--batches", type=int, nargs="+", default=BATCHES)
    parser.add_argument("--threads", type=int, nargs="+", default=THREADS)
    parser.add_argument("--isas", nargs="+", default=rl.backends()["cpu"]["available"])
    options = parser.parse_args()
    with np.load(options.inputs) as file:
        inputs = dict(file)
    alone = run_alone(options.model, inputs)
    failed = False
    for isa in options.isas:
        found = find_differences(options.model, inputs, alone, isa, options.batches, options.threads)
        failed |= bool(found)
        print(f"{isa}: {'same bits' if not found else f'{len(found)} differences, first {found[0]}'}")
    sys.exit(failed)


if __name__ == "__main__":
    main()
