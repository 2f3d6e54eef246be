"""Strided views: where the elements of a value lie that operators only moved, so that a kernel that takes strides can
read them in place. The copies that nobody reads any more are then dropped from the plan."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from itertools import groupby, pairwise

from ..ir import Node, Value
from ..passes.axes import axis_groups
from ..types import DimLike, product
from .lowering import At, KernelStep, Lowering, PlanStep, View


def view_of(value: Value, lower: Lowering) -> View:
    """The view of `value` through every movement before it that strides can express; at least where it lies itself."""
    node = value.producer
    x = node.inputs[0] if isinstance(node, Node) and node.inputs else None
    if node is not None and x is not None and not x.is_constant and node.op.name in ("permute", "slice", "reshape"):
        inner = view_of(x, lower)
        if node.op.name == "permute":
            return View(inner.base, inner.offset, tuple(inner.strides[dim] for dim in node.attrs["dims"]))
        if node.op.name == "slice":
            return _slice(inner, node)
        strides = _reshape(x.shape, inner.strides, value.shape)
        if strides is not None:
            return View(inner.base, inner.offset, strides)
    return lower.view(value)


def _slice(inner: View, node: Node) -> View:
    strides, offset = list(inner.strides), inner.offset
    for axis, start, step in zip(*(node.attrs[key] for key in ("axes", "starts", "steps")), strict=True):
        offset = offset + strides[axis] * start
        strides[axis] = strides[axis] * step
    return View(inner.base, offset, tuple(strides))


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


def drop_unread(steps: Sequence[PlanStep], needed: Collection[Value], root: Callable[[Value], Value]) -> list[PlanStep]:
    """`steps` without those of nodes whose results nobody reads; `needed` are the roots that the graph's end reads."""
    read = set(needed)
    kept: list[PlanStep] = []
    for node, group in reversed([(node, list(group)) for node, group in groupby(steps, lambda step: step.node)]):
        written = {root(out) for out in node.outputs}
        if not written & read:
            continue
        kept.extend(reversed(group))
        for step in group:
            operands = step.operands.values() if isinstance(step, KernelStep) else node.inputs
            bases = (operand.base if isinstance(operand, At) else operand for operand in operands)
            read.update(root(base) for base in bases if isinstance(base, Value))
    return kept[::-1]
