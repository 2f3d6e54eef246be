"""`rl.quantize`: a float program to an int8 program, calibrated on data."""

from __future__ import annotations

from collections.abc import Callable
from os import PathLike
from typing import Any

from rushlight.runtime.errors import QuantizationError
from rushlight.runtime.model import Model, load
from rushlight.runtime.passes import canonicalize, decompose
from rushlight.runtime.program import Program

from .calibrate import sqnr
from .data import CalibrationData, Progress
from .observers import AUTO, METHODS
from .recurrent import round_recurrences
from .report import layer_report, write_report
from .trial import EQUAL_MARGIN, MARGIN, attempt, best, calibrate

SCHEMES = ("int8",)
OBSERVERS = ("auto", *METHODS)

DECOMPOSED = ("conv1d", "conv_transpose1d", "conv_transpose2d", "adaptive_avg_pool2d", "lstm", "gru")
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
    progress: Progress | None = None,
) -> Program:
    """A program whose matrix operators, and the chains between them, run on int8 weights and uint8 activations.

    `data`: calibration inputs: a path to an `.npz` (one array an input, samples along axis 0), a dict of such arrays,
    or an iterable of an array, a tuple or a dict a run. `evaluate(model) -> float`, higher is better: with `max_drop`
    the quantized model is refused (QuantizationError) if it scores lower by more than that. `report`: a file to write
    what was done to, `.json` or `.html`. `progress` is told the samples done. `observer` says how ranges are found:
    "minmax", "percentile", "mse" (least mean square error), or "auto": "minmax", or "mse" where it comes closer to the
    float model on the first samples, with the channels of layer norms equalized where that gains much.

    Weights are symmetric per output channel, activations asymmetric per tensor; biases make up for what rounding the
    weights adds on average. Recurrent weights become int8 too where the outputs do not show it; the state stays float,
    and is rounded to 16 bits where it is multiplied. Raises QuantizationError for data that cannot be used, naming the
    input and the sample, and for programs with nothing to quantize.
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
    plain = calibrate(graph, data, progress)
    if not plain.placement.weights:
        raise QuantizationError("there is no convolution or linear layer with constant weights to quantize")
    equal = plain.equal() if observer == "auto" else None
    first, *others = attempt(plain, AUTO if observer == "auto" else (observer,))
    found = best(first, others, MARGIN)
    if equal is not None:
        found = best(found, attempt(equal, [found.method]), EQUAL_MARGIN)
    runs = found.candidate.calibration.runs
    recurrences = round_recurrences(found.graph, found.candidate.graph, runs, found.sqnr)
    closeness = sqnr(found.graph, runs) if recurrences else found.sqnr
    recipe: dict[str, Any] = {
        "scheme": scheme,
        "observer": found.method,
        "equalized": found.candidate.equalized,
        "sqnr_db": None if closeness is None else round(closeness, 2),
        "layers": layer_report(found.candidate.placement, found.ranges),
        "recurrences": recurrences,
    }
    methods_of = {**program.methods, _main(program): found.graph}
    quantized = Program(methods_of, {**program.provenance, "quantization": recipe})
    if evaluate is not None:
        recipe["score"] = {"float": float(evaluate(load(program))), "int8": float(evaluate(load(quantized)))}
        drop = recipe["score"]["float"] - recipe["score"]["int8"]
        if max_drop is not None and not drop <= max_drop:
            raise QuantizationError(f"the quantized model scores {drop:.6g} lower, allowed is {max_drop:g}")
    if report is not None:
        write_report(recipe, report)
    return quantized


def _main(program: Program) -> str:
    return next(name for name, graph in program.methods.items() if graph is program.graph)
