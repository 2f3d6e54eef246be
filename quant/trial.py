"""Ways to quantize a graph, tried on calibration data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from rushlight.runtime.ir import Graph, Node, Value, constant

from .calibrate import Calibration, matching, observe, sqnr
from .correction import corrected_biases, input_axes
from .data import CalibrationData, Progress
from .equalize import equalize
from .insert import insert_quantization, uint8_for
from .placement import Placement, keeps_range, place_quantization, reads_of, sources

MARGIN = 0.3
"""What another way to find ranges must gain, in dB, to be taken."""

EQUAL_MARGIN = 2.0
"""What equalization must gain: its factors fit the samples that they come from better than others."""

ATTENTION_MARGIN = 1.0
"""What leaving all attention float must gain, in dB: it makes a layer of a transformer a tenth slower."""

Ranges = dict[Value, tuple[float, float]]


@dataclass
class Candidate:
    """A float graph, what is to be quantized in it, and what was observed of it.

    `floats`: results of the matrix operators and of attention that stay float, and why.
    """

    graph: Graph
    placement: Placement
    calibration: Calibration
    floats: Mapping[Value, str] = field(default_factory=dict)
    equalized: bool = False
    _biases: dict[Value, Value] = field(default_factory=dict)

    def leaving(self, floats: Mapping[Value, str]) -> Candidate:
        """The same with more matrix operators, or attention, left float."""
        every = {**self.floats, **floats}
        return replace(self, floats=every, placement=place_quantization(self.graph, every))

    def equal(self) -> Candidate | None:
        """The same with channels equalized; None where there is nothing to equalize."""
        graph = self.graph.clone()
        copies = matching(self.graph, graph)
        calibration = self.calibration.moved(copies)
        if not equalize(graph, {value: total.peak() for value, total in calibration.channels.items()}):
            return None
        floats = {copies[value]: why for value, why in self.floats.items()}
        placement = place_quantization(graph, floats)
        values, channels = _watched(placement)
        new = observe(
            graph,
            [value for value in values if not calibration.knows(value)],
            {value: axis for value, axis in channels.items() if value not in calibration.channels},
            [run.inputs for run in calibration.runs],
        )
        return Candidate(graph, placement, calibration.joined(new), floats, equalized=True)

    def ranges(self, method: str) -> Ranges:
        """The ranges of all values that are quantized, found by one of `observers.METHODS`."""

        def reach(value: Value) -> tuple[float, float]:
            if not self.calibration.knows(value) and value.producer is not None and keeps_range(value.producer):
                return _union(reach(part) for part in reads_of(value.producer))
            return self.calibration.range(value, method)

        found: Ranges = {}
        for group in self.placement.groups:
            found |= dict.fromkeys(group, _union(reach(value) for value in sources(group)))
        return found

    def quantized(self, placement: Placement, ranges: Mapping[Value, tuple[float, float]]) -> Graph:
        """A copy of the graph, the weights of `placement` and the values of `ranges` quantized, biases corrected."""
        graph = self.graph.clone()
        copies = matching(self.graph, graph)

        def copy(node: Node) -> Node:
            found = copies[node.outputs[0]].producer
            assert found is not None
            return found

        weights = [copy(node) for node in placement.weights]
        missing = [node for node in placement.weights if node.output not in self._biases]
        if missing:
            self._biases |= corrected_biases(missing, self.calibration.means())
        for node, new in zip(placement.weights, weights, strict=True):
            bias = self._biases[node.output]
            assert bias.data is not None
            new.inputs[2] = constant(bias.data, bias.name)
        activations = {copies[value]: uint8_for(*reach) for value, reach in ranges.items()}
        integer = {copy(node): None for node in placement.integer}
        insert_quantization(graph, Placement(weights, [], integer), activations)
        return graph


@dataclass
class Trial:
    """A quantized graph, the ranges that it covers, and its ratio of signal to noise on calibration data, in dB."""

    candidate: Candidate
    method: str
    ranges: Ranges
    graph: Graph
    sqnr: float | None


def calibrate(graph: Graph, data: CalibrationData, floats: Mapping[Value, str], progress: Progress | None) -> Candidate:
    """Decides what to quantize in `graph` and observes it. Raises QuantizationError for data that cannot be used."""
    placement = place_quantization(graph, floats)
    return Candidate(graph, placement, observe(graph, *_watched(placement), data, progress), floats)


def attempt(candidate: Candidate, method: str) -> Trial:
    """Quantizes a candidate with ranges found by `method`."""
    ranges = candidate.ranges(method)
    graph = candidate.quantized(candidate.placement, ranges)
    return Trial(candidate, method, ranges, graph, sqnr(graph, candidate.calibration.runs))


def best(first: Trial, others: Iterable[Trial], margin: float) -> Trial:
    """`first`, or the one of `others` that comes closer to the float model by more than `margin` dB."""
    for trial in others:
        if trial.sqnr is not None and first.sqnr is not None and trial.sqnr > first.sqnr + margin:
            first = trial
    return first


def _union(reaches: Iterable[tuple[float, float]]) -> tuple[float, float]:
    lows, highs = zip(*reaches, strict=True)
    return min(lows), max(highs)


def _watched(placement: Placement) -> tuple[list[Value], dict[Value, int]]:
    return [value for group in placement.groups for value in sources(group)], input_axes(placement.weights)
