"""Strided views: kernels that take strides read values in place that operators only moved, and the copies that nobody
reads any more are dropped from the plan."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from itertools import groupby

from ..ir import Value
from ..passes.views import Place, place_of
from .lowering import At, KernelStep, Lowering, PlanStep, View


def view_of(value: Value, lower: Lowering) -> View:
    """The view of `value` through every movement before it that strides can express; at least where it lies itself."""

    def start(value: Value) -> Place:
        view = lower.view(value)
        return view.base, view.offset, tuple(view.strides)

    return View(*place_of(value, start))


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
