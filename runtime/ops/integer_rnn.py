"""Recurrences with int8 weights. Between steps the state stays float; the products take it rounded to 16 bits.

Sums are exact in int32: ``v = fma(float32(sum(q w)), scale, x)`` with ``q`` the state times `levels`, clamped to
+-`levels` and rounded to the nearest integer, halves to even (a NaN is -`levels`). States of recurrent layers lie in
[-1, 1], so that nothing needs to be calibrated.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..errors import ShapeError
from ..types import Dim, DimLike, TensorType
from .opdef import Array, Attr, Case, define
from .rnn import ATTRS, GRU_ATTRS, Product, gru_recurrence, infer_recurrence, lstm_recurrence, scan_cases
from .samples import sample

LEVELS = 2**15 - 1
_LEVELS = {"levels": Attr("int", doc="what a state of 1 is rounded to")}


def levels_for(hidden: int) -> int:
    """As many as sums over `hidden` products allow in int32."""
    return min(LEVELS, (2**31 - 1) // (128 * max(hidden, 1)))


def _check(w_hh: TensorType, hidden: DimLike, levels: int) -> None:
    if w_hh.dtype != np.int8:
        raise ShapeError(f"w_hh is {w_hh.dtype}, must be int8")
    if isinstance(hidden, Dim) or not 1 <= levels <= levels_for(hidden):
        raise ShapeError(f"sums of {hidden} products with {levels} levels may not fit into int32")


def _infer_qlstm_scan(
    x: TensorType, h0: TensorType, c0: TensorType, w_hh: TensorType, scale: TensorType, *, levels: int, **attrs: bool
) -> tuple[TensorType, ...]:
    weights = w_hh.with_dtype(x.dtype)
    y = infer_recurrence(4, x, {"h0": h0, "c0": c0}, (None, weights), {"scale": scale}, **attrs)
    _check(w_hh, w_hh.shape[2], levels)
    return y, h0, c0


def _infer_qgru_scan(
    x: TensorType,
    h0: TensorType,
    w_hh: TensorType,
    scale: TensorType,
    bias: TensorType | None = None,
    *,
    levels: int,
    linear_before_reset: bool,
    **attrs: bool,
) -> tuple[TensorType, ...]:
    weights = w_hh.with_dtype(x.dtype)
    y = infer_recurrence(3, x, {"h0": h0}, (None, weights), {"scale": scale, "bias": bias}, **attrs)
    _check(w_hh, w_hh.shape[2], levels)
    return y, h0


def _integer_product(w_hh: Array, scale: Array, levels: int) -> Product:
    def product(direction: int, v: Array, rows: slice) -> Array:
        q = np.where(np.isnan(v), -levels, np.rint(np.clip(v * np.float32(levels), -levels, levels))).astype(np.int64)
        sums = q @ w_hh[direction][rows].astype(np.int64).T
        out: Array = sums.astype(v.dtype) * scale[direction][rows]
        return out

    return product


def _qlstm_scan(
    x: Array, h0: Array, c0: Array, w_hh: Array, scale: Array, *, levels: int, **attrs: bool
) -> tuple[Array, ...]:
    return lstm_recurrence(x, h0, c0, _integer_product(w_hh, scale, levels), **attrs)


def _qgru_scan(
    x: Array, h0: Array, w_hh: Array, scale: Array, bias: Array | None = None, *, levels: int, **attrs: bool
) -> tuple[Array, ...]:
    return gru_recurrence(x, h0, _integer_product(w_hh, scale, levels), bias, **attrs)


def _cases(gates: int, states: int) -> Iterator[Case]:
    """The cases of the float recurrences, with random int8 weights."""
    for case in scan_cases(gates, states):
        w_hh = case.inputs[1 + states]
        assert w_hh is not None
        weights = sample(w_hh.shape, np.int8, -128, 128, seed=5)
        scale = sample(w_hh.shape[:2], low=2e-7, high=4e-7, seed=6)
        inputs = (*case.inputs[: 1 + states], weights, scale, *case.inputs[2 + states :])
        yield Case(inputs, {**case.attrs, "levels": levels_for(w_hh.shape[2])})


define(
    "qlstm_scan",
    family="integer",
    inputs=("x", "h0", "c0", "w_hh", "scale"),
    outputs=("y", "hn", "cn"),
    attrs={**ATTRS, **_LEVELS},
    infer=_infer_qlstm_scan,
    reference=_qlstm_scan,
    cases=lambda: _cases(4, 2),
    doc="lstm_scan with int8 weights [D, 4 H, H]; scale [D, 4 H] is that of the sums.",
    tolerance=1e-4,
)

define(
    "qgru_scan",
    family="integer",
    inputs=("x", "h0", "w_hh", "scale", "bias?"),
    outputs=("y", "hn"),
    attrs={**GRU_ATTRS, **_LEVELS},
    infer=_infer_qgru_scan,
    reference=_qgru_scan,
    cases=lambda: _cases(3, 1),
    doc="gru_scan with int8 weights [D, 3 H, H]; scale [D, 3 H] is that of the sums.",
    tolerance=1e-4,
)
