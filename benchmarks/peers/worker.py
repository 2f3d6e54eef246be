"""The process of one engine: reads commands as lines of JSON, answers each with a line of JSON.

`python -m benchmarks.peers.worker ENGINE`; what the libraries print goes to standard error.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import signal
import sys
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers.engines import ENGINES
from benchmarks.peers.engines.engine import Engine
from benchmarks.peers.feeds import Input, make_feeds
from benchmarks.peers.isa import visible_features


def peak_mb() -> float:
    """The most memory that was resident at once so far, in MiB."""
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert peak is not None
    return int(peak[1]) / 1024


class Worker:
    """Every public method is a command; its keywords are the command's fields, what it returns the answer."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._inputs: list[Input] = []
        self._seconds = 0.0  # of one run

    def prepare(self, model: str, precision: str, inputs: list[Any], folder: str) -> dict[str, Any]:
        self._engine.prepare(Path(model), precision, [Input.of(*each) for each in inputs], Path(folder))
        return {}

    def load(self, model: str, inputs: list[Any], folder: str, threads: int) -> dict[str, Any]:
        self._inputs = [Input.of(*each) for each in inputs]
        self._engine.start()
        start = time.perf_counter()
        self._engine.load(Path(model), Path(folder), threads)
        return {"load_s": time.perf_counter() - start}

    def answer(self, batch: int, path: str) -> dict[str, Any]:
        """Runs once and writes the outputs: the first run with a batch may compile."""
        feeds = make_feeds(self._inputs, batch)
        start = time.perf_counter()
        outputs = self._engine.run(feeds)
        first, peak = time.perf_counter() - start, peak_mb()
        start = time.perf_counter()
        self._engine.run(feeds)
        self._seconds = time.perf_counter() - start
        np.savez(path, *outputs)
        return {"first_s": first, "first_mb": peak}

    def block(self, batch: int, seconds: float) -> dict[str, Any]:
        """Milliseconds of every run during `seconds`, one at least. A run before them warms the caches up, unless it
        would take most of the block."""
        feeds = make_feeds(self._inputs, batch)
        if self._seconds < seconds / 2:
            self._engine.run(feeds)
        times: list[float] = []
        end = time.perf_counter() + seconds
        while True:
            start = time.perf_counter()
            self._engine.run(feeds)
            now = time.perf_counter()
            times.append((now - start) * 1e3)
            if now >= end:
                return {"ms": times}

    def state(self) -> dict[str, Any]:
        """Peak of the resident memory, and the instruction sets that the engine and CPUID tell of."""
        return {
            "peak_mb": peak_mb(),
            "instructions": self._engine.instructions(),
            "cpuid": visible_features(),
        }

    def perform(self, command: Mapping[str, Any]) -> dict[str, Any]:
        fields = dict(command)
        try:
            answer: dict[str, Any] = getattr(self, fields.pop("do"))(**fields)
        except Exception as error:  # engines raise what they like
            traceback.print_exc()
            text = " ".join(str(error).split())[:300]
            return {"error": f"{type(error).__name__}: {text}"}
        return answer


PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # a stopped process would not see its input end
    engine = ENGINES[sys.argv[1]]()
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    worker = Worker(engine)
    for line in sys.stdin:
        print(json.dumps(worker.perform(json.loads(line))), file=answers)


if __name__ == "__main__":
    main()
