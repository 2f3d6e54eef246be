"""Tensors made from attributes alone."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..ir import Node
from ..plan.lowering import At, Lowering, Rule, short_dtype
from .move import emit_copy, find_move
from .strides import Loop


def lower_full(node: Node, lower: Lowering) -> bool:
    """A copy of one element, at stride 0."""
    out = node.output
    row = find_move(lower, "copy", out)
    if row is None:
        return False
    value = lower.constant(np.full(1, np.asarray(node.attrs["value"]).astype(out.dtype)))
    return emit_copy(node, lower, row, value, out, [Loop(out.type.size, [0, 1])])


def lower_arange(node: Node, lower: Lowering) -> bool:
    row = lower.find("range", "range", short_dtype(node.output.dtype))
    if row is None:
        return False
    start, _, step = node.attrs["bounds"]
    lower.step(node, row, {"out": node.output}, {"n": node.output.type.size, "start": start, "step": step})
    return True


def lower_dim_values(node: Node, lower: Lowering) -> bool:
    """Every size is a range of one number."""
    row = lower.find("range", "range", short_dtype(node.output.dtype))
    if row is None:
        return False
    values = node.attrs["values"]
    if not values:
        lower.step(node, row, {"out": node.output}, {"n": 0, "start": 0, "step": 0})
    for place, value in enumerate(values):
        lower.step(node, row, {"out": At(node.output, place * 8)}, {"n": 1, "start": value, "step": 0})
    return True


RULES: Mapping[str, Rule] = {"full": lower_full, "arange": lower_arange, "dim_values": lower_dim_values}
