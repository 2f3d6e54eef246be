"""Operators that read or write at indices held in tensors."""

from __future__ import annotations

from typing import Any

import numpy as np

from rushlight.exporter.emitter import Emitter
from rushlight.exporter.onnx.model import OnnxNode, dtype_of
from rushlight.runtime.errors import UnsupportedError
from rushlight.runtime.ir import Value
from rushlight.runtime.types import Dim, DimLike

_REDUCTIONS = {"none": "none", "add": "add", "mul": "mul", "max": "amax", "min": "amin"}


def Gather(b: Emitter, n: OnnxNode) -> Any:
    x = b.constant(n.input(0))
    axis = n.attr("axis", 0) % x.type.rank
    known = b.elements(n.input(1))
    if known is not None and known.ndim == 0 and isinstance(known.item(), int):
        # One fixed index is a slice, which needs no table of indices at run time.
        index, size = known.item(), x.shape[axis]
        start = index if index >= 0 else size + index
        b.require(size - start, 1, None, "an index")
        cut = b.slice(x, axes=[axis], starts=[start], ends=[start + 1], steps=[1])
        return b.reshape(cut, [dim for place, dim in enumerate(cut.shape) if place != axis])
    return b.index_select(x, n.input(1), dim=axis)


def GatherElements(b: Emitter, n: OnnxNode) -> Any:
    return b.gather(n.input(0), n.input(1), dim=n.attr("axis", 0))


def GatherND(b: Emitter, n: OnnxNode) -> Any:
    return b.gather_nd(n.input(0), n.input(1), batch_dims=n.attr("batch_dims", 0))


def ScatterElements(b: Emitter, n: OnnxNode) -> Any:
    reduction = _REDUCTIONS[n.attr("reduction", "none")]
    return b.scatter(n.input(0), n.input(1), n.input(2), dim=n.attr("axis", 0), reduction=reduction)


def Scatter(b: Emitter, n: OnnxNode) -> Any:
    return ScatterElements(b, n)


def ScatterND(b: Emitter, n: OnnxNode) -> Any:
    reduction = _REDUCTIONS[n.attr("reduction", "none")]
    return b.scatter_nd(n.input(0), n.input(1), n.input(2), reduction=reduction)


def OneHot(b: Emitter, n: OnnxNode) -> Any:
    index, values = b.constant(n.input(0)), b.constant(n.input(2))
    classes = int(b.array(n.input(1), "the depth").reshape(-1)[0])
    if index.dtype.kind == "f":
        index = b.cast(index, np.int64)
    below = b.lt(index, b.scalar(0, index))
    wrapped = b.where(below, b.add(index, b.scalar(classes, index)), index)
    hot = b.eq(b.one_hot(wrapped, num_classes=classes), b.constant(np.int64(1)))
    off, on = (_element(b, values, position) for position in (0, 1))
    out = b.where(hot, on, off)
    rank = index.type.rank + 1
    axis = n.attr("axis", -1) % rank
    order = list(range(rank - 1))
    order.insert(axis, rank - 1)
    return b.permute(out, order)


def _element(b: Emitter, vector: Value, position: int) -> Value:
    cut = b.slice(vector, axes=[0], starts=[position], ends=[position + 1], steps=[1])
    return b.reshape(cut, ())


def Trilu(b: Emitter, n: OnnxNode) -> Any:
    diagonal = b.ints(n.input(1), "k")[0] if n.optional(1) is not None else 0
    return b.add_node("triu" if n.attr("upper", 1) else "tril", [n.input(0)], {"diagonal": diagonal})[0]


def ReverseSequence(b: Emitter, n: OnnxNode) -> Any:
    """Gathers from ``length - 1 - t`` inside a sequence and from ``t`` behind its end."""
    x, lengths = b.constant(n.input(0)), b.cast(n.input(1), np.int64)
    time, batch = n.attr("time_axis", 0), n.attr("batch_axis", 1)
    steps = b.arange(bounds=(0, x.shape[time], 1))
    shape: list[DimLike] = [1] * x.type.rank
    shape[time] = x.shape[time]
    at = b.reshape(steps, shape)
    shape = [1] * x.type.rank
    shape[batch] = x.shape[batch]
    length = b.reshape(lengths, shape)
    source = b.sub(b.sub(length, b.constant(np.int64(1))), at)
    index = b.where(b.ge(source, b.constant(np.int64(0))), source, at)
    return b.gather(x, b.expand(index, shape=x.shape), dim=time)


def EyeLike(b: Emitter, n: OnnxNode) -> Any:
    x = n.input(0)
    rows, columns = x.type.shape
    if isinstance(rows, Dim) or isinstance(columns, Dim):
        raise UnsupportedError(f"of {x.type}")
    dtype = dtype_of(n.attr("dtype")) if n.attr("dtype") else x.type.dtype
    return b.constant(np.eye(rows, columns, n.attr("k", 0), dtype=dtype))
