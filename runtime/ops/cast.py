"""Conversion between dtypes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..types import DTYPES, TensorType
from .opdef import Array, Attr, Case, define
from .samples import sample


def _infer(x: TensorType, dtype: str) -> TensorType:
    return x.with_dtype(dtype)


def convert(x: Array, dtype: str) -> Array:
    """Reference of `cast`."""
    target = np.dtype(dtype)
    if x.dtype.kind != "f" or target.kind not in "iu":
        return x.astype(target)
    limits = np.iinfo(target)
    whole = np.trunc(x.astype(np.float64))
    above, below = whole >= float(int(limits.max) + 1), whole < float(limits.min)
    inside = np.where(above | below | np.isnan(whole), 0, whole).astype(target)
    return np.where(above, limits.max, np.where(below, limits.min, inside)).astype(target)


def _cases() -> Iterator[Case]:
    wild = np.array([0.5, -0.5, 1.5, 254.9, 255.5, 3e9, -3e9, 1e19, -1e19, np.inf, -np.inf, np.nan], np.float32)
    for dtype in DTYPES:
        yield Case((sample((3, 7), np.float32, -100, 100),), {"dtype": dtype})
        yield Case((sample((5,), np.int64, -100000, 100000),), {"dtype": dtype})
        yield Case((sample((2, 3), bool),), {"dtype": dtype})
        yield Case((wild,), {"dtype": dtype})
    yield Case((sample((), np.float64),), {"dtype": "int32"})
    yield Case((sample((0, 4), np.uint8),), {"dtype": "float32"})


cast = define(
    "cast",
    family="cast",
    inputs=("x",),
    attrs={"dtype": Attr("dtype")},
    infer=_infer,
    reference=convert,
    cases=_cases,
    doc="x as another dtype: floats to integers towards zero, saturating, NaN to 0; integers wrap; bool is x != 0.",
    tolerance=0.0,
)
