"""Reads and writes at indices held in tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rushlight.exporter.emitter import Emitter
from rushlight.exporter.torch.promotion import to_value
from rushlight.runtime.errors import UnsupportedError
from rushlight.runtime.ir import Value
from rushlight.runtime.types import DimLike

_REDUCTIONS = {"add": "add", "sum": "add", "multiply": "mul", "prod": "mul", "amax": "amax", "amin": "amin"}


def embedding(b: Emitter, weight: Value, index: Value, *options: Any) -> Value:
    return b.index_select(weight, index, dim=0)  # type: ignore[no-any-return]


def index_select(b: Emitter, x: Value, dim: int, index: Value) -> Value:
    return b.index_select(x, index, dim=dim)  # type: ignore[no-any-return]


def gather(b: Emitter, x: Value, dim: int, index: Value, *, sparse_grad: bool = False) -> Value:
    return b.gather(x, index, dim=dim)  # type: ignore[no-any-return]


def scatter(b: Emitter, x: Value, dim: int, index: Value, source: Any, *, reduce: str | None = None) -> Value:
    if not isinstance(source, Value) or source.type.rank == 0:
        source = b.expand(to_value(b, source, x.dtype), shape=index.shape)
    reduction = "none" if reduce is None else _REDUCTIONS[reduce]
    return b.scatter(x, index, source, dim=dim, reduction=reduction)  # type: ignore[no-any-return]


def scatter_add(b: Emitter, x: Value, dim: int, index: Value, source: Value) -> Value:
    return b.scatter(x, index, source, dim=dim, reduction="add")  # type: ignore[no-any-return]


def index_(b: Emitter, x: Value, indices: Sequence[Value | None]) -> Value:
    """Advanced indexing: one index tensor anywhere, or several neighbouring ones."""
    given = [(axis, index) for axis, index in enumerate(indices) if index is not None]
    if any(index.dtype.kind == "b" for _, index in given):
        raise UnsupportedError("with a mask, whose result has a size that depends on data")
    if len(given) == 1:
        axis, index = given[0]
        return b.index_select(x, index, dim=axis)  # type: ignore[no-any-return]
    axes = [axis for axis, _ in given]
    if axes != list(range(axes[0], axes[0] + len(axes))):
        raise UnsupportedError("with index tensors that are not neighbours")
    moved = b.permute(x, [*axes, *(axis for axis in range(x.type.rank) if axis not in axes)])
    positions = _joint_index(b, [index for _, index in given])
    out = b.gather_nd(moved, positions)
    rank = positions.type.rank - 1
    lead = axes[0]
    # gather_nd puts the indexed axes first, PyTorch where they were.
    order = [*range(rank, rank + lead), *range(rank), *range(rank + lead, out.type.rank)]
    return b.permute(out, order)


def _joint_index(b: Emitter, indices: Sequence[Value]) -> Value:
    """Index tensors, broadcast, side by side along a new last axis."""
    rank = max(index.type.rank for index in indices)
    shape: list[DimLike] = [1] * rank
    for index in indices:
        for axis, size in enumerate(index.shape, rank - index.type.rank):
            if shape[axis] == 1:
                shape[axis] = size
    columns = []
    for index in indices:
        full = b.reshape(b.cast(index, np.int64), [1] * (rank - index.type.rank) + list(index.shape))
        full = full if list(full.shape) == shape else b.expand(full, shape=shape)
        columns.append(b.reshape(full, (*shape, 1)))
    return b.concat(*columns, dim=-1)  # type: ignore[no-any-return]


def index_put(b: Emitter, x: Value, indices: Sequence[Value | None], values: Value, accumulate: bool = False) -> Value:
    if any(index is None for index in indices):
        raise UnsupportedError("with axes that are not indexed")
    given = [index for index in indices if index is not None]
    if len(given) == 1 and given[0].dtype.kind == "b":
        if accumulate or values.type.size != 1:
            raise UnsupportedError("with a mask and several values")
        mask = b.reshape(given[0], (*given[0].shape, *[1] * (x.type.rank - given[0].type.rank)))
        return b.add_broadcast("where", [mask, b.reshape(b.cast(values, x.dtype), ()), x])
    positions = _joint_index(b, given)
    shape = (*positions.shape[:-1], *x.shape[len(given) :])
    updates = b.cast(values, x.dtype)
    if updates.shape != shape:
        updates = b.expand(updates, shape=shape)
    reduction = "add" if accumulate else "none"
    return b.scatter_nd(x, positions, updates, reduction=reduction)  # type: ignore[no-any-return]


def one_hot(b: Emitter, index: Value, num_classes: int = -1) -> Value:
    if num_classes < 0:
        raise UnsupportedError("without num_classes, whose result has a size that depends on data")
    return b.one_hot(index, num_classes=num_classes)  # type: ignore[no-any-return]


def tril(b: Emitter, x: Value, diagonal: int = 0) -> Value:
    return b.tril(x, diagonal=diagonal)  # type: ignore[no-any-return]


def triu(b: Emitter, x: Value, diagonal: int = 0) -> Value:
    return b.triu(x, diagonal=diagonal)  # type: ignore[no-any-return]


def diagonal(b: Emitter, x: Value, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Value:
    rank = x.type.rank
    first, second = dim1 % rank, dim2 % rank
    if offset or x.shape[first] != x.shape[second]:
        raise UnsupportedError("other than the main one of squares")
    moved = b.permute(x, [first, second, *(axis for axis in range(rank) if axis not in (first, second))])
    steps = b.arange(bounds=(0, x.shape[first], 1))
    out = b.gather_nd(moved, _joint_index(b, [steps, steps]))
    return b.permute(out, [*range(1, out.type.rank), 0])
