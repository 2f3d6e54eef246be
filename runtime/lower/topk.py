"""The first elements of lines, in order."""

from __future__ import annotations

from collections.abc import Mapping

from ..ir import Node
from ..plan.lowering import Lowering, Rule, short_dtype
from .reduce import middle


def lower_topk(node: Node, lower: Lowering) -> bool:
    """Truth values are ordered as the bytes that they are."""
    (x,) = node.inputs
    assert x is not None
    values, indices = node.outputs
    dtype = "u8" if x.dtype == bool else short_dtype(x.dtype)
    row = lower.find("topk", "topk", dtype + short_dtype(indices.dtype))
    view = middle(x.shape, (node.attrs["dim"],))
    if row is None or view is None:
        return False
    params = {**view, "k": node.attrs["k"], "descending": int(node.attrs["largest"])}
    lower.step(node, row, {"x": x, "values": values, "indices": indices}, params)
    return True


RULES: Mapping[str, Rule] = {"topk": lower_topk}
