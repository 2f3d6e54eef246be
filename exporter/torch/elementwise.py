"""Arithmetic, comparisons and activations."""

from __future__ import annotations

from typing import Any

import numpy as np

from rushlight.exporter.emitter import Emitter
from rushlight.exporter.torch.promotion import promoted, result_dtype, to_value
from rushlight.runtime.errors import UnsupportedError
from rushlight.runtime.ir import Value


def _binary(b: Emitter, op: str, x: Any, y: Any) -> Value:
    return b.add_broadcast(op, promoted(b, x, y))


def add(b: Emitter, x: Any, y: Any, *, alpha: Any = 1) -> Value:
    return _binary(b, "add", x, y if alpha == 1 else mul(b, y, alpha))


def sub(b: Emitter, x: Any, y: Any, *, alpha: Any = 1) -> Value:
    return _binary(b, "sub", x, y if alpha == 1 else mul(b, y, alpha))


def rsub(b: Emitter, x: Any, y: Any, alpha: Any = 1) -> Value:
    return sub(b, y, x, alpha=alpha)


def mul(b: Emitter, x: Any, y: Any) -> Value:
    left, right = promoted(b, x, y)
    if left.dtype.kind == "b":
        return b.add_broadcast("logical_and", [left, right])
    return b.add_broadcast("mul", [left, right])


def div(b: Emitter, x: Any, y: Any, *, rounding_mode: str | None = None) -> Value:
    dtype = result_dtype(x, y)
    if rounding_mode == "floor":
        return floor_divide(b, x, y)
    if rounding_mode is None and dtype.kind != "f":
        dtype = np.dtype(np.float32)
    out = b.add_broadcast("div", [to_value(b, x, dtype), to_value(b, y, dtype)])
    return _truncate(b, out) if rounding_mode == "trunc" and dtype.kind == "f" else out


def _truncate(b: Emitter, x: Value) -> Value:
    zero = b.scalar(0, x)
    out: Value = b.where(b.lt(x, zero), b.ceil(x), b.floor(x))
    return out


def trunc(b: Emitter, x: Value) -> Value:
    return _truncate(b, x)


def frac(b: Emitter, x: Value) -> Value:
    return sub(b, x, _truncate(b, x))


def true_divide(b: Emitter, x: Any, y: Any) -> Value:
    return div(b, x, y)


def floor_divide(b: Emitter, x: Any, y: Any) -> Value:
    return _binary(b, "floor_divide", x, y)


def remainder(b: Emitter, x: Any, y: Any) -> Value:
    return _binary(b, "remainder", x, y)


def fmod(b: Emitter, x: Any, y: Any) -> Value:
    return _binary(b, "fmod", x, y)


def pow_(b: Emitter, x: Any, y: Any) -> Value:
    if isinstance(x, Value) and isinstance(y, (int, float)):
        if y == 2:
            out: Value = b.square(x)
            return out
        if y == 0.5 and x.dtype.kind == "f":
            return b.sqrt(x)  # type: ignore[no-any-return]
    return _binary(b, "pow", x, y)


def maximum(b: Emitter, x: Any, y: Any) -> Value:
    return _binary(b, "maximum", x, y)


def minimum(b: Emitter, x: Any, y: Any) -> Value:
    return _binary(b, "minimum", x, y)


def eq(b: Emitter, x: Any, y: Any) -> Value:
    return _binary(b, "eq", x, y)


def ne(b: Emitter, x: Any, y: Any) -> Value:
    return _binary(b, "ne", x, y)


def lt(b: Emitter, x: Any, y: Any) -> Value:
    return _binary(b, "lt", x, y)


def le(b: Emitter, x: Any, y: Any) -> Value:
    return _binary(b, "le", x, y)


def gt(b: Emitter, x: Any, y: Any) -> Value:
    return _binary(b, "gt", x, y)


