"""Between floats and their quantized form ``x = (q - zero_point) * scale``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ShapeError
from ..types import TensorType
from .opdef import Array, Attr, Case, define
from .samples import sample
from .shapes import FLOAT, INTEGER, check_kind, normalize_axis

if TYPE_CHECKING:
    from ..ir.builder import GraphBuilder
    from ..ir.graph import Value

_AXIS = Attr("int", None, "axis of x along which scale and zero point are [C]; None: both are scalars", optional=True)


def saturate(v: Array, low: float, high: float) -> Array:
    """`v` between the bounds; NaN becomes `low`."""
    v = np.where(v > low, v, np.asarray(low, v.dtype))
    return np.where(v < high, v, np.asarray(high, v.dtype))


def _check_parameters(
    x: TensorType, scale: TensorType, zero_point: TensorType, quantized: np.dtype[Any], axis: int | None
) -> None:
    check_kind("scale", scale, FLOAT)
    shape = () if axis is None else (x.shape[normalize_axis(axis, x.rank)],)
    if scale.shape != shape or zero_point.shape != shape:
        raise ShapeError(f"scale {scale} and zero point {zero_point} must have shape {list(shape)}")
    if zero_point.dtype != quantized:
        raise ShapeError(f"zero point is {zero_point.dtype}, quantized values are {quantized}")


def _along(parameter: Array, rank: int, axis: int | None) -> Array:
    if axis is None:
        return parameter
    return parameter.reshape([-1 if i == axis % rank else 1 for i in range(rank)])


def _infer_quantize(
    x: TensorType, scale: TensorType, zero_point: TensorType, dtype: str, axis: int | None
) -> TensorType:
    check_kind("x", x, FLOAT)
    _check_parameters(x, scale, zero_point, np.dtype(dtype), axis)
    if scale.dtype != x.dtype:
        raise ShapeError(f"scale is {scale.dtype}, x is {x.dtype}")
    return x.with_dtype(dtype)


def _quantize(x: Array, scale: Array, zero_point: Array, dtype: str, axis: int | None) -> Array:
    limits = np.iinfo(dtype)
    v = np.rint(x / _along(scale, x.ndim, axis)) + _along(zero_point, x.ndim, axis).astype(x.dtype)
    return saturate(v, limits.min, limits.max).astype(dtype)


def _infer_dequantize(x: TensorType, scale: TensorType, zero_point: TensorType, axis: int | None) -> TensorType:
    check_kind("x", x, INTEGER)
    _check_parameters(x, scale, zero_point, x.dtype, axis)
    return x.with_dtype(scale.dtype)


def _dequantize(x: Array, scale: Array, zero_point: Array, axis: int | None) -> Array:
    shifted = x.astype(scale.dtype) - _along(zero_point, x.ndim, axis).astype(scale.dtype)
    return np.asarray(shifted * _along(scale, x.ndim, axis))


def _build_along(b: GraphBuilder, parameter: Value, rank: int, axis: int | None) -> Value:
    if axis is None:
        return parameter
    shape = tuple(parameter.shape[0] if i == axis % rank else 1 for i in range(rank))
    return b.reshape(parameter, shape=shape)  # type: ignore[no-any-return]


def _decompose_quantize(
    b: GraphBuilder, x: Value, scale: Value, zero_point: Value, dtype: str, axis: int | None
) -> Value:
    rank, limits = x.type.rank, np.iinfo(dtype)
    zero = b.cast(_build_along(b, zero_point, rank, axis), dtype=x.dtype.name)
    v = b.add(b.round(b.div(x, _build_along(b, scale, rank, axis))), zero)
    v = b.where(b.isnan(v), b.constant(np.array(limits.min, x.dtype)), v)
    return b.cast(b.clamp(v, min=float(limits.min), max=float(limits.max)), dtype=dtype)  # type: ignore[no-any-return]


def _decompose_dequantize(b: GraphBuilder, x: Value, scale: Value, zero_point: Value, axis: int | None) -> Value:
    rank, dtype = x.type.rank, scale.dtype.name
    zero = b.cast(_build_along(b, zero_point, rank, axis), dtype=dtype)
    shifted = b.sub(b.cast(x, dtype=dtype), zero)
    return b.mul(shifted, _build_along(b, scale, rank, axis))  # type: ignore[no-any-return]


_SHAPES: tuple[tuple[tuple[int, ...], int | None], ...] = (
    ((), None),
    ((65,), None),
    ((0, 3), None),
    ((3, 33), 0),
    ((2, 5, 3, 7), 1),
    ((2, 3, 7, 5), -1),
)


def _parameters(shape: tuple[int, ...], axis: int | None, dtype: Any) -> tuple[Array, Array]:
    length = () if axis is None else (shape[axis],)
    low, high = (100, 140) if np.dtype(dtype).kind == "u" else (-10, 10)
    return sample(length, low=0.01, high=0.05, seed=1), sample(length, dtype, low, high, seed=2)


def _quantize_cases() -> Iterator[Case]:
    for dtype in ("uint8", "int8"):
        for shape, axis in _SHAPES:
            yield Case((sample(shape), *_parameters(shape, axis, dtype)), {"dtype": dtype, "axis": axis})
    halves = np.array([0.5, 1.5, 2.5, -0.5, -1.5, np.inf, -np.inf, np.nan, 1e30, 254.5, 255.5, 127.5], np.float32)
    for dtype in ("uint8", "int8"):
        yield Case((halves, np.float32(1)[...], np.zeros((), dtype)), {"dtype": dtype})


def _dequantize_cases() -> Iterator[Case]:
    for dtype in (np.uint8, np.int8, np.int32):
        for shape, axis in _SHAPES:
            yield Case((sample(shape, dtype, -128, 127), *_parameters(shape, axis, dtype)), {"axis": axis})


quantize = define(
    "quantize",
    family="quantize",
    inputs=("x", "scale", "zero_point"),
    attrs={"dtype": Attr("str", "uint8", "of the result", choices=("uint8", "int8")), "axis": _AXIS},
    infer=_infer_quantize,
    reference=_quantize,
    decompose=_decompose_quantize,
    cases=_quantize_cases,
    doc="saturate(round(x / scale) + zero_point), halves to even, true division; NaN becomes the lowest value.",
    tolerance=0.0,
)

dequantize = define(
    "dequantize",
    family="quantize",
    inputs=("x", "scale", "zero_point"),
    attrs={"axis": _AXIS},
    infer=_infer_dequantize,
    reference=_dequantize,
    decompose=_decompose_dequantize,
    cases=_dequantize_cases,
    doc="(float(x) - float(zero_point)) scale, in the dtype of scale.",
    tolerance=0.0,
)
