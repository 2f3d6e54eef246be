"""`rl.quantize`: a float program to an int8 program, calibrated on data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from os import PathLike
from typing import Any

from rushlight.runtime.errors import QuantizationError
from rushlight.runtime.ir import Graph, Value
from rushlight.runtime.model import Model, load
from rushlight.runtime.passes import canonicalize, decompose
from rushlight.runtime.program import Program

from .calibrate import Calibration, matching, observe, sqnr
from .correction import correct_biases, input_axes
from .data import CalibrationData
from .insert import insert_quantization, uint8_for
from .observers import AUTO, MARGIN, METHODS
from .placement import Placement, place_quantization, sources
from .report import layer_report, write_report

SCHEMES = ("int8",)
OBSERVERS = ("auto", *METHODS)

DECOMPOSED = ("conv1d", "conv_transpose1d", "conv_transpose2d", "adaptive_avg_pool2d")
"""Operators that are quantized as what they are made of."""


def quantize(
    program: Program,
    data: CalibrationData,
    scheme: str = "int8",
    evaluate: Callable[[Model], float] | None = None,
    max_drop: float | None = None,
    report: str | PathLike[str] | None = None,
    *,
    observer: str = "auto",
    progress: Callable[[int], None] | None = None,
) -> Program:
    """A program whose matrix operators, and the chains between them, run on int8 weights and uint8 activations.

    `data`: calibration inputs: a path to an `.npz` (one array an input, samples along axis 0), a dict of such arrays,
    or an iterable of an array, a tuple or a dict a run. `evaluate(model) -> float`, higher is better: with `max_drop`
    the quantized model is refused (QuantizationError) if it scores lower by more than that. `report`: a file to write
    what was done to, `.json` or `.html`. `progress` is told the samples done. `observer` says how ranges are found:
    "minmax", "percentile", "mse" (least mean square error), or "auto": "mse" where it comes clearly closer to the float
    model than "minmax", measured on the first samples.

    Weights are symmetric per output channel, activations asymmetric per tensor; biases make up for what rounding the
    weights adds on average. Raises QuantizationError for data that
    cannot be used, naming the input and the sample, and for programs with nothing to quantize.
    """
    if scheme not in SCHEMES:
        raise QuantizationError(f"scheme '{scheme}' is not known; there is {', '.join(SCHEMES)}")
    if observer not in OBSERVERS:
        raise QuantizationError(f"observer '{observer}' is not known; there is {', '.join(OBSERVERS)}")
    if max_drop is not None and evaluate is None:
        raise QuantizationError("max_drop needs evaluate")
    graph = program.graph.clone()
    if any(node.op.name == "dequantize" for node in graph.nodes):
        raise QuantizationError("the program is quantized already")
    canonicalize(graph)
    while decompose(graph, lambda node: node.op.name not in DECOMPOSED):
        canonicalize(graph)
    placement = place_quantization(graph)
    if not placement.weights:
        raise QuantizationError("there is no convolution or linear layer with constant weights to quantize")
    values = [value for group in placement.groups for value in sources(group)]
    calibration = observe(graph, values, input_axes(placement.weights), data, progress)
    correct_biases(placement.weights, calibration.means())
    methods = AUTO if observer == "auto" else (observer,)
    trials = [_trial(graph, placement, calibration, method) for method in methods]
    best = trials[0]
    for trial in trials[1:]:
        if trial.sqnr is not None and best.sqnr is not None and trial.sqnr > best.sqnr + MARGIN:
            best = trial
    recipe: dict[str, Any] = {
        "scheme": scheme,
        "observer": best.method,
        "sqnr_db": None if best.sqnr is None else round(best.sqnr, 2),
        "layers": layer_report(placement, best.ranges),
    }
    quantized = Program({**program.methods, _main(program): best.graph}, {**program.provenance, "quantization": recipe})
    if evaluate is not None:
        recipe["score"] = {"float": float(evaluate(load(program))), "int8": float(evaluate(load(quantized)))}
        drop = recipe["score"]["float"] - recipe["score"]["int8"]
        if max_drop is not None and not drop <= max_drop:
            raise QuantizationError(f"the quantized model scores {drop:.6g} lower, allowed is {max_drop:g}")
    if report is not None:
        write_report(recipe, report)
    return quantized


@dataclass
class _Trial:
    """A quantized graph, the ranges that it covers, and its ratio of signal to noise on calibration data, in dB."""

    method: str
    ranges: dict[Value, tuple[float, float]]
    graph: Graph
    sqnr: float | None


def _trial(graph: Graph, placement: Placement, calibration: Calibration, method: str) -> _Trial:
    ranges: dict[Value, tuple[float, float]] = {}
    for group in placement.groups:
        reaches = [calibration.range(value, method) for value in sources(group)]
        ranges |= dict.fromkeys(group, (min(low for low, _ in reaches), max(high for _, high in reaches)))
    copy = graph.clone()
    copies = matching(graph, copy)
    activations = {copies[value]: uint8_for(*reach) for value, reach in ranges.items()}
    insert_quantization(copy, place_quantization(copy), activations)
    return _Trial(method, ranges, copy, sqnr(copy, calibration.runs))


def _main(program: Program) -> str:
    return next(name for name, graph in program.methods.items() if graph is program.graph)
