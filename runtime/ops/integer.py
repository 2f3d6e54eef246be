"""Operators on quantized values, as the quantization pass makes them. Their arithmetic is part of the definition.

Sums are exact in int32; what leaves them is ``v = fma(float32(sum), scale, bias)``, with one rounding; uint8
results are v clamped to [qmin, qmax] and rounded to the nearest integer, halves to even. Zero points of results are
inside `bias` or `offset`, which need not be whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import ShapeError
from ..types import Dim, DimLike, TensorType, product
from .activation import ACTIVATION_ATTRS, activate
from .conv import LAYOUT, convolve, infer_conv
from .fma import fma
from .integer_samples import qadd_cases, qaffine_cases, qconv2d_cases, qlinear_cases, qlut_cases, qmul_cases
from .opdef import Array, Attr, define
from .requantize import (
    RANGE,
    UINT8,
    X_ZERO_POINT,
    check_bytes,
    check_range,
    check_uint8,
    subtract_zero_point,
    to_uint8,
)
from .shapes import broadcast_shapes, check_vector, normalize_axis
from .windows import channel_axis

MAX_DEPTH = (2**31 - 1) // (255 * 128)
"""Products of a uint8 difference and an int8 whose sum is sure to fit int32."""

_EPILOGUE = {
    "x_zero_point": X_ZERO_POINT,
    "residual_scale": Attr("float", 0.0, "factor of a uint8 residual; its zero point is inside bias"),
    **RANGE,
    "out_dtype": Attr("str", "uint8", choices=("uint8", "float32")),
    **ACTIVATION_ATTRS,
}


def _check_weight(weight: TensorType) -> None:
    if weight.dtype != np.int8:
        raise ShapeError(f"weight is {weight.dtype}, must be int8")
    depth = product(weight.shape[1:])
    if isinstance(depth, Dim) or depth > MAX_DEPTH:
        raise ShapeError(f"sums of {depth} products may not fit into int32 (at most {MAX_DEPTH})")


def _check_epilogue(
    scale: TensorType,
    bias: TensorType,
    residual: TensorType | None,
    channels: DimLike,
    shape: tuple[DimLike, ...],
    *,
    x_zero_point: int,
    residual_scale: float,
    qmin: int,
    qmax: int,
    out_dtype: str,
    activation: str,
    **_: float,
) -> TensorType:
    check_bytes(x_zero_point=x_zero_point)
    check_range(qmin, qmax)
    if out_dtype == "uint8" and activation != "none":
        raise ShapeError(f"activation {activation} needs out_dtype float32")
    check_vector("scale", scale, np.dtype(np.float32), channels)
    check_vector("bias", bias, np.dtype(np.float32), channels)
    out = TensorType(np.dtype(out_dtype), shape)
    if residual is not None and residual != out:
        raise ShapeError(f"residual is {residual}, must be {out} as the result")
    return out


def _finish(
    acc: Array,
    scale: Array,
    bias: Array,
    residual: Array | None,
    *,
    residual_scale: float,
    qmin: int,
    qmax: int,
    out_dtype: str,
    **activation: Any,
) -> Array:
    """From the exact sums to the result; `scale` and `bias` broadcast to the shape of `acc`."""
    v = fma(acc.astype(np.float32), scale, bias)
    if out_dtype == "float32":
        return activate(v if residual is None else v + residual, **activation)
    if residual is not None:
        v = fma(residual.astype(np.float32), np.float32(residual_scale), v)
    return to_uint8(v, qmin, qmax)


def _infer_qconv2d(
    x: TensorType,
    weight: TensorType,
    scale: TensorType,
    bias: TensorType,
    residual: TensorType | None = None,
    *,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
    layout: str,
    **epilogue: Any,
) -> TensorType:
    check_uint8(x=x)
    _check_weight(weight)
    shape = infer_conv(
        2,
        x,
        weight.with_dtype(x.dtype),
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
        layout=layout,
    ).shape
    return _check_epilogue(scale, bias, residual, weight.shape[0], shape, **epilogue)


def _qconv2d(
    x: Array,
    weight: Array,
    scale: Array,
    bias: Array,
    residual: Array | None = None,
    *,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
    layout: str,
    x_zero_point: int,
    **epilogue: Any,
) -> Array:
    acc = convolve(
        subtract_zero_point(x, x_zero_point),
        weight.astype(np.int32),
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
        layout=layout,
    )
    shape = [-1 if i == channel_axis(4, layout) else 1 for i in range(4)]
    return _finish(acc, scale.reshape(shape), bias.reshape(shape), residual, **epilogue)


define(
    "qconv2d",
    family="integer",
    inputs=("x", "weight", "scale", "bias", "residual?"),
    attrs={
        "stride": Attr("ints", (1, 1)),
        "padding": Attr("ints", (0, 0, 0, 0), "(top, left, bottom, right); padding holds x_zero_point"),
        "dilation": Attr("ints", (1, 1)),
        "groups": Attr("int", 1),
        "layout": Attr("str", "NHWC", LAYOUT.doc, choices=LAYOUT.choices),
        **_EPILOGUE,
    },
    infer=_infer_qconv2d,
    reference=_qconv2d,
    cases=qconv2d_cases,
    doc="Convolution of uint8 x with int8 weight [O, I / groups, KH, KW]: v = fma(sum((x - x_zero_point) w), scale[o], "
    "bias[o]), then v = fma(residual, residual_scale, v), or v + residual of float32. residual has the result's type.",
    tolerance=0.0,
)


def _infer_qlinear(
    x: TensorType,
    weight: TensorType,
    scale: TensorType,
    bias: TensorType,
    residual: TensorType | None = None,
    **epilogue: Any,
) -> TensorType:
    check_uint8(x=x)
    _check_weight(weight)
    if x.rank < 1 or weight.rank != 2 or x.shape[-1] != weight.shape[1]:
        raise ShapeError(f"x {x} does not fit weight {weight}")
    shape = (*x.shape[:-1], weight.shape[0])
    return _check_epilogue(scale, bias, residual, weight.shape[0], shape, **epilogue)


def _qlinear(
    x: Array,
    weight: Array,
    scale: Array,
    bias: Array,
    residual: Array | None = None,
    *,
    x_zero_point: int,
    **epilogue: Any,
) -> Array:
    acc = subtract_zero_point(x, x_zero_point) @ weight.astype(np.int32).T
    return _finish(acc, scale, bias, residual, **epilogue)


define(
    "qlinear",
    family="integer",
    inputs=("x", "weight", "scale", "bias", "residual?"),
    attrs=_EPILOGUE,
    infer=_infer_qlinear,
    reference=_qlinear,
    cases=qlinear_cases,
    doc="Product of uint8 x [..., K] and int8 weight [N, K]: v = fma(sum((x - x_zero_point) w), scale[n], bias[n]), "
    "then v = fma(residual, residual_scale, v), or v + residual of float32. residual has the result's type.",
    tolerance=0.0,
)


def _infer_qbinary(a: TensorType, b: TensorType, *, qmin: int, qmax: int, **attrs: Any) -> TensorType:
    check_uint8(a=a, b=b)
    check_range(qmin, qmax)
    check_bytes(**{name: value for name, value in attrs.items() if name.endswith("zero_point")})
    return a.with_shape(broadcast_shapes(a.shape, b.shape))


def _qadd(a: Array, b: Array, *, a_scale: float, b_scale: float, offset: float, qmin: int, qmax: int) -> Array:
    inner = fma(b.astype(np.float32), np.float32(b_scale), np.float32(offset))
    return to_uint8(fma(a.astype(np.float32), np.float32(a_scale), inner), qmin, qmax)


define(
    "qadd",
    family="integer",
    inputs=("a", "b"),
    attrs={"a_scale": Attr("float"), "b_scale": Attr("float"), "offset": Attr("float"), **RANGE},
    infer=_infer_qbinary,
    reference=_qadd,
    cases=qadd_cases,
    doc="v = fma(a, a_scale, fma(b, b_scale, offset)) of uint8 a and b, which broadcast.",
    tolerance=0.0,
)


def _qmul(
    a: Array,
    b: Array,
    *,
    a_zero_point: int,
    b_zero_point: int,
    scale: float,
    offset: float,
    qmin: int,
    qmax: int,
) -> Array:
    product = subtract_zero_point(a, a_zero_point) * subtract_zero_point(b, b_zero_point)
    return to_uint8(fma(product.astype(np.float32), np.float32(scale), np.float32(offset)), qmin, qmax)


define(
    "qmul",
    family="integer",
    inputs=("a", "b"),
    attrs={
        "a_zero_point": Attr("int"),
        "b_zero_point": Attr("int"),
        "scale": Attr("float"),
        "offset": Attr("float"),
        **RANGE,
    },
    infer=_infer_qbinary,
    reference=_qmul,
    cases=qmul_cases,
    doc="v = fma((a - a_zero_point) (b - b_zero_point), scale, offset) of uint8 a and b, which broadcast.",
    tolerance=0.0,
)


def _infer_qlut(x: TensorType, table: TensorType) -> TensorType:
    check_uint8(x=x)
    check_vector("table", table, UINT8, 256)
    return x


define(
    "qlut",
    family="integer",
    inputs=("x", "table"),
    infer=_infer_qlut,
    reference=lambda x, table: table[x],
    cases=qlut_cases,
    doc="table[x]: any function of a uint8 value, as 256 uint8 results.",
    tolerance=0.0,
)


def _infer_qaffine(x: TensorType, scale: TensorType, offset: TensorType, *, axis: int) -> TensorType:
    check_uint8(x=x)
    channels = x.shape[normalize_axis(axis, x.rank)]
    check_vector("scale", scale, np.dtype(np.float32), channels)
    check_vector("offset", offset, np.dtype(np.float32), channels)
    return x


def _qaffine(x: Array, scale: Array, offset: Array, *, axis: int) -> Array:
    shape = [-1 if i == axis % x.ndim else 1 for i in range(x.ndim)]
    return to_uint8(fma(x.astype(np.float32), scale.reshape(shape), offset.reshape(shape)), 0, 255)


define(
    "qaffine",
    family="integer",
    inputs=("x", "scale", "offset"),
    attrs={"axis": Attr("int", doc="axis of x along which scale and offset are [C]")},
    infer=_infer_qaffine,
    reference=_qaffine,
    cases=qaffine_cases,
    doc="v = fma(x, scale[c], offset[c]) of uint8 x: a batch norm that no convolution takes in.",
    tolerance=0.0,
)
