"""What quantization did, as data and as a page."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from html import escape
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from rushlight.runtime.errors import QuantizationError
from rushlight.runtime.files import replacing
from rushlight.runtime.ir import Graph, Value
from rushlight.runtime.model import Model, load
from rushlight.runtime.program import Program

from .insert import quantize_weight, uint8_for
from .placement import MATRIX, Placement


def layer_report(placement: Placement, ranges: Mapping[Value, tuple[float, float]]) -> list[dict[str, Any]]:
    """One row a layer with int8 weights: operator, weight, the weights' SQNR in dB, input range, scale, zero point."""
    rows: list[dict[str, Any]] = []
    for node in placement.weights:
        x, weight = node.inputs[0], node.inputs[1]
        assert x is not None
        assert weight is not None
        assert weight.data is not None
        low, high = ranges[x]
        how = uint8_for(low, high)
        q, scale = quantize_weight(weight.data)
        error = weight.data - q * scale.reshape(-1, *[1] * (q.ndim - 1))
        noise = float((error.astype(np.float64) ** 2).sum())
        signal = float((weight.data.astype(np.float64) ** 2).sum())
        rows.append(
            {
                "operator": node.op.name,
                "weight": weight.name,
                "shape": list(weight.data.shape),
                "weight_sqnr_db": round(10 * np.log10(signal / noise), 2) if noise and signal else None,
                "input": [low, high],
                "scale": how.scale,
                "zero_point": how.zero_point,
            }
        )
    return rows


def float_report(graph: Graph, floats: Mapping[Value, str]) -> list[dict[str, Any]]:
    """One row a layer that could be int8 and stays float: operator, weight, or result for attention, its shape, why."""
    rows: list[dict[str, Any]] = []
    for node in graph.nodes:
        if node.outputs[0] in floats:
            why = floats[node.outputs[0]]
            shown = node.inputs[1] if node.op.name in MATRIX else node.output
            assert shown is not None
            shape = [dim if isinstance(dim, int) else str(dim) for dim in shown.shape]
            rows.append({"operator": node.op.name, "weight": shown.name, "shape": shape, "why": why})
    return rows


def check_score(
    program: Program, quantized: Program, name: str, evaluate: Callable[[Model], float], max_drop: float | None
) -> dict[str, float]:
    """Both programs' scores, that of the second by `name`. Raises QuantizationError where it is lower by more than
    `max_drop`."""
    before, after = float(evaluate(load(program))), float(evaluate(load(quantized)))
    if max_drop is not None and not before - after <= max_drop:
        raise QuantizationError(f"the quantized model scores {before - after:.6g} lower, allowed is {max_drop:g}")
    return {"float": before, name: after}


def write_report(recipe: Mapping[str, Any], path: str | PathLike[str]) -> None:
    """Writes `recipe` as `.json` or as an `.html` page. Raises QuantizationError for another suffix."""
    target = Path(path)
    if target.suffix == ".json":
        text = json.dumps(recipe, indent=1) + "\n"
    elif target.suffix == ".html":
        text = _page(recipe)
    else:
        raise QuantizationError(f"{target}: a report is a .json or an .html file")
    with replacing(target) as temporary:
        temporary.write_text(text, "utf-8")


def _page(recipe: Mapping[str, Any]) -> str:
    score = recipe.get("score", {})
    scores = f"<p>Score: {', '.join(f'{name} {value:.6g}' for name, value in score.items())}</p>" if score else ""
    observer = f", observer {escape(recipe['observer'])}" if "observer" in recipe else ""
    floats = recipe["float_layers"]
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Quantization report</title>
<style>
body {{ font: 14px system-ui; margin: 2em }}
table {{ border-collapse: collapse }}
td, th {{ padding: .2em .8em; border: 1px solid #ccc }}
</style>
<h1>Quantization report</h1>
<p>Scheme {escape(recipe["scheme"])}{observer}, {len(recipe["layers"])} layers.</p>
<p>{escape(" ".join(closeness(recipe)))}</p>
{scores}
{_table(recipe["layers"])}
{"<h2>Layers that stay float</h2>" + _table(floats) if floats else ""}
</html>
"""


def closeness(recipe: Mapping[str, Any]) -> list[str]:
    """Sentences on how close the outputs come to the float model's on the data, and what was done for that."""
    if recipe["sqnr_db"] is None:
        return []
    ranges = f", ranges by {recipe['observer']}" if "observer" in recipe else ""
    told = [f"{recipe['sqnr_db']:.1f} dB of signal to noise on the data{ranges}."]
    before = recipe.get("sqnr_without_float_layers_db")
    if before is not None:
        told.append(f"With those layers int8 that limit it: {before:.1f} dB.")
    if recipe.get("useless"):
        told.append("That is too much noise for most uses; no mix of int8 and float layers that was tried is closer.")
    return told


def _table(rows: list[dict[str, Any]]) -> str:
    columns = list(rows[0])
    head = "".join(f"<th>{escape(name)}</th>" for name in columns)
    cells = ("".join(f"<td>{escape(_cell(row[name]))}</td>" for name in columns) for row in rows)
    return f"<table><tr>{head}</tr>\n" + "\n".join(f"<tr>{row}</tr>" for row in cells) + "\n</table>"


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        return "[" + ", ".join(_cell(v) for v in value) + "]"
    return "" if value is None else str(value)
