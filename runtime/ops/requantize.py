"""What the integer operators share: checks, and the way from exact sums to uint8."""

from __future__ import annotations

import numpy as np

from ..errors import ShapeError
from ..types import TensorType
from .opdef import Array, Attr
from .quantize import saturate

UINT8 = np.dtype(np.uint8)
RANGE = {
    "qmin": Attr("int", 0, "lowest value of a uint8 result"),
    "qmax": Attr("int", 255, "highest value of a uint8 result"),
}
X_ZERO_POINT = Attr("int", doc="value of x that stands for 0")


def check_uint8(**types: TensorType | None) -> None:
    for name, type in types.items():
        if type is not None and type.dtype != UINT8:
            raise ShapeError(f"{name} is {type.dtype}, must be uint8")


def check_bytes(**values: int) -> None:
    for name, value in values.items():
        if not 0 <= value <= 255:
            raise ShapeError(f"{name} {value} is no uint8")


def check_range(qmin: int, qmax: int) -> None:
    check_bytes(qmin=qmin, qmax=qmax)
    if qmin > qmax:
        raise ShapeError(f"qmin {qmin} is above qmax {qmax}")


def to_uint8(v: Array, qmin: int, qmax: int) -> Array:
    """`v` clamped to [qmin, qmax] and rounded, halves to even; NaN becomes `qmin`."""
    return np.rint(saturate(v, qmin, qmax)).astype(np.uint8)


def subtract_zero_point(x: Array, zero_point: int) -> Array:
    """``x - zero_point`` in int32."""
    return np.asarray(x.astype(np.int32) - np.int32(zero_point))
