"""Compares a program with the model that it was exported from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from rushlight.exporter.source import Source
from rushlight.runtime.errors import RushlightError
from rushlight.runtime.ir import Graph, SymbolRange
from rushlight.runtime.model import load
from rushlight.runtime.ops import Array
from rushlight.runtime.types import Dim, evaluate

TOLERANCES = {"float64": 1e-3, "float32": 1e-3, "float16": 2e-2}
"""Largest difference allowed, as a share of the largest absolute element of the output."""

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
    program = source.program()
    graph = program.graph
    model = load(program)
    first, expected = _first_example(source, graph)
    cases = [(first, expected)]
    if graph.symbols:
        second = resized(graph, first)
        cases.append((second, source.judge(second)))
    worst, where = 0.0, graph.outputs[0][0]
    for arrays, wanted in cases:
        given = model.run(arrays)
        for name, answer in wanted.items():
            error = difference(given[name], answer)
            if not error <= tolerance(answer):
                raise RushlightError(
                    f"the program differs from {source.judge_name}: output '{name}' by {error:.3g} of its largest "
                    f"element on {describe(arrays)}"
                )
            if error > worst:
                worst, where = error, name
    return Report(source.judge_name, tuple(describe(arrays) for arrays, _ in cases), worst, where)


def tolerance(answer: Array) -> float:
    """How far an output may be off: integers not at all, but for 8-bit ones, which were rounded, by one step."""
    if answer.dtype.itemsize == 1 and answer.dtype.kind in "iu":
        return 1 / max(1, int(np.abs(answer.astype(np.int64)).max(initial=0)))
    return TOLERANCES.get(answer.dtype.name, 0.0)


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
    return float(np.abs(a[finite] - b[finite]).max(initial=0.0)) / (largest or 1.0)


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


def _first_example(source: Source, graph: Graph) -> tuple[dict[str, Array], dict[str, Array]]:
    """Example inputs and the source's answer; made-up inputs of the first sizes that the source takes."""
    given = source.examples()
    if given is not None:
        return given, source.judge(given)
    reason = "no inputs"
    for size in SIZES:
        arrays = random_inputs(graph, size)
        try:
            return arrays, source.judge(arrays)
        except TimeoutError:
            raise
        except Exception as error:  # the judge's own errors, for sizes that the model cannot take
            reason = str(error).strip().splitlines()[0][:160]
    raise RushlightError(
        f"{source.judge_name} runs on none of the tried sizes ({reason}); give an example with --input"
    )


def random_inputs(graph: Graph, size: int) -> dict[str, Array]:
    """Always the same inputs: normal floats, 0 or 1 for integers. First axes that are symbolic are 1, others `size`."""
    batches = {str(value.shape[0]) for value in graph.inputs if value.shape and isinstance(value.shape[0], Dim)}
    binding = {symbol: _within(1 if symbol in batches else size, limits) for symbol, limits in graph.symbols.items()}
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
