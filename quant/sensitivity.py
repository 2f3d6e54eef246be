"""What each layer adds to the error of a quantized model, measured with that layer alone quantized."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, log10

from rushlight.runtime.ir import Node, Value

from .calibrate import Run, sqnr
from .cost import cost
from .data import Progress
from .placement import Placement
from .trial import Trial

TRIALS = 24
"""Runs of the model that the search for sensitive layers may take."""

PARTS = 12
"""Into how many parts a model with more layers is cut at first; what they add, in halves, says where to look closer."""

SAMPLES = 4
"""Samples, about, that each trial runs on."""


@dataclass(frozen=True)
class Part:
    """Matrix operators, or attention, that follow each other.

    `noise`: power of the error that quantizing nothing else causes, over that of the signal. `price`: how much longer,
    by estimate, the quantized model takes with them left float, as a share of its time.
    """

    nodes: tuple[Node, ...]
    noise: float
    price: float

    @property
    def floats(self) -> dict[Value, str]:
        """The operators' results, and why they are left float."""
        alone = "alone limits" if len(self.nodes) == 1 else f"with {len(self.nodes) - 1} beside it limits"
        return dict.fromkeys((node.output for node in self.nodes), f"{alone} the model to {self.sqnr:.1f} dB")

    @property
    def sqnr(self) -> float:
        """`noise` in dB."""
        return -10 * log10(max(self.noise, 1e-300))

    @property
    def worth(self) -> float:
        """How well leaving it float pays."""
        return self.noise / max(self.price, 1e-6)


def sensitivities(trial: Trial, progress: Progress | None = None) -> list[Part]:
    """The parts of a trial's quantized model, those first that pay most when they are left float.

    Takes at most `TRIALS` runs; `progress` is told how many are done.
    """
    runs = _few(trial.candidate.calibration.runs)
    whole = trial.candidate.placement
    time = cost(trial.candidate.graph, whole, trial.candidate.calibration.sizes)
    done = 0

    def measure(nodes: Sequence[Node]) -> Part:
        nonlocal done
        rest = trial.candidate.leaving(dict.fromkeys((node.output for node in nodes), ""))
        kept = {value for group in rest.placement.groups for value in group}
        ranges = {value: reach for value, reach in trial.ranges.items() if value not in kept}
        weights = [node for node in nodes if node in whole.weights]
        graph = trial.candidate.quantized(Placement(weights, [], whole.integer), ranges)
        ratio = sqnr(graph, runs)
        assert ratio is not None
        longer = cost(rest.graph, rest.placement, rest.calibration.sizes) - time
        done += 1
        if progress:
            progress(done)
        return Part(tuple(nodes), 10 ** (-ratio / 10), longer / time)

    single = set(whole.layers)
    layers = [node for node in trial.candidate.graph.nodes if node in single]
    length = ceil(len(layers) / PARTS) if len(layers) > TRIALS else 1
    parts = [measure(layers[i : i + length]) for i in range(0, len(layers), length)]
    while done + 2 <= TRIALS and any(len(part.nodes) > 1 for part in parts):
        worst = max((part for part in parts if len(part.nodes) > 1), key=lambda part: part.worth)
        middle = len(worst.nodes) // 2
        parts.remove(worst)
        parts += [measure(worst.nodes[:middle]), measure(worst.nodes[middle:])]
    return sorted(parts, key=lambda part: -part.worth)


def _few(runs: Sequence[Run]) -> list[Run]:
    """The first runs that hold `SAMPLES` samples."""
    found: list[Run] = []
    samples = 0
    for run in runs:
        if samples >= SAMPLES:
            break
        found.append(run)
        samples += len(next(iter(run.inputs.values()), ()))
    return found
