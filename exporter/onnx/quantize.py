"""Quantized operators: explicit quantize and dequantize nodes around float operators."""

from __future__ import annotations

from typing import Any

import numpy as np

from rushlight.exporter.emitter import Emitter, Term
from rushlight.exporter.onnx.conv import convolve
from rushlight.exporter.onnx.model import OnnxNode, dtype_of
from rushlight.runtime.errors import UnsupportedError
from rushlight.runtime.ir import Value

_OUTPUTS = ("uint8", "int8")


def QuantizeLinear(b: Emitter, n: OnnxNode) -> Any:
    zero = n.optional(2)
    dtype = zero.type.dtype if zero is not None else np.dtype(np.uint8)
    if zero is None and n.attr("output_dtype", 0):
        dtype = dtype_of(n.attr("output_dtype"))
    _check_block(n)
    return quantize(b, b.constant(n.input(0)), n.input(1), zero, dtype, n.attr("axis", 1))


def DequantizeLinear(b: Emitter, n: OnnxNode) -> Any:
    _check_block(n)
    return dequantize(b, b.constant(n.input(0)), n.input(1), n.optional(2), n.attr("axis", 1))


def _check_block(n: OnnxNode) -> None:
    if n.attr("block_size", 0) or n.input(1).type.rank > 1:
        raise UnsupportedError("in blocks")


def quantize(b: Emitter, x: Value, scale: Term, zero: Term | None, dtype: np.dtype[Any], axis: int) -> Any:
    if dtype.name not in _OUTPUTS:
        raise UnsupportedError(f"to {dtype}")
    factor, point, along = _parameters(b, x, scale, zero, dtype, axis)
    return b.quantize(b.cast(x, factor.dtype), factor, point, dtype=dtype.name, axis=along)


def dequantize(b: Emitter, x: Value, scale: Term, zero: Term | None, axis: int) -> Any:
    factor, point, along = _parameters(b, x, scale, zero, x.dtype, axis)
    return b.dequantize(x, factor, point, axis=along)


def _parameters(
    b: Emitter, x: Value, scale: Term, zero: Term | None, dtype: np.dtype[Any], axis: int
) -> tuple[Value, Value, int | None]:
    """Scale and zero point as scalars (axis None) or as one number a slice."""
    factor = b.constant(scale)
    along = axis % x.type.rank if x.type.rank else 0
    per_axis = factor.type.rank == 1 and (factor.shape != (1,) or (x.type.rank > 0 and x.shape[along] == 1))
    shape = factor.shape if per_axis else ()
    point = b.reshape(np.zeros(factor.type.static_shape(), dtype) if zero is None else zero, shape)
    return b.reshape(factor, shape), point, along if per_axis else None


def QLinearConv(b: Emitter, n: OnnxNode) -> Any:
    x = dequantize(b, b.constant(n.input(0)), n.input(1), n.input(2), 1)
    weight = dequantize(b, b.constant(n.input(3)), n.input(4), n.input(5), 0)
    bias: Value | None = None
    if n.optional(8) is not None:
        channels = b.constant(n.input(8))
        scale = b.mul(b.reshape(n.input(1), ()), b.constant(n.input(4)))
        if scale.type.rank == 1 and scale.shape == (1,):
            scale = b.reshape(scale, ())
        zero = b.constant(np.zeros([int(d) for d in scale.shape], np.int32))
        bias = b.dequantize(channels, scale, zero, axis=0 if scale.type.rank else None)
    out = convolve(b, n, x, weight, bias)
    return quantize(b, out, n.input(6), n.input(7), n.input(7).type.dtype, 1)


def QLinearMatMul(b: Emitter, n: OnnxNode) -> Any:
    operands = []
    for index, axis in ((0, -2), (3, -1)):
        operands.append(dequantize(b, b.constant(n.input(index)), n.input(index + 1), n.input(index + 2), axis))
    out = b.matmul(*operands)
    return quantize(b, out, n.input(6), n.input(7), n.input(7).type.dtype, -1)