def ge(b: Emitter, x: Any, y: Any) -> Value:
    return _binary(b, "ge", x, y)


def _logical(b: Emitter, op: str, x: Any, y: Any) -> Value:
    return b.add_broadcast(op, [_truth(b, x), _truth(b, y)])


def _truth(b: Emitter, x: Any) -> Value:
    if isinstance(x, Value):
        return x if x.dtype.kind == "b" else b.ne(x, b.scalar(0, x))
    return b.constant(np.asarray(bool(x)))


def logical_and(b: Emitter, x: Any, y: Any) -> Value:
    return _logical(b, "logical_and", x, y)


def logical_or(b: Emitter, x: Any, y: Any) -> Value:
    return _logical(b, "logical_or", x, y)


def logical_xor(b: Emitter, x: Any, y: Any) -> Value:
    return _logical(b, "logical_xor", x, y)


def logical_not(b: Emitter, x: Value) -> Value:
    return b.logical_not(_truth(b, x))  # type: ignore[no-any-return]


def _bitwise(b: Emitter, op: str, x: Any, y: Any) -> Value:
    if result_dtype(x, y).kind != "b":
        raise UnsupportedError("of integers")
    return _logical(b, op, x, y)


def bitwise_and(b: Emitter, x: Any, y: Any) -> Value:
    return _bitwise(b, "logical_and", x, y)


def bitwise_or(b: Emitter, x: Any, y: Any) -> Value:
    return _bitwise(b, "logical_or", x, y)


def bitwise_xor(b: Emitter, x: Any, y: Any) -> Value:
    return _bitwise(b, "logical_xor", x, y)


__and__, __or__, __xor__ = bitwise_and, bitwise_or, bitwise_xor


def bitwise_not(b: Emitter, x: Value) -> Value:
    if x.dtype.kind != "b":
        raise UnsupportedError("of integers")
    return b.logical_not(x)  # type: ignore[no-any-return]


def where(b: Emitter, condition: Value, x: Any, y: Any) -> Value:
    return b.add_broadcast("where", [_truth(b, condition), *promoted(b, x, y)])


def masked_fill(b: Emitter, x: Value, mask: Value, value: Any) -> Value:
    return b.add_broadcast("where", [mask, to_value(b, value, x.dtype), x])


def clamp(b: Emitter, x: Value, low: Any = None, high: Any = None) -> Value:
    numbers = all(limit is None or isinstance(limit, (int, float)) for limit in (low, high))
    if numbers and x.dtype.kind == "f":
        low, high = (None if limit is None else float(limit) for limit in (low, high))
        return b.clamp(x, min=low, max=high)  # type: ignore[no-any-return]
    for op, limit in (("maximum", low), ("minimum", high)):
        if limit is not None:
            x = _binary(b, op, x, limit)
    return x


def clamp_min(b: Emitter, x: Value, low: Any) -> Value:
    return clamp(b, x, low)


def clamp_max(b: Emitter, x: Value, high: Any) -> Value:
    return clamp(b, x, None, high)


def hardtanh(b: Emitter, x: Value, low: float = -1.0, high: float = 1.0) -> Value:
    return clamp(b, x, low, high)


def relu6(b: Emitter, x: Value) -> Value:
    return clamp(b, x, 0.0, 6.0)


def threshold(b: Emitter, x: Value, limit: float, value: float) -> Value:
    return b.where(b.gt(x, b.scalar(limit, x)), x, b.scalar(value, x))  # type: ignore[no-any-return]


def gelu(b: Emitter, x: Value, *, approximate: str = "none") -> Value:
    return b.gelu(x, approximate=approximate)  # type: ignore[no-any-return]


def leaky_relu(b: Emitter, x: Value, slope: float = 0.01) -> Value:
    return b.leaky_relu(x, negative_slope=slope)  # type: ignore[no-any-return]


