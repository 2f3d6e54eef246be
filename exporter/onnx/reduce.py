"""Reductions, softmax, searches along an axis."""

from __future__ import annotations

from typing import Any

import numpy as np

from rushlight.exporter.emitter import Emitter, ShapeTensor
from rushlight.exporter.onnx.model import OnnxNode
from rushlight.runtime.errors import UnsupportedError
from rushlight.runtime.ir import Value
from rushlight.runtime.types import product


def _reduce(b: Emitter, n: OnnxNode, op: str, x: Value | None = None) -> Value:
    value = b.constant(n.input(0)) if x is None else x
    axes = n.attr("axes")
    if axes is None and n.optional(1) is not None:
        axes = b.ints(n.input(1), "axes")
    if not axes:
        if n.attr("noop_with_empty_axes", 0):
            return value
        axes = list(range(value.type.rank))
    if not axes:
        return value
    return b.add_node(op, [value], {"dim": tuple(axes), "keepdim": bool(n.attr("keepdims", 1))})[0]


def ReduceSum(b: Emitter, n: OnnxNode) -> Any:
    return _reduce(b, n, "sum")


def ReduceMean(b: Emitter, n: OnnxNode) -> Any:
    x = b.constant(n.input(0))
    if x.dtype.kind != "f":
        raise UnsupportedError(f"of {x.dtype}")
    return _reduce(b, n, "mean")


def ReduceProd(b: Emitter, n: OnnxNode) -> Any:
    return _reduce(b, n, "prod")


def ReduceMax(b: Emitter, n: OnnxNode) -> Any:
    return _reduce_extreme(b, n, "amax", "any")


def ReduceMin(b: Emitter, n: OnnxNode) -> Any:
    return _reduce_extreme(b, n, "amin", "all")


def _reduce_extreme(b: Emitter, n: OnnxNode, op: str, boolean: str) -> Value:
    return _reduce(b, n, boolean if n.input(0).type.dtype.kind == "b" else op)


def ReduceL1(b: Emitter, n: OnnxNode) -> Any:
    return _reduce(b, n, "sum", b.abs(n.input(0)))


def ReduceL2(b: Emitter, n: OnnxNode) -> Any:
    return b.sqrt(ReduceSumSquare(b, n))


def ReduceSumSquare(b: Emitter, n: OnnxNode) -> Any:
    return _reduce(b, n, "sum", b.square(n.input(0)))


def ReduceLogSum(b: Emitter, n: OnnxNode) -> Any:
    return b.log(_reduce(b, n, "sum"))


def ReduceLogSumExp(b: Emitter, n: OnnxNode) -> Any:
    return _reduce(b, n, "logsumexp")


def _search(b: Emitter, n: OnnxNode, op: str) -> Value:
    x = b.constant(n.input(0))
    axis = n.attr("axis", 0) % x.type.rank
    keepdim = bool(n.attr("keepdims", 1))
    if not n.attr("select_last_index", 0):
        return b.add_node(op, [x], {"dim": axis, "keepdim": keepdim})[0]
    found = b.add_node(op, [b.flip(x, dims=(axis,))], {"dim": axis, "keepdim": keepdim})[0]
    last = b.constant(ShapeTensor(np.asarray(x.shape[axis] - 1, dtype=object)))
    return b.add_node("sub", [last, found])[0]


def ArgMax(b: Emitter, n: OnnxNode) -> Any:
    return _search(b, n, "argmax")


def ArgMin(b: Emitter, n: OnnxNode) -> Any:
    return _search(b, n, "argmin")


def CumSum(b: Emitter, n: OnnxNode) -> Any:
    x = b.constant(n.input(0))
    axis = b.ints(n.input(1), "axis")[0]
    reverse = bool(n.attr("reverse", 0))
    flipped = b.flip(x, dims=(axis,)) if reverse else x
    total = b.cumsum(flipped, dim=axis)
    if n.attr("exclusive", 0):
        total = b.sub(total, flipped)
    return b.flip(total, dims=(axis,)) if reverse else total


def Softmax(b: Emitter, n: OnnxNode) -> Any:
    return _softmax(b, n, "softmax")


def LogSoftmax(b: Emitter, n: OnnxNode) -> Any:
    return _softmax(b, n, "log_softmax")


def Hardmax(b: Emitter, n: OnnxNode) -> Any:
    x = b.constant(n.input(0))
    axis = n.attr("axis", -1) % x.type.rank
    if n.opset < 13 and axis != x.type.rank - 1:
        raise UnsupportedError("over several axes")
    size = x.shape[axis]
    if not isinstance(size, int):
        raise UnsupportedError(f"over the dynamic size {size}")
    hot = b.one_hot(b.argmax(x, dim=axis, keepdim=False), num_classes=size)
    order = list(range(x.type.rank - 1))
    order.insert(axis, x.type.rank - 1)
    return b.cast(b.permute(hot, order), x.dtype)


def _softmax(b: Emitter, n: OnnxNode, op: str) -> Value:
    x = b.constant(n.input(0))
    rank = x.type.rank
    if n.opset >= 13:
        return b.add_node(op, [x], {"dim": n.attr("axis", -1)})[0]
    axis = n.attr("axis", 1) % rank if rank else 0
    if all(dim == 1 for dim in x.shape[axis + 1 :]):
        return b.add_node(op, [x], {"dim": axis})[0]
    # Before opset 13 all axes from `axis` on were normalized as one.
    flat = b.reshape(x, (product(x.shape[:axis]), product(x.shape[axis:])))
    return b.reshape(b.add_node(op, [flat], {"dim": 1})[0], x.shape)


def TopK(b: Emitter, n: OnnxNode) -> Any:
    k = b.ints(n.input(1), "k")[0] if n.optional(1) is not None else n.attr("k")
    return b.topk(
        n.input(0), k=k, dim=n.attr("axis", -1), largest=bool(n.attr("largest", 1)), sorted=bool(n.attr("sorted", 1))
    )
