"""Products with matrices."""

from __future__ import annotations

from typing import Any

import numpy as np

from rushlight.exporter.einsum import einsum
from rushlight.exporter.emitter import Emitter
from rushlight.exporter.onnx.model import OnnxNode
from rushlight.runtime.ir import Value


def MatMul(b: Emitter, n: OnnxNode) -> Any:
    """With a constant matrix on the right: `linear`, whose weight is stored transposed."""
    x, y = b.constant(n.input(0)), b.constant(n.input(1))
    if x.type.rank >= 1 and y.type.rank >= 1:
        b.unify(x.shape[-1], y.shape[-2] if y.type.rank > 1 else y.shape[0])
    if y.is_constant and y.type.rank == 2 and not x.is_constant and x.dtype.kind == "f":
        return b.linear(x, b.permute(y, (1, 0)))
    for axis in range(3, min(x.type.rank, y.type.rank) + 1):
        if x.shape[-axis] != 1 and y.shape[-axis] != 1:
            b.unify(x.shape[-axis], y.shape[-axis])
    return b.matmul(x, y)


def Gemm(b: Emitter, n: OnnxNode) -> Any:
    x, y = b.constant(n.input(0)), b.constant(n.input(1))
    if n.attr("transA", 0):
        x = b.permute(x, (1, 0))
    weight = y if n.attr("transB", 0) else b.permute(y, (1, 0))
    alpha, beta = n.attr("alpha", 1.0), n.attr("beta", 1.0)
    b.unify(x.shape[1], weight.shape[1])
    term = n.optional(2)
    bias = None if term is None else b.constant(term)
    if bias is not None and beta != 1.0:
        bias = b.mul(bias, b.scalar(beta, bias))
    if alpha != 1.0:
        weight = b.mul(weight, b.scalar(alpha, weight))
    if x.dtype.kind != "f":
        product = b.matmul(x, b.permute(weight, (1, 0)))
        return product if bias is None else b.add_broadcast("add", [product, bias])
    if bias is None or bias.shape == weight.shape[:1]:
        return b.linear(x, weight, bias)
    if bias.is_constant and bias.type.size == weight.shape[0]:
        return b.linear(x, weight, b.reshape(bias, weight.shape[:1]))
    return b.add_broadcast("add", [b.linear(x, weight), bias])


def Einsum(b: Emitter, n: OnnxNode) -> Any:
    return einsum(b, n.attr("equation"), [b.constant(n.input(i)) for i in range(len(n.inputs))])


def MatMulInteger(b: Emitter, n: OnnxNode) -> Any:
    """Computed in float64, where sums of products of 8-bit numbers are exact."""
    left = _centered(b, n, 0)
    right = _centered(b, n, 1)
    return b.cast(b.matmul(left, right), np.int32)


def _centered(b: Emitter, n: OnnxNode, index: int) -> Value:
    x = b.cast(n.input(index), np.float64)
    term = n.optional(index + 2)
    if term is None:
        return x
    zero = b.cast(term, np.float64)
    if zero.type.rank == 1 and index == 0 and zero.shape != (1,):
        zero = b.reshape(zero, (*zero.shape, 1))  # one a row
    return b.add_broadcast("sub", [x, zero])
