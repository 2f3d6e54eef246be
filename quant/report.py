"""What quantization did, as data and as a page."""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from rushlight.runtime.errors import QuantizationError
from rushlight.runtime.files import replacing
from rushlight.runtime.ir import Value

from .insert import quantize_weight, uint8_for
from .placement import Placement


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
    layers = recipe["layers"]
    columns = list(layers[0])
    head = "".join(f"<th>{escape(name)}</th>" for name in columns)
    rows = "\n".join(
        f"<tr>{''.join(f'<td>{escape(_cell(row[name]))}</td>' for name in columns)}</tr>" for row in layers
    )
    score = recipe.get("score")
    scores = f"<p>Score: float {score['float']:.6g}, int8 {score['int8']:.6g}</p>" if score else ""
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Quantization report</title>
<style>
body {{ font: 14px system-ui; margin: 2em }}
table {{ border-collapse: collapse }}
td, th {{ padding: .2em .8em; border: 1px solid #ccc }}
</style>
<h1>Quantization report</h1>
<p>Scheme {escape(recipe["scheme"])}, observer {escape(recipe["observer"])}, {len(layers)} layers.</p>
{scores}
<table><tr>{head}</tr>
{rows}
</table></html>
"""


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        return "[" + ", ".join(_cell(v) for v in value) + "]"
    return "" if value is None else str(value)
