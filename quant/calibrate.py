"""Runs the float model on calibration data and observes the values that will be quantized."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from rushlight.runtime.errors import QuantizationError, RushlightError
from rushlight.runtime.ir import Graph, Node, Value
from rushlight.runtime.model import load
from rushlight.runtime.ops import Array
from rushlight.runtime.passes.lookup import answers, is_pointwise
from rushlight.runtime.program import Program

from .data import CalibrationData, Progress, batches
from .observers import METHODS, Channels, Histogram

KEPT = 16
"""Samples that are kept to measure the quantized model on; a run that begins before the last of them is kept whole."""


@dataclass
class Run:
    """One run of the float model."""

    inputs: dict[str, Array]
    outputs: dict[str, Array]


@dataclass
class Calibration:
    """What was observed: the exact ranges of some values, histograms of the others, channels' means, the first runs.

    `sizes`: those of the symbolic dimensions in the first run.
    """

    exact: dict[Value, tuple[float, float]]
    histograms: dict[Value, Histogram]
    channels: dict[Value, Channels]
    runs: list[Run]
    sizes: dict[str, int]

    def knows(self, value: Value) -> bool:
        """Whether the range of `value` was observed."""
        return value in self.exact or value in self.histograms

    def moved(self, copies: Mapping[Value, Value]) -> Calibration:
        """The same of a graph's copy, given the copies of its values."""
        return Calibration(
            {copies[value]: reach for value, reach in self.exact.items()},
            {copies[value]: histogram for value, histogram in self.histograms.items()},
            {copies[value]: channels for value, channels in self.channels.items()},
            self.runs,
            self.sizes,
        )

    def joined(self, other: Calibration) -> Calibration:
        """This and what was observed of other values of the same graph."""
        return Calibration(
            self.exact | other.exact,
            self.histograms | other.histograms,
            self.channels | other.channels,
            self.runs,
            self.sizes,
        )

    def means(self) -> dict[Value, Array]:
        """Of every channel of the values watched for them."""
        return {value: total.mean() for value, total in self.channels.items()}

    def range(self, value: Value, method: str) -> tuple[float, float]:
        """The range to quantize an observed value in, by one of `METHODS`."""
        return self.exact.get(value) or METHODS[method](self.histograms[value])


def observe(
    graph: Graph,
    values: Iterable[Value],
    channels: Mapping[Value, int],
    data: CalibrationData,
    progress: Progress | None = None,
) -> Calibration:
    """Runs `graph` on `data`, watching the range of `values` and the mean of others along the axis of their channels.

    `progress` is told the samples done. Raises QuantizationError where data or a value is not finite, naming it.
    """
    every = list(values)
    exact = {value: reach for value in every if (reach := range_of_bytes(value)) is not None}
    histograms = {value: Histogram() for value in every if value not in exact}
    sums = {value: Channels(axis, int(value.shape[axis])) for value, axis in channels.items()}
    calibration = Calibration(exact, histograms, sums, [], {})
    watched = [*histograms, *(value for value in sums if value not in histograms)]
    probe = graph.clone()
    copies = matching(graph, probe)
    probe.outputs += [(f"observed.{i}", copies[value]) for i, value in enumerate(watched)]
    model = load(Program({"forward": probe}))
    done = 0
    for where, inputs in batches(data, model.inputs):
        try:
            results = model.run(inputs)
        except RushlightError as error:
            raise QuantizationError(f"calibration, {where}: {error}") from None
        if not calibration.sizes:
            calibration.sizes = model.main.sizes([inputs[spec.name] for spec in model.inputs])
        for i, value in enumerate(watched):
            array = results[f"observed.{i}"]
            if not np.isfinite(array).all():
                raise QuantizationError(f"calibration, {where}: value '{value.name}' is not finite")
            for observer in (histograms.get(value), sums.get(value)):
                if observer is not None:
                    observer.see(array)
        if done < KEPT:
            calibration.runs.append(Run(inputs, {name: results[name] for name, _ in graph.outputs}))
        done += len(next(iter(inputs.values()))) if inputs else 1
        if progress:
            progress(done)
    return calibration


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


def matching(graph: Graph, clone: Graph) -> dict[Value, Value]:
    """Values of `graph` and their copies."""
    pairs = dict(zip(graph.inputs, clone.inputs, strict=True))
    for old, new in zip(graph.nodes, clone.nodes, strict=True):
        pairs.update(zip(old.outputs, new.outputs, strict=True))
    return pairs


def sqnr(graph: Graph, runs: Iterable[Run]) -> float | None:
    """The worst ratio, in dB, of a float output's power to that of its difference from `runs`; None without any."""
    model = load(Program({"forward": graph}))
    signal: dict[str, float] = {}
    noise: dict[str, float] = {}
    for run in runs:
        results = model.run(run.inputs)
        for name, expected in run.outputs.items():
            if expected.dtype.kind == "f":
                exact = expected.astype(np.float64)
                signal[name] = signal.get(name, 0.0) + float((exact**2).sum())
                noise[name] = noise.get(name, 0.0) + float(((exact - results[name]) ** 2).sum())
    tiny = np.finfo(np.float64).tiny
    ratios = [10 * (np.log10(max(signal[name], tiny)) - np.log10(max(noise[name], tiny))) for name in signal]
    return float(min(ratios)) if ratios else None
