"""Reductions, softmax and normalizations: operators over one run of neighbouring axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..ir import Node
from ..plan.lowering import Lowering, Param, Rule, short_dtype
from ..types import DimLike, product


def middle(shape: Sequence[DimLike], dims: Sequence[int]) -> dict[str, Param] | None:
    """View [outer, n, inner] whose n are the axes `dims`; None unless they are neighbours (but for axes of size 1)."""
    rank = len(shape)
    chosen = sorted({d % rank for d in dims}) if rank else []
    if not chosen:
        return {"outer": 1, "n": 1, "inner": 1}
    first, last = chosen[0], chosen[-1]
    if any(shape[d] != 1 for d in range(first, last) if d not in chosen):
        return None
    return {
        "outer": product(shape[:first]),
        "n": product(shape[first : last + 1]),
        "inner": product(shape[last + 1 :]),
    }


def lower_reduce(node: Node, lower: Lowering) -> bool:
    (x,) = node.inputs
    assert x is not None
    row = lower.find("reduce", node.op.name, short_dtype(x.dtype) + short_dtype(node.output.dtype))
    dims = node.attrs["dim"]
    if isinstance(dims, int):
        dims = (dims,)
    params = middle(x.shape, dims or range(x.type.rank))
    if row is None or params is None:
        return False
    lower.step(node, row, {"x": x, "out": node.output}, params)
    return True


def lower_softmax(node: Node, lower: Lowering) -> bool:
    (x,) = node.inputs
    assert x is not None
    row = lower.find("softmax", node.op.name, short_dtype(x.dtype) + short_dtype(node.output.dtype))
    dims = node.attrs["dim"]
    params = middle(x.shape, (dims,) if isinstance(dims, int) else dims or range(x.type.rank))
    if row is None or params is None:
        return False
    memory = [(node.output, x)] if x.type == node.output.type else []
    lower.step(node, row, {"x": x, "out": node.output}, params, in_place=memory)
    return True


def lower_norm(node: Node, lower: Lowering) -> bool:
    x, weight = node.inputs[:2]
    assert x is not None
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    row = lower.find("norm", node.op.name, short_dtype(x.dtype) + short_dtype(node.output.dtype))
    if row is None:
        return False
    params: dict[str, Param]
    if node.op.name == "group_norm":
        if node.attrs["layout"] != "NHWC":
            return False
        groups, channels = node.attrs["num_groups"], x.shape[-1]
        params = {"outer": x.shape[0], "spatial": product(x.shape[1:-1]), "groups": groups, "n": channels // groups}
    else:
        at = x.type.rank - node.attrs["normalized_dims"]
        params = {"outer": product(x.shape[:at]), "spatial": 1, "groups": 1, "n": product(x.shape[at:])}
    operands = {"x": x, "weight": weight, "bias": bias, "out": node.output}
    lower.step(node, row, operands, {**params, "eps": node.attrs["eps"]}, in_place=[(node.output, x)])
    return True


RULES: Mapping[str, Rule] = {
    "reduce": lower_reduce,
    "softmax": lower_softmax,
    "layer_norm": lower_norm,
    "rms_norm": lower_norm,
    "group_norm": lower_norm,
}
