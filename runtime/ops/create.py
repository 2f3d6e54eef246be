"""Operators that make tensors from attributes alone; sizes may be symbolic."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import ShapeError
from ..types import DimLike, TensorType, floordiv
from .opdef import Array, Attr, Case, define


def _infer_full(*, shape: Sequence[DimLike], value: float, dtype: str) -> TensorType:
    if any(isinstance(d, int) and d < 0 for d in shape):
        raise ShapeError(f"negative dimension in {tuple(shape)}")
    return TensorType(np.dtype(dtype), tuple(shape))


def _full(*, shape: Sequence[int], value: float, dtype: str) -> Array:
    return np.full(shape, np.asarray(value).astype(dtype))


def _infer_arange(*, bounds: Sequence[DimLike], dtype: str) -> TensorType:
    if len(bounds) != 3:
        raise ShapeError(f"bounds must be (start, end, step), not {tuple(bounds)}")
    start, end, step = bounds
    if not isinstance(step, int) or step == 0:
        raise ShapeError(f"step {step} must be a number other than 0")
    distance = end - start if step > 0 else start - end
    count = floordiv(distance + (abs(step) - 1), abs(step))
    return TensorType(np.dtype(dtype), (max(0, count) if isinstance(count, int) else count,))


def _dim_values(*, values: Sequence[int]) -> Array:
    return np.array(values, np.int64)


def _cases(*entries: dict[str, Any]) -> list[Case]:
    return [Case((), attrs) for attrs in entries]


full = define(
    "full",
    family="create",
    inputs=(),
    attrs={"shape": Attr("dims"), "value": Attr("float"), "dtype": Attr("dtype", "float32")},
    infer=_infer_full,
    reference=_full,
    cases=lambda: _cases(
        {"shape": (2, 3), "value": 1.5},
        {"shape": (), "value": 7.0, "dtype": "int64"},
        {"shape": (0, 4), "value": 0.0},
        {"shape": (17,), "value": 1.0, "dtype": "bool"},
    ),
    tolerance=0.0,
    doc="A tensor with every element equal to value.",
)

arange = define(
    "arange",
    family="create",
    inputs=(),
    attrs={"bounds": Attr("dims", doc="start, end (not included), step"), "dtype": Attr("dtype", "int64")},
    infer=_infer_arange,
    reference=lambda bounds, dtype: np.arange(*bounds).astype(dtype),
    cases=lambda: _cases(
        {"bounds": (0, 5, 1)},
        {"bounds": (2, 11, 3), "dtype": "float32"},
        {"bounds": (5, -2, -2)},
        {"bounds": (3, 3, 1)},
        {"bounds": (4, 1, 1)},
    ),
    tolerance=0.0,
    doc="start, start + step, ... before end.",
)

dim_values = define(
    "dim_values",
    family="create",
    inputs=(),
    attrs={"values": Attr("dims")},
    infer=lambda values: TensorType(np.dtype(np.int64), (len(values),)),
    reference=_dim_values,
    cases=lambda: _cases({"values": (1, 2, 3)}, {"values": ()}),
    tolerance=0.0,
    doc="Sizes, which may be symbolic, as an int64 vector.",
)
