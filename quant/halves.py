"""Weights stored in 16 bits: half the file, half the memory to read in every run, float32 arithmetic as before."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from os import PathLike
from typing import Any

import numpy as np

from rushlight.runtime.errors import QuantizationError
from rushlight.runtime.ir import Graph, Value, constant, halve
from rushlight.runtime.model import Model, load
from rushlight.runtime.ops import Array
from rushlight.runtime.program import Program

from .calibrate import KEPT, Run, sqnr
from .data import CalibrationData, batches
from .report import check_score, write_report

SCHEMES: Mapping[str, str] = {"bf16-weight": "bfloat16", "fp16-weight": "float16"}
"""Formats by the scheme that stores weights in them."""

_LAYERS = ("linear", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d")
WEIGHTS: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(_LAYERS, ("weight",)),
    "matmul": ("a", "b"),
    **dict.fromkeys(("lstm", "gru", "lstm_scan", "gru_scan"), ("w_ih", "w_hh")),
    **dict.fromkeys(("gather", "index_select"), ("x",)),
}
"""Which inputs of which operators are weights: of layers and recurrences, and tables that indices read."""


def halve_weights(
    program: Program,
    scheme: str,
    data: CalibrationData | None,
    keep_float: Iterable[str],
    min_sqnr: float | None,
    evaluate: Callable[[Model], float] | None,
    max_drop: float | None,
    report: str | PathLike[str] | None,
) -> Program:
    """The program with its weights rounded to the 16-bit format of `scheme`; see `quantize`."""
    if min_sqnr is not None and data is None:
        raise QuantizationError("min_sqnr needs data to measure it on")
    graph = program.graph.clone()
    layers, floats = _halve(graph, SCHEMES[scheme], list(keep_float))
    if not layers:
        raise QuantizationError("there are no float32 weights to store in 16 bits")
    closeness = None if data is None else sqnr(graph, _runs(program, data))
    if min_sqnr is not None and closeness is not None and closeness < min_sqnr:
        raise QuantizationError(f"the outputs reach {closeness:.1f} dB, {min_sqnr:g} are asked for")
    recipe: dict[str, Any] = {
        "scheme": scheme,
        "sqnr_db": None if closeness is None else round(closeness, 2),
        "layers": layers,
        "float_layers": floats,
    }
    if "quantization" in program.provenance:
        recipe["before"] = program.provenance["quantization"]
    halved = Program({**program.methods, program.main: graph}, {**program.provenance, "quantization": recipe})
    if evaluate is not None:
        recipe["score"] = check_score(program, halved, SCHEMES[scheme], evaluate, max_drop)
    if report is not None:
        write_report(recipe, report)
    return halved


def _halve(graph: Graph, format: str, keep: list[str]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rounds the weights of `graph`; a row for each one, and one for each that stays float32."""
    layers: list[dict[str, Any]] = []
    floats: list[dict[str, Any]] = []
    made: dict[Value, Value] = {}
    fitting: set[str] = set()
    for node in graph.nodes:
        names = [name.rstrip("?") for name in node.op.inputs]
        for name in WEIGHTS.get(node.op.name, ()):
            value = node.inputs[names.index(name)] if name in names else None
            if value is None or value in made or not _is_weight(value):
                continue
            fits = [pattern for pattern in keep if value.name and fnmatchcase(value.name, pattern)]
            fitting.update(fits)
            array = value.data
            assert array is not None
            row = {"operator": node.op.name, "weight": value.name, "shape": list(value.shape)}
            half = constant(halve(array, format), value.name)
            rounded = half.data
            assert rounded is not None
            if fits:
                floats.append({**row, "why": f"is asked for by '{fits[0]}'"})
            elif not np.array_equal(np.isfinite(rounded), np.isfinite(array)):
                floats.append({**row, "why": f"has numbers that {format} cannot hold"})
            else:
                layers.append({**row, "weight_sqnr_db": _ratio(array, rounded)})
                made[value] = half
                continue
            made[value] = value
    unknown = [pattern for pattern in keep if pattern not in fitting]
    if unknown:
        raise QuantizationError(f"no weight is named '{unknown[0]}'")
    graph.replace_many({old: new for old, new in made.items() if old is not new})
    return layers, floats


def _is_weight(value: Value) -> bool:
    return isinstance(value.stored, np.ndarray) and value.dtype == np.float32 and value.type.rank > 1


def _ratio(array: Array, rounded: Array) -> float | None:
    """Signal to noise in dB, None where there is none of one."""
    signal = float(np.square(array, dtype=np.float64).sum())
    noise = float(np.square(array.astype(np.float64) - rounded).sum())
    return round(10 * np.log10(signal / noise), 2) if signal and noise and np.isfinite(signal) else None


def _runs(program: Program, data: CalibrationData) -> list[Run]:
    """The program's own answers to the first samples."""
    model = load(program)
    runs: list[Run] = []
    for _, inputs in batches(data, model.inputs):
        runs.append(Run(inputs, model.run(inputs)))
        if len(runs) == KEPT:
            break
    return runs