def elu(b: Emitter, x: Value, alpha: float = 1.0, scale: float = 1.0, input_scale: float = 1.0) -> Value:
    if input_scale != 1:
        raise UnsupportedError(f"input_scale {input_scale}")
    out: Value = b.elu(x, alpha=alpha)
    return out if scale == 1 else mul(b, out, scale)


def selu(b: Emitter, x: Value) -> Value:
    return elu(b, x, 1.6732632423543772, 1.0507009873554805)


def celu(b: Emitter, x: Value, alpha: float = 1.0) -> Value:
    """alpha (exp(x / alpha) - 1) below zero, written as elu of the scaled input."""
    return mul(b, elu(b, div(b, x, alpha)), alpha)


def softplus(b: Emitter, x: Value, beta: float = 1.0, threshold: float = 20.0) -> Value:
    scaled = x if beta == 1 else mul(b, x, beta)
    soft: Value = b.softplus(scaled)
    return soft if beta == 1 else div(b, soft, beta)


def softsign(b: Emitter, x: Value) -> Value:
    return div(b, x, add(b, b.abs(x), 1))


def prelu(b: Emitter, x: Value, weight: Value) -> Value:
    channels = x.type.rank - 2
    if weight.type.size != 1 and channels > 0:
        weight = b.reshape(weight, (*weight.shape, *[1] * channels))
    return b.prelu(x, weight)  # type: ignore[no-any-return]


def glu(b: Emitter, x: Value, dim: int = -1) -> Value:
    axis = dim % x.type.rank
    size = x.shape[axis]
    half = size // 2
    left, right = (
        b.slice(x, axes=[axis], starts=[start], ends=[end], steps=[1]) for start, end in ((0, half), (half, size))
    )
    return mul(b, left, b.sigmoid(right))


def log1p(b: Emitter, x: Value) -> Value:
    return b.log(add(b, x, 1))  # type: ignore[no-any-return]


def log2(b: Emitter, x: Value) -> Value:
    return mul(b, b.log(x), float(1 / np.log(2)))


def log10(b: Emitter, x: Value) -> Value:
    return mul(b, b.log(x), float(1 / np.log(10)))


def expm1(b: Emitter, x: Value) -> Value:
    return sub(b, b.exp(x), 1)


def exp2(b: Emitter, x: Value) -> Value:
    return b.exp(mul(b, x, float(np.log(2))))  # type: ignore[no-any-return]


def tan(b: Emitter, x: Value) -> Value:
    return div(b, b.sin(x), b.cos(x))


def isinf(b: Emitter, x: Value) -> Value:
    return eq(b, b.abs(x), float("inf"))


def sigmoid(b: Emitter, x: Value) -> Value:
    return b.sigmoid(x if x.dtype.kind == "f" else b.cast(x, np.float32))  # type: ignore[no-any-return]


def addcmul(b: Emitter, x: Value, y: Value, z: Value, *, value: float = 1.0) -> Value:
    return add(b, x, mul(b, y, z), alpha=value)


def addcdiv(b: Emitter, x: Value, y: Value, z: Value, *, value: float = 1.0) -> Value:
    return add(b, x, div(b, y, z), alpha=value)


def lerp(b: Emitter, x: Value, y: Value, weight: Any) -> Value:
    return add(b, x, mul(b, sub(b, y, x), weight))


def dropout(b: Emitter, x: Value, p: float, train: bool) -> Value:
    if train and p > 0:
        raise UnsupportedError("in training mode")
    return x


def feature_dropout(b: Emitter, x: Value, p: float, train: bool) -> Value:
    return dropout(b, x, p, train)


def alpha_dropout(b: Emitter, x: Value, p: float, train: bool) -> Value:
    return dropout(b, x, p, train)


def rrelu(
    b: Emitter, x: Value, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False, generator: Any = None
) -> Value:
    if training:
        raise UnsupportedError("in training mode")
    return leaky_relu(b, x, (lower + upper) / 2)
