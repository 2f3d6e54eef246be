"""What a call and a step cost beside their arithmetic: `python -m benchmarks.overhead --help`."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

import rushlight as rl
from rushlight.cli.table import format_table

SHORT, LONG = 100, 300
"""Steps of the two chains whose difference tells what a step costs."""


def chain(length: int) -> rl.Program:
    """`length` exponentials that wait for one another, of one element each; an identity where there are none."""
    builder = rl.GraphBuilder()
    x = builder.input("x", np.float32, ("N",))
    for _ in range(length):
        x = builder.exp(x)
    builder.output("y", x)
    return builder.build()


def best_seconds(call: Callable[[], Any], blocks: int) -> float:
    """Of one call, in the fastest of `blocks` blocks of about 5 ms."""
    call()
    start = time.perf_counter()
    call()
    calls = max(int(5e-3 / (time.perf_counter() - start)), 1)
    best = float("inf")
    for _ in range(blocks):
        start = time.perf_counter()
        for _ in range(calls):
            call()
        best = min(best, (time.perf_counter() - start) / calls)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overhead", description=__doc__)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--blocks", type=int, default=50)
    options = parser.parse_args()
    x = np.ones(1, np.float32)
    inputs = {"x": x}
    calls: list[Callable[[rl.Model], Any]] = [lambda model: model(x), lambda model: model.run(inputs)]
    header = ["threads", "identity of arrays, us", "a step, us", "identity of a dict, us", "a step, us"]
    rows = []
    for threads in options.threads:
        models = {length: rl.load(chain(length), threads=threads) for length in (0, SHORT, LONG)}
        row = [str(threads)]
        for call in calls:
            us = {length: best_seconds(partial(call, model), options.blocks) * 1e6 for length, model in models.items()}
            row += [f"{us[0]:.2f}", f"{(us[LONG] - us[SHORT]) / (LONG - SHORT):.3f}"]
        rows.append(row)
    print(format_table(header, rows))


if __name__ == "__main__":
    main()
