"""Averages of quantized values; the arithmetic is part of the definition, as in `integer`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..errors import ShapeError
from ..types import DimLike, TensorType, product
from .conv import LAYOUT
from .fma import fma
from .integer_samples import qavg_pool2d_cases, qmean_cases
from .opdef import Array, Attr, define
from .reduce import DIMS, KEEPDIM
from .requantize import (
    RANGE,
    X_ZERO_POINT,
    check_bytes,
    check_range,
    check_uint8,
    subtract_zero_point,
    to_uint8,
)
from .shapes import normalize_axes, reduced_shape
from .windows import (
    check_windows,
    from_channels_first,
    pad_spatial,
    spatial_axes,
    to_channels_first,
    window_count,
    windows,
)

_AVERAGE = {
    "x_zero_point": X_ZERO_POINT,
    "scale": Attr("float", doc="scale of x over that of the result"),
    "offset": Attr("float", doc="zero point of the result"),
    **RANGE,
}


def _average(total: Array, count: Array, *, scale: float, offset: float, qmin: int, qmax: int) -> Array:
    factor = np.float32(scale) / count.astype(np.float32)
    return to_uint8(fma(total.astype(np.float32), factor, np.float32(offset)), qmin, qmax)


MAX_WINDOW = (2**31 - 1) // 255
"""Largest number of elements whose sum surely fits into int32."""


def _check_window(sizes: Iterable[DimLike]) -> None:
    count = product(sizes)
    if isinstance(count, int) and count > MAX_WINDOW:
        raise ShapeError(f"sums of {count} elements may not fit into int32 (at most {MAX_WINDOW})")


def _infer_qavg_pool2d(
    x: TensorType,
    *,
    kernel_size: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    count_include_pad: bool,
    layout: str,
    x_zero_point: int,
    scale: float,
    offset: float,
    qmin: int,
    qmax: int,
) -> TensorType:
    check_uint8(x=x)
    check_bytes(x_zero_point=x_zero_point)
    check_range(qmin, qmax)
    if x.rank != 4:
        raise ShapeError(f"x {x} must have 4 dimensions")
    check_windows(2, padding, kernel_size=kernel_size, stride=stride)
    if any(pad >= kernel for pad, kernel in zip(padding, (*kernel_size, *kernel_size), strict=True)):
        raise ShapeError(f"padding {tuple(padding)} leaves windows of {tuple(kernel_size)} empty")
    shape = list(x.shape)
    sizes = [shape[axis] for axis in spatial_axes(4, layout)]
    _check_window(min(k, n) if isinstance(n, int) else k for k, n in zip(kernel_size, sizes, strict=True))
    for i, axis in enumerate(spatial_axes(4, layout)):
        shape[axis] = window_count(shape[axis], kernel_size[i], stride[i], padding[i], padding[2 + i])
    return x.with_shape(shape)


def _qavg_pool2d(
    x: Array,
    *,
    kernel_size: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    count_include_pad: bool,
    layout: str,
    x_zero_point: int,
    **attrs: Any,
) -> Array:
    def total(values: Array) -> Array:
        padded = pad_spatial(values, padding, 0)
        counts = [(n - k) // s + 1 for n, k, s in zip(padded.shape[2:], kernel_size, stride, strict=True)]
        return np.asarray(windows(padded, kernel_size, stride, (1, 1), counts).sum(axis=(-2, -1)))

    shifted = to_channels_first(subtract_zero_point(x, x_zero_point), layout)
    inside = total(np.ones((1, 1, *shifted.shape[2:]), np.int32))
    count = np.array(kernel_size[0] * kernel_size[1]) if count_include_pad else inside
    return from_channels_first(_average(total(shifted), count, **attrs), layout)


define(
    "qavg_pool2d",
    family="integer",
    inputs=("x",),
    attrs={
        "kernel_size": Attr("ints"),
        "stride": Attr("ints"),
        "padding": Attr("ints", (0, 0, 0, 0), "(top, left, bottom, right)"),
        "count_include_pad": Attr("bool", True, "padding counts as elements of value 0"),
        "layout": Attr("str", "NHWC", LAYOUT.doc, choices=LAYOUT.choices),
        **_AVERAGE,
    },
    infer=_infer_qavg_pool2d,
    reference=_qavg_pool2d,
    cases=qavg_pool2d_cases,
    doc="Mean of windows of uint8 x: v = fma(sum(x - x_zero_point), scale / count, offset), the quotient in float32.",
    tolerance=0.0,
)


def _infer_qmean(
    x: TensorType,
    *,
    dim: Sequence[int],
    keepdim: bool,
    x_zero_point: int,
    scale: float,
    offset: float,
    qmin: int,
    qmax: int,
) -> TensorType:
    check_uint8(x=x)
    check_bytes(x_zero_point=x_zero_point)
    check_range(qmin, qmax)
    axes = normalize_axes(dim, x.rank)
    _check_window(x.shape[axis] for axis in axes)
    return x.with_shape(reduced_shape(x.shape, axes, keepdim))


def _qmean(x: Array, *, dim: Sequence[int], keepdim: bool, x_zero_point: int, **attrs: Any) -> Array:
    axes = normalize_axes(dim, x.ndim)
    total = subtract_zero_point(x, x_zero_point).sum(axis=axes, keepdims=keepdim)
    count = np.array(int(np.prod([x.shape[axis] for axis in axes], dtype=np.int64)))
    return _average(np.asarray(total), count, **attrs)


define(
    "qmean",
    family="integer",
    inputs=("x",),
    attrs={"dim": DIMS, "keepdim": KEEPDIM, **_AVERAGE},
    infer=_infer_qmean,
    reference=_qmean,
    cases=qmean_cases,
    doc="Mean of uint8 x along `dim`: v = fma(sum(x - x_zero_point), scale / n, offset), the quotient in float32.",
    tolerance=0.0,
)
