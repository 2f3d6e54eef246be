"""What a call and a step cost beside their arithmetic: `python -m benchmarks.overhead --help`."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import rushlight as rl

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


def best_seconds(call: Callable[[], Any], blocks: int, calls: int) -> float:
    """Of one call, in the fastest of `blocks` blocks of `calls`."""
    best = float("inf")
    for _ in range(blocks):
        start = time.perf_counter()
        for _ in range(calls):
            call()
        best = min(best, (time.perf_counter() - start) / calls)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overhead", description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--blocks", type=int, default=50)
    options = parser.parse_args()
    x = np.ones(1, np.float32)

    def measure(program: rl.Program, calls: int) -> float:
        model = rl.load(program, threads=options.threads)
        return best_seconds(lambda: model(x), options.blocks, calls)

    identity = measure(chain(0), 2000)
    step = (measure(chain(LONG), 200) - measure(chain(SHORT), 200)) / (LONG - SHORT)
    print(f"{options.threads} threads: identity {identity * 1e6:.2f} us a call, {step * 1e6:.3f} us a step")


if __name__ == "__main__":
    main()
