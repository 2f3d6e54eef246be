"""Resampling of images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..errors import ShapeError
from ..types import DimLike, TensorType
from .conv import LAYOUT
from .opdef import Array, Attr, Case, define
from .samples import sample
from .windows import from_channels_first, spatial_axes, to_channels_first

CUBIC = -0.75
"""The free parameter of the cubic kernel, as in PyTorch and ONNX."""


def _infer(
    x: TensorType,
    *,
    size: Sequence[DimLike],
    mode: str,
    coordinates: str,
    rounding: str,
    scales: Sequence[float] | None,
    layout: str,
) -> TensorType:
    if x.rank != 4 or (mode != "nearest" and x.dtype.kind != "f"):
        raise ShapeError(f"x {x} must have 4 dimensions, and be floating point unless mode is nearest")
    if len(size) != 2 or any(isinstance(s, int) and s < 1 for s in size):
        raise ShapeError(f"size must be 2 positive numbers, not {tuple(size)}")
    if scales is not None and (len(scales) != 2 or min(scales) <= 0):
        raise ShapeError(f"scales must be 2 positive numbers, not {tuple(scales)}")
    shape = list(x.shape)
    for axis, wanted in zip(spatial_axes(4, layout), size, strict=True):
        if shape[axis] == 0:
            raise ShapeError(f"x {x} is empty")
        shape[axis] = wanted
    return x.with_shape(shape)


def source_positions(inputs: int, outputs: int, coordinates: str, scale: float | None = None) -> Array:
    """float64 ``[outputs]``: where each output element lies between the input elements.

    `scale` is outputs / inputs as the model states it, where that differs from the ratio of the sizes.
    """
    out = np.arange(outputs, dtype=np.float64)
    ratio = inputs / outputs if scale is None else 1 / scale
    if coordinates == "align_corners":
        return out * ((inputs - 1) / (outputs - 1) if outputs > 1 else 0.0)
    if coordinates == "asymmetric":
        return out * ratio
    if coordinates == "pytorch_half_pixel" and outputs == 1:
        return np.zeros(1)
    return (out + 0.5) * ratio - 0.5


def nearest_sources(inputs: int, outputs: int, coordinates: str, rounding: str, scale: float | None = None) -> Array:
    """int64 ``[outputs]``: the input element that each output element copies."""
    at = source_positions(inputs, outputs, coordinates, scale)
    rounded = {
        "floor": lambda: np.floor(at),
        "ceil": lambda: np.ceil(at),
        "round_prefer_floor": lambda: np.ceil(at - 0.5),
        "round_prefer_ceil": lambda: np.floor(at + 0.5),
    }[rounding]()
    return np.clip(rounded, 0, inputs - 1).astype(np.int64)


def resize_weights(inputs: int, outputs: int, mode: str, coordinates: str, scale: float | None = None) -> Array:
    """float64 ``[outputs, inputs]``: linear or cubic interpolation along one axis as a matrix; the border repeats."""
    at = source_positions(inputs, outputs, coordinates, scale)
    if mode == "linear":
        at = np.clip(at, 0, inputs - 1)
    first = np.floor(at)
    t = at - first
    if mode == "linear":
        taps = [(0, 1 - t), (1, t)]
    else:
        taps = [(offset, _cubic(np.abs(t - offset))) for offset in (-1, 0, 1, 2)]
    weights = np.zeros((outputs, inputs))
    for offset, weight in taps:
        source = np.clip(first + offset, 0, inputs - 1).astype(np.int64)
        np.add.at(weights, (np.arange(outputs), source), weight)
    return weights


def _cubic(distance: Array) -> Array:
    near = ((CUBIC + 2) * distance - (CUBIC + 3)) * distance**2 + 1
    far = CUBIC * (((distance - 5) * distance + 8) * distance - 4)
    return np.where(distance <= 1, near, far)


def _reference(
    x: Array,
    *,
    size: Sequence[int],
    mode: str,
    coordinates: str,
    rounding: str,
    scales: Sequence[float] | None,
    layout: str,
) -> Array:
    first = to_channels_first(x, layout)
    axes = list(zip(first.shape[2:], size, scales or (None, None), strict=True))
    if mode == "nearest":
        rows, columns = (nearest_sources(i, o, coordinates, rounding, scale) for i, o, scale in axes)
        return from_channels_first(first[:, :, rows[:, None], columns], layout)
    left, right = (resize_weights(i, o, mode, coordinates, scale) for i, o, scale in axes)
    return from_channels_first((left @ first @ right.T).astype(x.dtype), layout)


def _cases() -> Iterator[Case]:
    def case(size: tuple[int, int], out: tuple[int, int], dtype: str = "float32", **attrs: Any) -> Case:
        layout = attrs.get("layout", "NCHW")
        shape = (2, 3, *size) if layout == "NCHW" else (2, *size, 3)
        return Case((sample(shape, dtype),), {"size": out, **attrs})

    for layout in ("NCHW", "NHWC"):
        yield case((4, 5), (8, 10), layout=layout)
        yield case((7, 9), (3, 4), layout=layout)
        for coordinates in ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"):
            for mode in ("linear", "cubic"):
                yield case((4, 7), (9, 5), mode=mode, coordinates=coordinates, layout=layout)
        yield case((5, 5), (1, 1), mode="linear", coordinates="pytorch_half_pixel", layout=layout)
        yield case((1, 1), (3, 2), mode="cubic", coordinates="half_pixel", layout=layout)
    for rounding in ("floor", "ceil", "round_prefer_floor", "round_prefer_ceil"):
        yield case((5, 6), (10, 9), coordinates="half_pixel", rounding=rounding)
    yield case((3, 4), (6, 8), "uint8")
    yield case((5, 5), (7, 7), mode="linear", coordinates="half_pixel", scales=(1.5, 1.5))


interpolate = define(
    "interpolate",
    family="resize",
    inputs=("x",),
    attrs={
        "size": Attr("dims", doc="height and width of the result"),
        "mode": Attr("str", "nearest", choices=("nearest", "linear", "cubic")),
        "coordinates": Attr(
            "str", "asymmetric", choices=("asymmetric", "half_pixel", "pytorch_half_pixel", "align_corners")
        ),
        "rounding": Attr(
            "str", "floor", "for mode nearest", choices=("floor", "ceil", "round_prefer_floor", "round_prefer_ceil")
        ),
        "scales": Attr("floats", None, "size / input size where the model states it", optional=True),
        "layout": LAYOUT,
    },
    infer=_infer,
    reference=_reference,
    cases=_cases,
    doc="x resampled to another height and width without antialiasing.",
)
