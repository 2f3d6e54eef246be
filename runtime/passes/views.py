"""Where the elements of a value lie that operators only moved."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TypeAlias

from ..ir import Node, Value
from ..types import DimLike, dense_strides, product
from .axes import axis_groups

Place: TypeAlias = tuple[Value, DimLike, tuple[DimLike, ...]]
"""Base, offset, strides: element (i, j, ...) of a value is ``offset + i * strides[0] + ...`` of the dense base."""


def itself(value: Value) -> Place:
    """The place of a dense value."""
    return value, 0, tuple(dense_strides(value.shape))


def place_of(value: Value, start: Callable[[Value], Place] = itself) -> Place:
    """Where `value` lies before every movement that strides can express; `start` says it for other values."""
    node = value.producer
    x = node.inputs[0] if isinstance(node, Node) and node.inputs else None
    if node is not None and x is not None and not x.is_constant and node.op.name in ("permute", "slice", "reshape"):
        base, offset, strides = place_of(x, start)
        if node.op.name == "permute":
            return base, offset, tuple(strides[dim] for dim in node.attrs["dims"])
        if node.op.name == "slice":
            return base, *_slice(offset, strides, node)
        reshaped = _reshape(x.shape, strides, value.shape)
        if reshaped is not None:
            return base, offset, reshaped
    return start(value)


def _slice(offset: DimLike, strides: Sequence[DimLike], node: Node) -> tuple[DimLike, tuple[DimLike, ...]]:
    out = list(strides)
    for axis, start, step in zip(*(node.attrs[key] for key in ("axes", "starts", "steps")), strict=True):
        offset = offset + out[axis] * start
        out[axis] = out[axis] * step
    return offset, tuple(out)


def _reshape(
    before: Sequence[DimLike], strides: Sequence[DimLike], after: Sequence[DimLike]
) -> tuple[DimLike, ...] | None:
    """Strides of a reshaped view; None where its elements do not lie at fixed steps."""
    groups = axis_groups(before, after)
    if groups is None:
        return None
    out: list[DimLike] = []
    for merged, split in groups:
        axes = [axis for axis in merged if before[axis] != 1]
        if any(strides[i] != strides[j] * before[j] for i, j in pairwise(axes)):
            return None
        step = strides[axes[-1]] if axes else 0
        out.extend(step * product(after[axis + 1 : split.stop]) for axis in split)
    return tuple(out)
