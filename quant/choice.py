"""What of a program becomes int8, and how: the steps of `quantize`, each from what the one before found."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from rushlight.runtime.errors import QuantizationError
from rushlight.runtime.ir import Graph, Value

from .calibrate import sqnr
from .cost import losing
from .data import CalibrationData, Progress
from .mix import mend
from .placement import ATTENTION, MATRIX, place_quantization
from .recurrent import round_recurrences
from .trial import ATTENTION_MARGIN, EQUAL_MARGIN, MARGIN, Candidate, Trial, attempt, best, calibrate


@dataclass
class Choice:
    """The quantized graph, and how it came about.

    `sqnr`: the ratio of signal to noise of its outputs on the calibration data, in dB; `limited`: the same before
    sensitive layers were left float, None where none were; `recurrences`: names of recurrent weights made int8.
    """

    trial: Trial
    graph: Graph
    sqnr: float | None
    limited: float | None
    recurrences: list[str]


def observed(
    graph: Graph, data: CalibrationData, keep_float: Iterable[str], all_layers: bool, progress: Progress | None
) -> Candidate:
    """A graph with the layers that become int8, as far as names and sizes say. Raises QuantizationError for none."""
    plain = calibrate(graph, data, _named(graph, keep_float), progress)
    if not plain.placement.weights:
        raise QuantizationError("there is no convolution or linear layer with constant weights to quantize")
    if all_layers:
        return plain
    slower = losing(graph, plain.placement, plain.calibration.sizes)
    plain = plain.leaving(dict.fromkeys(slower, "is faster in float, by estimate"))
    if not plain.placement.weights:
        raise QuantizationError(
            "no layer would run faster as int8, by estimate; all_layers (--all-layers) quantizes them all the same"
        )
    return plain


def closest(candidate: Candidate, methods: tuple[str, ...], equalizing: bool) -> Trial:
    """The trial closest to the float graph: ranges by one of `methods`, channels equalized where that gains much."""
    equal = candidate.equal() if equalizing else None
    first, *others = (attempt(candidate, method) for method in methods)
    found = best(first, others, MARGIN)
    if equal is None:
        return found
    return best(found, [attempt(equal, found.method)], EQUAL_MARGIN)


def calmed(trial: Trial) -> Trial:
    """The trial, or the one with all attention left float where that is much closer to the float graph."""
    attention = [node.output for node in trial.candidate.placement.layers if node.op.name in ATTENTION]
    if not attention:
        return trial
    floats = dict.fromkeys(attention, f"with all attention beside it costs the model more than {ATTENTION_MARGIN:g} dB")
    return best(trial, [attempt(trial.candidate.leaving(floats), trial.method)], ATTENTION_MARGIN)


def mended(trial: Trial, target: float | None, progress: Progress | None) -> tuple[Trial, bool]:
    """The trial with sensitive layers left float, see `mix.mend`, and whether any were.

    Raises QuantizationError where no mix tried reaches `target`.
    """
    mix = mend(trial, target, progress)
    if target is not None and not mix.met and mix.trial.sqnr is not None:
        left, layers = (len(every.candidate.placement.weights) for every in (mix.trial, trial))
        raise QuantizationError(
            f"no mix of int8 and float layers that was tried reaches {target:g} dB; the closest, with {left} of "
            f"{layers} layers int8, has {mix.trial.sqnr:.1f} dB"
        )
    return mix.trial, bool(mix.parts)


def finished(trial: Trial, limited: float | None, target: float | None) -> Choice:
    """The trial's graph, with recurrences rounded where the outputs do not show it and `target` is still reached."""
    runs = trial.candidate.calibration.runs
    graph = trial.graph.clone()
    names = round_recurrences(graph, trial.candidate.graph, runs, trial.sqnr)
    if names:
        ratio = sqnr(graph, runs)
        if target is None or ratio is None or ratio >= target:
            return Choice(trial, graph, ratio, limited, names)
    return Choice(trial, trial.graph, trial.sqnr, limited, [])


def _named(graph: Graph, patterns: Iterable[str]) -> dict[Value, str]:
    """Results of the matrix operators that patterns name, by their weights or results, and of attention, by its own.
    Raises QuantizationError."""
    found: dict[Value, str] = {}
    layers = place_quantization(graph).layers
    for pattern in patterns:
        fits = [
            node.output
            for node in layers
            if any(
                value is not None and value.name and fnmatchcase(value.name, pattern)
                for value in ((node.inputs[1], node.output) if node.op.name in MATRIX else (node.output,))
            )
        ]
        if not fits:
            raise QuantizationError(f"no layer that would be int8 is named '{pattern}'")
        found |= dict.fromkeys(fits, f"is asked for by '{pattern}'")
    return found
