"""Scaled dot product attention."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...ir import Node
from ...plan.lowering import Lowering, Param, Rule
from ..strides import broadcast_strides, dense_strides


def lower_attention(node: Node, lower: Lowering) -> bool:
    q, k, v = node.inputs[:3]
    mask = node.inputs[3] if len(node.inputs) > 3 else None
    assert q is not None
    assert k is not None
    assert v is not None
    row = lower.find("attention", "attention", "f32")
    if row is None or any(x.dtype != np.float32 for x in (q, k, v)):
        return False
    images, q_heads, lq, d = q.shape
    kv_heads, lk = k.shape[1:3]
    scale = node.attrs["scale"]
    if scale is None:
        if not isinstance(d, int):
            return False
        scale = d**-0.5
    params: dict[str, Param] = {
        "images": images, "q_heads": q_heads, "kv_heads": kv_heads, "lq": lq, "lk": lk, "d": d, "dv": v.shape[3],
        "mask_stride": broadcast_strides(mask.shape, (images, q_heads, lq, lk)) if mask is not None else (),
        "mask_is_bool": int(mask is not None and mask.dtype == np.bool_),
        "is_causal": int(node.attrs["is_causal"]), "scale": scale,
    }  # fmt: skip
    operands = {"q": q, "k": k, "v": v, "mask": mask, "out": node.output}
    for name, value in (("q", q), ("k", k), ("v", v), ("out", node.output)):
        params[f"{name}_stride"] = dense_strides(value.shape)[:3]
    lower.step(node, row, operands, params, macs=images * q_heads * lq * lk * (d + v.shape[3]), compute="f32")
    return True


RULES: Mapping[str, Rule] = {"attention": lower_attention}
