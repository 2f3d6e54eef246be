"""`rl.quantize`: a float program to an int8 program, calibrated on data."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from os import PathLike
from typing import Any

from rushlight.runtime.errors import QuantizationError
from rushlight.runtime.ir import Graph
from rushlight.runtime.model import Model
from rushlight.runtime.passes import canonicalize, decompose
from rushlight.runtime.passes.channels import fold_half_channels
from rushlight.runtime.program import Program

from . import halves
from .choice import Choice, calmed, closest, finished, mended, observed
from .data import CalibrationData, Progress
from .mix import is_useless
from .observers import AUTO, METHODS
from .report import check_score, float_report, layer_report, write_report

SCHEMES = ("int8", *halves.SCHEMES)
OBSERVERS = ("auto", *METHODS)

DECOMPOSED = ("conv1d", "conv_transpose1d", "conv_transpose2d", "adaptive_avg_pool2d", "lstm", "gru")
"""Operators that are quantized as what they are made of."""


def quantize(
    program: Program,
    data: CalibrationData | None = None,
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
    """A program whose matrix operators, attention and what lies between run on int8 weights and uint8 activations.

    With `scheme` "bf16-weight" or "fp16-weight": the program with its weights rounded to 16 bits, computing in float32.

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
    cost, more where the model would be useless otherwise (`mix.FLOOR`), and all attention where that gains more than
    `trial.ATTENTION_MARGIN`; None leaves the errors as they are.

    Weights are symmetric per output channel, activations asymmetric per tensor; biases make up for what rounding the
    weights adds on average. Recurrent weights become int8 too where the outputs do not show it; the state stays float,
    and is rounded to 16 bits where it is multiplied.

    Weights of 16 bits are those of layers and recurrences, and tables of embeddings. They need no data; what there is
    tells how close the outputs come, and `min_sqnr`, a number, is what they must reach. Weights that a pattern of
    `keep_float` names stay float32, and those with numbers beyond the format's range. `observer`, `all_layers`,
    `progress` and `trials` do not matter. What was done stands in `provenance["quantization"]`. Raises
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
    if scheme in halves.SCHEMES:
        target = None if isinstance(min_sqnr, str) else min_sqnr
        return halves.halve_weights(program, scheme, data, keep_float, target, evaluate, max_drop, report)
    if data is None:
        raise QuantizationError("int8 needs data to calibrate on")
    candidate = observed(_prepared(program.graph), data, keep_float, all_layers, progress)
    trial = closest(candidate, AUTO if observer == "auto" else (observer,), equalizing=observer == "auto")
    target = None if min_sqnr is None or isinstance(min_sqnr, str) else float(min_sqnr)
    limited = None
    if min_sqnr is not None:
        trial = calmed(trial)
        before = trial.sqnr
        trial, mixed = mended(trial, target, trials)
        limited = before if mixed else None
    choice = finished(trial, limited, target)
    recipe = _recipe(choice, scheme)
    methods = {**program.methods, program.main: choice.graph}
    quantized = Program(methods, {**program.provenance, "quantization": recipe})
    if evaluate is not None:
        recipe["score"] = check_score(program, quantized, "int8", evaluate, max_drop)
    if report is not None:
        write_report(recipe, report)
    return quantized


def _prepared(graph: Graph) -> Graph:
    """A copy in canonical form, made of operators that can be quantized. Raises QuantizationError for integers."""
    graph = graph.clone()
    if any(node.op.name == "dequantize" for node in graph.nodes):
        raise QuantizationError("the program is quantized already")
    canonicalize(graph)
    while decompose(graph, lambda node: node.op.name not in DECOMPOSED):
        canonicalize(graph)
    fold_half_channels(graph)
    return graph


def _recipe(choice: Choice, scheme: str) -> dict[str, Any]:
    """What was done, for the report and the file."""
    trial = choice.trial
    return {
        "scheme": scheme,
        "observer": trial.method,
        "equalized": trial.candidate.equalized,
        "sqnr_db": _rounded(choice.sqnr),
        "sqnr_without_float_layers_db": _rounded(choice.limited),
        "useless": is_useless(choice.sqnr),
        "layers": layer_report(trial.candidate.placement, trial.ranges),
        "float_layers": float_report(trial.candidate.graph, trial.candidate.floats),
        "recurrences": choice.recurrences,
    }


def _rounded(ratio: float | None) -> float | None:
    return None if ratio is None else round(ratio, 2)
