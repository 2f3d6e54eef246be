"""Compares a program with the model that it was exported from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from rushlight.exporter.source import Source
from rushlight.runtime.errors import RushlightError
from rushlight.runtime.ir import Graph, SymbolRange
from rushlight.runtime.model import load
from rushlight.runtime.ops import Array
from rushlight.runtime.reference import run_reference
from rushlight.runtime.types import Dim, evaluate

TOLERANCES = {"float64": 1e-3, "float32": 1e-3, "float16": 2e-2, "bfloat16": 1e-1}
"""Largest difference allowed, as a share of the largest absolute element of the output, by its dtype and by what the
model rounds its results to: a program computes in float32."""

SMALL = 1e-3
"""Outputs whose largest element is smaller are compared as if it were this: saturated sigmoids are mere rounding."""

ROUNDING = 4.0
"""How many times the model's own float32 rounding an output may be off, where that is more than the tolerance."""

SIZES = (32, 64, 224, 8, 2)
"""Sizes that are tried, in this order, for dynamic axes of a model that came without example inputs."""


@dataclass(frozen=True)
class Report:
    """Who judged, on which inputs, and the largest error relative to the largest element of its output."""

    judge: str
    inputs: tuple[str, ...]
    error: float
    output: str

    def __str__(self) -> str:
        where = " and on ".join(self.inputs)
        return f"agrees with {self.judge} on {where}: largest error {self.error:.2g} (output '{self.output}')"


def check(source: Source) -> Report:
    """Runs the program and its source on the example and, where there are symbols, on other sizes.

    Raises RushlightError where the answers differ or the source cannot be run, TimeoutError where it takes too long.
    """
    graph = source.program().graph
    model = load(source.program())
    given = source.examples()
    examples = [given] if given is not None else [random_inputs(graph, size) for size in SIZES]
    failure: Exception | None = None
    for first in examples:
        cases = [first, resized(graph, first)] if graph.symbols else [first]
        try:
            answers = [(arrays, source.judge(arrays), model.run(arrays)) for arrays in cases]
        except TimeoutError:
            raise
        except Exception as error:  # the judge's own errors, for sizes that the model cannot take
            failure = failure or error
            continue
        return _compare(source, graph, answers)
    reason = (str(failure).strip().splitlines() or ["no message"])[0][:200]
    hint = "" if given is not None else "; give an example with --input"
    raise RushlightError(f"the program and {source.judge_name} cannot be compared: {reason}{hint}")


Answer: TypeAlias = tuple[dict[str, Array], dict[str, Array], dict[str, Array]]
"""Inputs, what the judge answers, what the program answers."""


def _compare(source: Source, graph: Graph, answers: Sequence[Answer]) -> Report:
    worst, where = 0.0, graph.outputs[0][0]
    for arrays, wanted, given in answers:
        for name, answer in wanted.items():
            error = difference(given[name], answer)
            if not error <= tolerance(answer, source.arithmetic) and not error <= ROUNDING * _rounding(
                graph, arrays, name
            ):
                raise RushlightError(
                    f"the program differs from {source.judge_name}: output '{name}' by {error:.3g} of its largest "
                    f"element on {describe(arrays)}"
                )
            if error > worst:
                worst, where = error, name
    return Report(source.judge_name, tuple(describe(arrays) for arrays, _, _ in answers), worst, where)


def _rounding(graph: Graph, arrays: Mapping[str, Array], name: str) -> float:
    """How far float32 is from float64 on the same graph: what no two float32 implementations need agree on."""
    narrow = run_reference(graph, arrays, [name])[name]
    wide = run_reference(graph, arrays, [name], wide=True)[name]
    return difference(narrow, wide.astype(narrow.dtype))


def tolerance(answer: Array, arithmetic: str = "float32") -> float:
    """How far an output may be off: integers not at all, but for 8-bit ones, which were rounded, by one step."""
    if answer.dtype.itemsize == 1 and answer.dtype.kind in "iu":
        return 1 / max(1, int(np.abs(answer.astype(np.int64)).max(initial=0)))
    own = TOLERANCES.get(answer.dtype.name, 0.0)
    return max(own, TOLERANCES[arithmetic]) if own else own


def difference(given: Array, answer: Array) -> float:
    """Largest difference as a share of the largest absolute element; infinite for other shapes, dtypes or NaNs."""
    if given.shape != answer.shape or given.dtype != answer.dtype:
        return float("inf")
    if answer.size == 0:
        return 0.0
    a, b = given.astype(np.float64), answer.astype(np.float64)
    finite = np.isfinite(b)
    if not np.array_equal(a[~finite], b[~finite], equal_nan=True) or not np.isfinite(a[finite]).all():
        return float("inf")
    largest = float(np.abs(b[finite]).max(initial=0.0))
    return float(np.abs(a[finite] - b[finite]).max(initial=0.0)) / max(largest, SMALL)


def describe(arrays: Mapping[str, Array]) -> str:
    """Names, dtypes and shapes of inputs as text."""
    return ", ".join(f"{name} {array.dtype}{list(array.shape)}" for name, array in arrays.items())


def resized(graph: Graph, arrays: Mapping[str, Array]) -> dict[str, Array]:
    """The same inputs with every symbolic size one step larger, or smaller at the end of its range, by repetition."""
    sizes: dict[str, int] = {}
    for value in graph.inputs:
        for dim, size in zip(value.shape, arrays[value.name].shape, strict=True):
            solved = dim.solve(size) if isinstance(dim, Dim) else None
            if solved is not None:
                sizes[solved[0]] = solved[1]
    for symbol, size in sizes.items():
        limits = graph.symbols[symbol]
        if limits.high is None or size < limits.high:
            sizes[symbol] = size + 1
        elif size > limits.low:
            sizes[symbol] = size - 1
    out: dict[str, Array] = {}
    for value in graph.inputs:
        array = arrays[value.name]
        for axis, dim in enumerate(value.shape):
            wanted = evaluate(dim, sizes)
            array = (
                np.take(array, np.arange(wanted) % array.shape[axis], axis) if wanted != array.shape[axis] else array
            )
        out[value.name] = array
    return out


def random_inputs(graph: Graph, size: int) -> dict[str, Array]:
    """Always the same inputs: normal floats, 0 or 1 for integers. First axes that are symbolic are 1, others `size`."""
    binding = {symbol: _within(size, limits) for symbol, limits in graph.symbols.items()}
    for value in graph.inputs:
        for axis, dim in enumerate(value.shape):
            solved = dim.solve(1 if axis == 0 else size) if isinstance(dim, Dim) else None
            if solved is not None:
                binding[solved[0]] = _within(solved[1], graph.symbols[solved[0]])
    rng = np.random.default_rng(0)
    out: dict[str, Array] = {}
    for value in graph.inputs:
        shape = [evaluate(dim, binding) for dim in value.shape]
        if value.dtype.kind == "f":
            out[value.name] = rng.standard_normal(shape).astype(value.dtype)
        else:
            out[value.name] = np.asarray(rng.integers(0, 2, shape)).astype(value.dtype)
    return out


def _within(size: int, limits: SymbolRange) -> int:
    return max(limits.low, size if limits.high is None else min(size, limits.high))
