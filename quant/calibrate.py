"""Runs the float model on calibration data and observes the values that will be quantized."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np

from rushlight.runtime.errors import QuantizationError, RushlightError
from rushlight.runtime.ir import Graph, Node, Value
from rushlight.runtime.model import load
from rushlight.runtime.passes.lookup import answers, is_pointwise
from rushlight.runtime.program import Program

from .data import CalibrationData, batches
from .observers import Observer

Ranges = Mapping[Value, tuple[float, float]]


def observe(
    graph: Graph,
    values: Iterable[Value],
    data: CalibrationData,
    make_observer: Callable[[], Observer],
    progress: Callable[[int], None] | None = None,
) -> dict[Value, tuple[float, float]]:
    """The range of each of `values` (all of `graph`) on `data`; `progress` is told the samples done.

    Raises QuantizationError where data or a value is not finite, naming it.
    """
    known = {value: reach for value in values if (reach := range_of_bytes(value)) is not None}
    open_values = [value for value in values if value not in known]
    observers = {value: make_observer() for value in open_values}
    probe = graph.clone()
    copies = _matching(graph, probe)
    probe.outputs += [(f"observed.{i}", copies[value]) for i, value in enumerate(open_values)]
    model = load(Program({"forward": probe}))
    done = 0
    for where, inputs in batches(data, model.inputs):
        try:
            results = model.run(inputs)
        except RushlightError as error:
            raise QuantizationError(f"calibration, {where}: {error}") from None
        for i, value in enumerate(open_values):
            array = results[f"observed.{i}"]
            if not np.isfinite(array).all():
                raise QuantizationError(f"calibration, {where}: value '{value.name}' is not finite")
            observers[value].see(array)
        done += len(next(iter(inputs.values()))) if inputs else 1
        if progress:
            progress(done)
    return known | {value: observer.range() for value, observer in observers.items()}


def range_of_bytes(value: Value) -> tuple[float, float] | None:
    """The exact range of a value that is a pointwise function of a uint8 value; None for any other."""
    chain: list[Node] = []
    at: Value | None = value
    while at is not None and at.dtype != np.uint8:
        if at.producer is None or not is_pointwise(at.producer):
            return None
        chain.append(at.producer)
        at = at.producer.inputs[0]
    if at is None or not chain:
        return None
    column = answers(chain[::-1])
    return (float(column.min()), float(column.max())) if np.isfinite(column).all() else None


def _matching(graph: Graph, clone: Graph) -> dict[Value, Value]:
    """Values of `graph` and their copies."""
    pairs = dict(zip(graph.inputs, clone.inputs, strict=True))
    for old, new in zip(graph.nodes, clone.nodes, strict=True):
        pairs.update(zip(old.outputs, new.outputs, strict=True))
    return pairs
