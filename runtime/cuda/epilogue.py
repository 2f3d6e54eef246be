"""What kernels do with finished sums: `Epilogue` and `Batch` of epilogue.cuh, from the parameters of a call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..lower.activation import KINDS
from .family import Call

_LIMITS = ("none", "relu", "clamp")
"""Activations that are no more than limits of a result."""


def epilogue(call: Call, columns: int, rows: tuple[str, str], offset: int = 0) -> dict[str, Any]:
    """For operands that end with bias, scale, residual and result; `rows`: the parameters that are the steps of the
    residual and of the result from row to row. `offset`: an address."""
    fields = call.fields
    bias, scale, residual, out = call.operands[-4:]
    kind = KINDS[fields["activation"]]
    is_float = call.row.types.endswith("f32") or call.row.types == "f32"
    low, high = (-np.inf, np.inf) if is_float else (0.0, 255.0)
    if kind == "relu":
        low = 0.0
    elif kind == "clamp":
        low, high = fields["alpha"], fields["beta"]
    return {
        "offset": offset,
        "scale": scale,
        "bias": bias,
        "residual": residual,
        "out": out,
        "residual_row": fields[rows[0]],
        "out_row": fields[rows[1]],
        "columns": columns,
        "is_float": int(is_float),
        "curve": 0 if kind in _LIMITS else fields["activation"],
        "alpha": fields["alpha"],
        "beta": fields["beta"],
        "residual_scale": fields["residual_scale"],
        "low": low,
        "high": high,
    }


def batch(fields: Any) -> Mapping[str, Any]:
    """Of a call of gemm."""
    steps = {"src": "src", "weight": "weight", "bias": "bias", "residual": "residual", "out": "dst"}
    return {name: fields[f"{field}_batch"] for name, field in steps.items()} | {"inner": fields["batch"][1]}
