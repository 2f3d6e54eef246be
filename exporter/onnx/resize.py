"""Resampling."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from rushlight.exporter.emitter import Emitter
from rushlight.exporter.onnx.model import OnnxNode
from rushlight.exporter.onnx.windows import lift, lower
from rushlight.runtime.errors import UnsupportedError
from rushlight.runtime.types import DimLike

_COORDINATES = ("asymmetric", "half_pixel", "pytorch_half_pixel", "align_corners")


def Upsample(b: Emitter, n: OnnxNode) -> Any:
    scales = n.attr("scales")
    if scales is None:
        scales = [float(s) for s in b.array(n.input(1), "the scales")]
    return _resize(b, n, list(range(len(scales))), scales, None, "asymmetric", "floor")


def Resize(b: Emitter, n: OnnxNode) -> Any:
    rank = n.input(0).type.rank
    axes = [axis % rank for axis in n.attr("axes", range(rank))]
    if n.opset < 11:
        scales = [float(s) for s in b.array(n.input(1), "the scales")]
        return _resize(b, n, axes, scales, None, "asymmetric", "floor")
    if n.attr("antialias", 0) or n.attr("exclude_outside", 0):
        raise UnsupportedError("with antialias or exclude_outside")
    if n.attr("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise UnsupportedError(n.attr("keep_aspect_ratio_policy"))
    coordinates = n.attr("coordinate_transformation_mode", "half_pixel")
    rounding = n.attr("nearest_mode", "round_prefer_floor")
    sizes = n.optional(3)
    if sizes is not None and sizes.type.shape != (0,):
        return _resize(b, n, axes, None, b.dims(sizes, "the sizes"), coordinates, rounding)
    known = b.elements(n.input(2))
    if known is None:
        raise UnsupportedError("the scales depend on data")
    return _resize(b, n, axes, known.reshape(-1).tolist(), None, coordinates, rounding)


def _resize(
    b: Emitter,
    n: OnnxNode,
    axes: list[int],
    scales: list[float] | None,
    sizes: list[DimLike] | None,
    coordinates: str,
    rounding: str,
) -> Any:
    x = b.constant(n.input(0))
    mode = n.attr("mode", "nearest")
    if mode == "cubic" and abs(n.attr("cubic_coeff_a", -0.75) + 0.75) > 1e-6:
        raise UnsupportedError("with another cubic_coeff_a")
    shape = list(x.shape)
    stated = [1.0] * x.type.rank
    for place, axis in enumerate(axes):
        if sizes is not None:
            shape[axis] = sizes[place]
        elif scales is not None:
            stated[axis] = float(scales[place])
            shape[axis] = _scaled(shape[axis], stated[axis])
            if (
                coordinates == "align_corners"
                and isinstance(shape[axis], int)
                and shape[axis] != x.shape[axis] * stated[axis]
            ):
                raise UnsupportedError("align_corners with scales that give no whole size")
    if coordinates not in _COORDINATES:
        raise UnsupportedError(f"coordinates {coordinates}")
    if shape == list(x.shape):
        return x
    spatial = range(2, x.type.rank)
    moved = [axis for axis, size in enumerate(shape) if size != x.shape[axis]]
    if len(spatial) not in (1, 2) or any(axis not in spatial for axis in moved):
        raise UnsupportedError(f"of {x.type} along axes {moved}")
    attrs = {
        "size": shape[2:],
        "mode": mode,
        "coordinates": coordinates,
        "rounding": rounding,
    }
    if scales is not None:
        attrs["scales"] = stated[2:]
    if len(spatial) == 2:
        return b.interpolate(x, **attrs)
    attrs["size"] = [1, *shape[2:]]
    if scales is not None:
        attrs["scales"] = [1.0, *stated[2:]]
    return lower(b, b.interpolate(lift(b, x), **attrs))


def _scaled(size: DimLike, scale: float) -> DimLike:
    """floor(size * scale). Raises UnsupportedError where a dynamic size is scaled by no simple fraction."""
    if isinstance(size, int):
        return int(np.floor(np.float32(size) * np.float32(scale)))
    fraction = Fraction(scale).limit_denominator(64)
    if np.float32(fraction.numerator / fraction.denominator) != np.float32(scale):
        raise UnsupportedError(f"the dynamic size {size} by {scale}")
    return (size * fraction.numerator) // fraction.denominator
