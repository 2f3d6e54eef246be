"""Resampling."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from rushlight.exporter.emitter import Emitter
from rushlight.runtime.errors import UnsupportedError
from rushlight.runtime.ir import Value
from rushlight.runtime.types import DimLike


def _interpolate(
    b: Emitter, x: Value, mode: str, coordinates: str, size: Any, scales: Sequence[float | None] | None
) -> Value:
    rank = x.type.rank - 2
    if size is None and scales is not None:
        size = [_scaled(have, float(scale or 1)) for have, scale in zip(x.shape[2:], scales, strict=True)]
    stated = None if scales is None or any(scale is None for scale in scales) else [float(s or 1) for s in scales]
    planes = b.reshape(x, (*x.shape[:2], 1, x.shape[2])) if rank == 1 else x
    if rank == 1:
        size, stated = [1, *size], None if stated is None else [1.0, *stated]
    attrs = {"size": tuple(size), "mode": mode, "coordinates": coordinates, "rounding": "floor", "scales": stated}
    out = b.add_node("interpolate", [planes], attrs)[0]
    return b.reshape(out, (*out.shape[:2], out.shape[3])) if rank == 1 else out


def _scaled(size: DimLike, scale: float) -> DimLike:
    if isinstance(size, int):
        return int(np.floor(size * scale))
    fraction = Fraction(scale).limit_denominator(64)
    if float(fraction) != scale:
        raise UnsupportedError(f"of the dynamic size {size} by {scale}")
    return (size * fraction.numerator) // fraction.denominator


def _nearest(b: Emitter, x: Value, size: Any, scales: Any) -> Value:
    return _interpolate(b, x, "nearest", "asymmetric", size, scales)


def upsample_nearest1d(b: Emitter, x: Value, size: Any, scales: Any = None) -> Value:
    return _nearest(b, x, size, scales if scales is None or isinstance(scales, (list, tuple)) else [scales])


def upsample_nearest2d(b: Emitter, x: Value, size: Any, scales: Any = None, other: Any = None) -> Value:
    """The overloads: (size, scales), and (size, scale of the height, scale of the width)."""
    return _nearest(b, x, size, _pair(scales, other))


def _pair(scales: Any, other: Any) -> Any:
    if scales is None or isinstance(scales, (list, tuple)):
        return scales
    return [scales, other]


def _aligned(align_corners: bool) -> str:
    return "align_corners" if align_corners else "half_pixel"


def upsample_linear1d(b: Emitter, x: Value, size: Any, align_corners: bool, scales: Any = None) -> Value:
    wanted = scales if scales is None or isinstance(scales, (list, tuple)) else [scales]
    return _interpolate(b, x, "linear", _aligned(align_corners), size, wanted)


def upsample_bilinear2d(
    b: Emitter, x: Value, size: Any, align_corners: bool, scales: Any = None, other: Any = None
) -> Value:
    return _interpolate(b, x, "linear", _aligned(align_corners), size, _pair(scales, other))


def upsample_bicubic2d(
    b: Emitter, x: Value, size: Any, align_corners: bool, scales: Any = None, other: Any = None
) -> Value:
    return _interpolate(b, x, "cubic", _aligned(align_corners), size, _pair(scales, other))
