"""Times single kernels inside of the executor, as a model runs them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from rushlight.runtime.cpu import _core

Location: TypeAlias = tuple[int, int, int]
NONE: Location = (0, 0, 0)


def constant(index: int) -> Location:
    return (1, index, 0)


def given(index: int) -> Location:
    return (3, index, 0)


def result(index: int) -> Location:
    return (4, index, 0)


def best_ns(
    symbol: str,
    params: bytes,
    operands: Sequence[Location],
    constants: Sequence[Any],
    inputs: Sequence[Any],
    outputs: Sequence[Any],
    threads: int,
    seconds: float,
    steps: int = 1,
) -> float:
    """Nanoseconds of a call in the fastest run of `steps` equal ones, tried for `seconds`."""
    plan = _core.Executor(list(constants), threads).bind([(symbol, params, list(operands))] * steps, 64)
    best, spent = float("inf"), 0.0
    while spent < seconds * 1e9:
        _, times = plan.session(list(inputs), list(outputs)).run_timed(0, steps)
        best, spent = min(best, sum(times) / steps), spent + sum(times)
    return best
