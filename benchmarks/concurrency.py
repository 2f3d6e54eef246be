"""Several models in one process, called at once: what that costs against calling them in turn, and what idleness costs.

    python -m benchmarks.concurrency A.rush B.rush C.rush D.rush [--rounds 40] [--idle 2]

Every model has a caller of its own. The same runs are made in turn from one thread, where every run has all CPUs, and
at once. A figure above 1 says that calling at once was faster: runs that one CPU does alone need not wait for another's
helpers. Where threads took turns on too few CPUs, it would be below 1, and switches would be many.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import rushlight as rl
from rushlight.cli.arrays import random_inputs
from rushlight.runtime.model import backends

SETTLE = 0.1
"""Seconds after the last run before idleness is measured."""


def native_threads() -> int:
    return len(os.listdir("/proc/self/task"))


def idle_share(seconds: float) -> float:
    """CPU time of all threads of this process while it does nothing, as a share of the time that passes."""
    time.sleep(SETTLE)
    start = time.process_time()
    time.sleep(seconds)
    return (time.process_time() - start) / seconds


def measure(models: Sequence[rl.Model], rounds: int, idle: float) -> dict[str, Any]:
    """Seconds in turn and at once, involuntary switches at once, threads of the process afterwards, idle CPU share."""
    feeds = [random_inputs(model.program.graph, {}) for model in models]

    def call(index: int) -> None:
        for _ in range(rounds):
            models[index].run(feeds[index])

    for index in range(len(models)):
        models[index].run(feeds[index])
    start = time.perf_counter()
    for index in range(len(models)):
        call(index)
    in_turn = time.perf_counter() - start
    with ThreadPoolExecutor(len(models)) as pool:
        list(pool.map(time.sleep, [0.01] * len(models)))  # every caller has its thread
        before, start = resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw, time.perf_counter()
        list(pool.map(call, range(len(models))))
        at_once = time.perf_counter() - start
        switches = resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw - before
    share = idle_share(idle)  # by its end, the callers' threads have left
    return {
        "in_turn": in_turn,
        "at_once": at_once,
        "switches": switches,
        "threads": native_threads(),
        "idle": share,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--idle", type=float, default=2.0, metavar="SECONDS")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    args = parser.parse_args(arguments)
    before = native_threads()
    found = measure([rl.load(path) for path in args.models], args.rounds, args.idle)
    found |= {"threads": found["threads"] - before, "cpus": backends()["cpu"]["threads"]}
    if args.json:
        print(json.dumps(found))
        return
    runs = args.rounds * len(args.models)
    print(f"{len(args.models)} models, {args.rounds} runs of each, {found['cpus']} CPUs")
    print(
        f"in turn {found['in_turn']:.3f} s, at once {found['at_once']:.3f} s: {found['in_turn'] / found['at_once']:.2f}"
    )
    print(f"{found['switches']} involuntary switches at once, {found['switches'] / runs:.2f} a run")
    print(f"{found['threads']} threads beside the callers; idle, they take {found['idle']:.2%} of a CPU")


if __name__ == "__main__":
    main()
