"""Ways to quantize a graph, tried on calibration data."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rushlight.runtime.ir import Graph, Value

from .calibrate import Calibration, matching, observe, sqnr
from .correction import correct_biases, input_axes
from .data import CalibrationData, Progress
from .equalize import equalize
from .insert import insert_quantization, uint8_for
from .placement import Placement, place_quantization, sources

MARGIN = 0.3
"""What another way to find ranges must gain, in dB, to be taken."""

EQUAL_MARGIN = 2.0
"""What equalization must gain: its factors fit the samples that they come from better than others."""


@dataclass
class Candidate:
    """A float graph, what is to be quantized in it, and what was observed of it."""

    graph: Graph
    placement: Placement
    calibration: Calibration
    equalized: bool = False

    def equal(self) -> Candidate | None:
        """The same with channels equalized; None where there is nothing to equalize."""
        graph = self.graph.clone()
        calibration = self.calibration.moved(matching(self.graph, graph))
        if not equalize(graph, {value: total.peak() for value, total in calibration.channels.items()}):
            return None
        placement = place_quantization(graph)
        values, channels = _watched(placement)
        new = observe(
            graph,
            [value for value in values if not calibration.knows(value)],
            {value: axis for value, axis in channels.items() if value not in calibration.channels},
            [run.inputs for run in calibration.runs],
        )
        return Candidate(graph, placement, calibration.joined(new), equalized=True)


@dataclass
class Trial:
    """A quantized graph, the ranges that it covers, and its ratio of signal to noise on calibration data, in dB."""

    candidate: Candidate
    method: str
    ranges: dict[Value, tuple[float, float]]
    graph: Graph
    sqnr: float | None


def calibrate(graph: Graph, data: CalibrationData, progress: Progress | None) -> Candidate:
    """Decides what to quantize in `graph` and observes it. Raises QuantizationError for data that cannot be used."""
    placement = place_quantization(graph)
    return Candidate(graph, placement, observe(graph, *_watched(placement), data, progress))


def attempt(candidate: Candidate, methods: Iterable[str]) -> list[Trial]:
    """Quantizes a candidate, whose biases are corrected, with ranges found by each of `methods`."""
    correct_biases(candidate.placement.weights, candidate.calibration.means())
    return [_attempt(candidate, method) for method in methods]


def best(first: Trial, others: Iterable[Trial], margin: float) -> Trial:
    """`first`, or the one of `others` that comes closer to the float model by more than `margin` dB."""
    for trial in others:
        if trial.sqnr is not None and first.sqnr is not None and trial.sqnr > first.sqnr + margin:
            first = trial
    return first


def _watched(placement: Placement) -> tuple[list[Value], dict[Value, int]]:
    return [value for group in placement.groups for value in sources(group)], input_axes(placement.weights)


def _attempt(candidate: Candidate, method: str) -> Trial:
    ranges: dict[Value, tuple[float, float]] = {}
    for group in candidate.placement.groups:
        reaches = [candidate.calibration.range(value, method) for value in sources(group)]
        ranges |= dict.fromkeys(group, (min(low for low, _ in reaches), max(high for _, high in reaches)))
    graph = candidate.graph.clone()
    copies = matching(candidate.graph, graph)
    activations = {copies[value]: uint8_for(*reach) for value, reach in ranges.items()}
    insert_quantization(graph, place_quantization(graph), activations)
    return Trial(candidate, method, ranges, graph, sqnr(graph, candidate.calibration.runs))
