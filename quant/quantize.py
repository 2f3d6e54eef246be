"""`rl.quantize`: a float program to an int8 program, calibrated on data."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from os import PathLike
from typing import Any

from rushlight.runtime.errors import QuantizationError
from rushlight.runtime.ir import Graph, Value
from rushlight.runtime.model import Model, load
from rushlight.runtime.passes import canonicalize, decompose
from rushlight.runtime.program import Program

from .calibrate import sqnr
from .cost import losing
from .data import CalibrationData, Progress
from .mix import is_useless, mend
from .observers import AUTO, METHODS
from .placement import place_quantization
from .recurrent import round_recurrences
from .report import float_report, layer_report, write_report
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
    min_sqnr: float | str | None = "auto",
    keep_float: Iterable[str] = (),
    all_layers: bool = False,
    progress: Progress | None = None,
    trials: Progress | None = None,
) -> Program:
    """A program whose matrix operators, and the chains between them, run on int8 weights and uint8 activations.

    `data`: calibration inputs: a path to an `.npz` (one array an input, samples along axis 0), a dict of such arrays,
    or an iterable of an array, a tuple or a dict a run. `evaluate(model) -> float`, higher is better: with `max_drop`
    the quantized model is refused (QuantizationError) if it scores lower by more than that. `report`: a file to write
    what was done to, `.json` or `.html`. `progress` is told the samples done, `trials` the runs that the search for
    sensitive layers took. `observer` says how ranges are found: "minmax", "percentile", "mse" (least mean square
    error), or "auto": "minmax", or "mse" where it comes closer to the float model on the first samples, with the
    channels of layer norms equalized where that gains much.

    Some layers stay float: those with a weight or result whose name fits a pattern (`*`, `?`, `[...]`) of `keep_float`;
    those that would run slower as integers, an estimate from sizes (not with `all_layers`); and those whose error is
    out of proportion. For these, `min_sqnr` is the ratio of signal to noise, in dB, that the outputs must reach on the
    calibration data: layers that add most error for their time are left float until they do, and the program is refused
    (QuantizationError) where none of the mixes tried does. "auto" leaves layers float where that gains much at little
    cost, more where the model would be useless otherwise (`mix.FLOOR`); None leaves the errors as they are.

    Weights are symmetric per output channel, activations asymmetric per tensor; biases make up for what rounding the
    weights adds on average. Recurrent weights become int8 too where the outputs do not show it; the state stays float,
    and is rounded to 16 bits where it is multiplied. What was done stands in `provenance["quantization"]`. Raises
    QuantizationError for data that cannot be used, naming the input and the sample, for patterns that fit nothing, and
    for programs with nothing to quantize.
    """
    if scheme not in SCHEMES:
        raise QuantizationError(f"scheme '{scheme}' is not known; there is {', '.join(SCHEMES)}")
    if observer not in OBSERVERS:
        raise QuantizationError(f"observer '{observer}' is not known; there is {', '.join(OBSERVERS)}")
    if max_drop is not None and evaluate is None:
        raise QuantizationError("max_drop needs evaluate")
    if isinstance(min_sqnr, str) and min_sqnr != "auto":
        raise QuantizationError(f"min_sqnr '{min_sqnr}' is neither a number of dB nor 'auto'")
    graph = program.graph.clone()
    if any(node.op.name == "dequantize" for node in graph.nodes):
        raise QuantizationError("the program is quantized already")
    canonicalize(graph)
    while decompose(graph, lambda node: node.op.name not in DECOMPOSED):
        canonicalize(graph)
    asked = _named(graph, keep_float)
    plain = calibrate(graph, data, asked, progress)
    if not plain.placement.weights:
        raise QuantizationError("there is no convolution or linear layer with constant weights to quantize")
    if not all_layers:
        slower = losing(graph, plain.placement, plain.calibration.sizes)
        plain = plain.leaving(dict.fromkeys(slower, "is faster in float, by estimate"))
        if not plain.placement.weights:
            raise QuantizationError(
                "no layer would run faster as int8, by estimate; all_layers (--all-layers) quantizes them all the same"
            )
    equal = plain.equal() if observer == "auto" else None
    first, *others = (attempt(plain, method) for method in (AUTO if observer == "auto" else (observer,)))
    found = best(first, others, MARGIN)
    if equal is not None:
        found = best(found, [attempt(equal, found.method)], EQUAL_MARGIN)
    limited = None
    target = None if min_sqnr is None or isinstance(min_sqnr, str) else float(min_sqnr)
    if min_sqnr is not None:
        mix = mend(found, target, trials)
        if target is not None and not mix.met and mix.trial.sqnr is not None:
            left, layers = (len(trial.candidate.placement.weights) for trial in (mix.trial, found))
            raise QuantizationError(
                f"no mix of int8 and float layers that was tried reaches {target:g} dB; the closest, with {left} of "
                f"{layers} layers int8, has {mix.trial.sqnr:.1f} dB"
            )
        limited = found.sqnr if mix.parts else None
        found = mix.trial
    runs = found.candidate.calibration.runs
    closeness, quantized_graph = found.sqnr, found.graph.clone()
    recurrences = round_recurrences(quantized_graph, found.candidate.graph, runs, found.sqnr)
    if recurrences:
        closeness = sqnr(quantized_graph, runs)
        if target is not None and closeness is not None and closeness < target:
            closeness, quantized_graph, recurrences = found.sqnr, found.graph, []
    recipe: dict[str, Any] = {
        "scheme": scheme,
        "observer": found.method,
        "equalized": found.candidate.equalized,
        "sqnr_db": None if closeness is None else round(closeness, 2),
        "sqnr_without_float_layers_db": None if limited is None else round(limited, 2),
        "useless": is_useless(closeness),
        "layers": layer_report(found.candidate.placement, found.ranges),
        "float_layers": float_report(found.candidate.graph, found.candidate.floats),
        "recurrences": recurrences,
    }
    methods_of = {**program.methods, _main(program): quantized_graph}
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


def _named(graph: Graph, patterns: Iterable[str]) -> dict[Value, str]:
    """Results of the matrix operators that patterns name, by their weights or results. Raises QuantizationError."""
    found: dict[Value, str] = {}
    layers = place_quantization(graph).weights
    for pattern in patterns:
        fits = [
            node.output
            for node in layers
            if any(
                value is not None and value.name and fnmatchcase(value.name, pattern)
                for value in (node.inputs[1], node.output)
            )
        ]
        if not fits:
            raise QuantizationError(f"no layer that would be int8 is named '{pattern}'")
        found |= dict.fromkeys(fits, f"is asked for by '{pattern}'")
    return found
