"""`rushlight bench`."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from rushlight.cli.arrays import batch_size, parse_sizes, random_inputs
from rushlight.cli.device import add_device_arguments
from rushlight.cli.progress import track
from rushlight.cli.table import format_table
from rushlight.runtime.errors import RushlightError
from rushlight.runtime.format import read_program
from rushlight.runtime.model import Model, load

EXAMPLE = """example:
  rushlight bench model.rush --batch 1,8 --threads 1,2
  rushlight bench model.rush model_int8.rush"""

MAX_BLOCK_MS = 3_600_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Measure programs on made-up inputs. Several programs take turns block by block, so that the machine's mood\n"
        "falls on all of them; 'speed-up' is against the first one."
    )
    parser.epilog = EXAMPLE
    parser.add_argument("models", type=Path, nargs="+", metavar="MODEL.rush")
    parser.add_argument("--batch", default="1", metavar="1,8", help="sizes of the first input's first dimension")
    parser.add_argument("--threads", default=None, metavar="1,2", help="thread counts (default all)")
    add_device_arguments(parser)
    parser.add_argument("--dim", action="append", default=[], metavar="NAME=SIZE", help="size of another dimension")
    parser.add_argument("--blocks", type=int, default=10, help="blocks a program (default 10)")
    parser.add_argument("--block-ms", type=float, default=200, help="length of a block (default 200)")


def run(args: argparse.Namespace) -> int:
    batches = parse_counts("--batch", args.batch)
    threads = parse_counts("--threads", args.threads) if args.threads else [None]
    if args.blocks < 1:
        raise RushlightError(f"--blocks must be at least 1, not {args.blocks}")
    if not 0 <= args.block_ms <= MAX_BLOCK_MS:
        raise RushlightError(f"--block-ms must be from 0 to {MAX_BLOCK_MS}, not {args.block_ms:g}")
    programs = [read_program(path) for path in args.models]
    rows: list[list[str]] = []
    for count in threads:
        models = [load(program, threads=count, device=args.device, precision=args.precision) for program in programs]
        for batch in batches:
            subjects = [Subject(model, batch, parse_sizes(args.dim)) for model in models]
            for _ in track(range(args.blocks), f"batch {batch}, {models[0].threads} threads"):
                for subject in subjects:
                    subject.run_block(args.block_ms / 1000)
            for path, subject in zip(args.models, subjects, strict=True):
                rows.append([path.name, str(batch), str(models[0].threads), *subject.figures(subjects[0])])
    print(format_table(["model", "batch", "threads", "median ms", "min ms", "samples/s", "runs", "speed-up"], rows))
    return 0


class Subject:
    """A model with its inputs and the times of its runs, in seconds."""

    def __init__(self, model: Model, batch: int, sizes: dict[str, int]) -> None:
        graph = model.program.graph
        self._model = model
        self._inputs = random_inputs(graph, {**batch_size(graph, batch), **sizes})
        self._batch = batch
        self.times: list[float] = []
        model.run(self._inputs)

    def run_block(self, seconds: float) -> None:
        """Runs for about `seconds`, once at least; the first run after another program's block is not counted."""
        self._model.run(self._inputs)
        end = time.perf_counter() + seconds
        while True:
            start = time.perf_counter()
            self._model.run(self._inputs)
            now = time.perf_counter()
            self.times.append(now - start)
            if now >= end:
                return

    def figures(self, first: Subject) -> list[str]:
        """Median and smallest milliseconds, samples a second, number of runs, and how many times as fast as `first`."""
        median = float(np.median(self.times))
        ratio = float(np.median(first.times)) / median
        return [
            f"{1000 * median:.3f}",
            f"{1000 * min(self.times):.3f}",
            f"{self._batch / median:.1f}",
            str(len(self.times)),
            f"{ratio:.2f}x",
        ]


def parse_counts(option: str, text: str) -> list[int]:
    """``"1,8"`` as ``[1, 8]``. Raises RushlightError."""
    parts = text.split(",")
    if not all(part.isdecimal() and 0 < int(part) <= 1 << 20 for part in parts):
        raise RushlightError(f"{option} {text}: write positive numbers, such as 1,8")
    return [int(part) for part in parts]
