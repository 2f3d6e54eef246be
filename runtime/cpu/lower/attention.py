"""Scaled dot product attention."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...ir import Node
from ...plan.lowering import Lowering, Operand, Param, Rule
from ...plan.views import view_of
from ...types import dense_strides
from ..strides import broadcast_strides


def lower_attention(node: Node, lower: Lowering) -> bool:
    q, k, v = node.inputs[:3]
    mask = node.inputs[3] if len(node.inputs) > 3 else None
    assert q is not None
    assert k is not None
    assert v is not None
    row = lower.find("attention", "attention", "f32")
    if row is None or any(x.dtype != np.float32 for x in (q, k, v)):
        return False
    order = (0, 2, 1, 3) if node.attrs["rows_first"] else (0, 1, 2, 3)  # of images, heads, rows, width
    images, q_heads, lq, d = (q.shape[axis] for axis in order)
    kv_heads, lk, dv = (k.shape[order[1]], k.shape[order[2]], v.shape[3])
    scale = node.attrs["scale"]
    if scale is None:
        if not isinstance(d, int):
            return False
        scale = d**-0.5
    params: dict[str, Param] = {
        "images": images, "q_heads": q_heads, "kv_heads": kv_heads, "lq": lq, "lk": lk, "d": d, "dv": dv,
        "mask_stride": broadcast_strides(mask.shape, (images, q_heads, lq, lk)) if mask is not None else (),
        "mask_is_bool": int(mask is not None and mask.dtype == np.bool_),
        "is_causal": int(node.attrs["is_causal"]), "scale": scale,
    }  # fmt: skip
    operands: dict[str, Operand] = {"mask": mask, "out": node.output}
    strides = dense_strides(node.output.shape)
    params["out_stride"] = [strides[axis] for axis in order[:3]]
    for name, value in (("q", q), ("k", k), ("v", v)):
        view = view_of(value, lower)
        if view.strides[3] != 1 and value.shape[3] != 1:
            view = lower.view(value)
        operands[name] = view.operand
        params[f"{name}_stride"] = [view.strides[axis] for axis in order[:3]]
    lower.step(node, row, operands, params, macs=images * q_heads * lq * lk * (d + dv), compute="f32")
    return True


RULES: Mapping[str, Rule] = {"attention": lower_attention}
