"""Scaled dot product attention, of whole images and within windows, on floats and on integers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ..ir import Node, Value
from ..ops.integer_attention import QUANTIZATION
from ..plan.lowering import Lowering, Operand, Param, Rule, View
from ..plan.views import view_of
from ..types import DimLike
from .strides import broadcast_strides

HEADS_FIRST, ROWS_FIRST = (0, 1, 2, 3), (0, 2, 1, 3)


def lower_attention(node: Node, lower: Lowering) -> bool:
    q, k = node.inputs[:2]
    mask = node.inputs[3] if len(node.inputs) > 3 else None
    assert q is not None
    assert k is not None
    order = ROWS_FIRST if node.attrs["rows_first"] else HEADS_FIRST
    images, heads, queries, _ = (q.shape[axis] for axis in order)
    keys = k.shape[order[2]]
    params: dict[str, Param] = {
        "windows": 1, "mask_stride": (), "bias_stride": (), "is_causal": int(node.attrs["is_causal"]),
        "mask_is_bool": int(mask is not None and mask.dtype == np.bool_),
    }  # fmt: skip
    if mask is not None:
        image, *rest = broadcast_strides(mask.shape, (images, heads, queries, keys))
        params["mask_stride"] = [image, 0, *rest]
    return _emit(node, lower, order, (queries, keys), {"mask": mask}, params)


def lower_window_attention(node: Node, lower: Lowering) -> bool:
    q, _, _, rows, bias, mask = (*node.inputs, None, None)[:6]
    assert q is not None
    assert rows is not None
    if rows.data is None or not np.array_equal(np.sort(rows.data, axis=None), np.arange(rows.data.size)):
        return False
    windows, length = rows.data.shape
    heads = q.shape[2]
    params: dict[str, Param] = {
        "windows": windows, "mask_stride": (), "bias_stride": (), "is_causal": 0, "mask_is_bool": 0
    }  # fmt: skip
    if bias is not None:
        params["bias_stride"] = broadcast_strides(bias.shape, (heads, length, length))[:2]
    if mask is not None:
        window, row, key = broadcast_strides(mask.shape, (windows, length, length))
        params["mask_stride"] = [0, window, 0, row, key]
    operands = {"mask": mask, "bias": bias, "rows": rows}
    return _emit(node, lower, ROWS_FIRST, (length, length), operands, params)


def _emit(
    node: Node,
    lower: Lowering,
    order: Sequence[int],
    lengths: tuple[DimLike, DimLike],
    operands: Mapping[str, Operand],
    params: Mapping[str, Param],
) -> bool:
    """The kernel call; `order` names the axes of images, heads, rows and width, `lengths` the queries and keys."""
    q, k, v = node.inputs[:3]
    assert q is not None
    assert k is not None
    assert v is not None
    is_quantized = q.dtype == np.uint8
    row = lower.find("qattention", "qattention", "u8") if is_quantized else lower.find("attention", "attention", "f32")
    if row is None or any(x.dtype not in (np.uint8, np.float32) for x in (q, k, v)):
        return False
    images, q_heads, _, d = (q.shape[axis] for axis in order)
    dv, (lq, lk) = v.shape[3], lengths
    scales: dict[str, Param] = {name: node.attrs[name] for name in QUANTIZATION} if is_quantized else {}
    if not is_quantized:
        scale = node.attrs["scale"]
        if scale is None:
            if not isinstance(d, int):
                return False
            scale = d**-0.5
        scales["scale"] = scale
    out = lower.view(node.output)
    every: dict[str, Operand] = {**operands, "out": out.operand}
    sizes: dict[str, Param] = {
        "images": images, "q_heads": q_heads, "kv_heads": k.shape[order[1]], "lq": lq, "lk": lk, "d": d, "dv": dv,
        "out_stride": _strides(out, order),
    }  # fmt: skip
    for name, value in (("q", q), ("k", k), ("v", v)):
        view = _dense_rows(value, lower)
        every[name] = view.operand
        sizes[f"{name}_stride"] = _strides(view, order)
    windows = params["windows"]
    assert isinstance(windows, int)
    macs = images * q_heads * windows * lq * lk * (d + dv)
    compute = "int8" if is_quantized else "f32"
    lower.step(node, row, every, {**params, **sizes, **scales}, macs=macs, compute=compute)
    return True


def _dense_rows(value: Value, lower: Lowering) -> View:
    """The view of `value`, or a copy where the elements of its rows lie apart."""
    view = view_of(value, lower)
    return view if view.strides[-1] == 1 or value.shape[-1] == 1 else lower.view(value)


def _strides(view: View, order: Sequence[int]) -> list[DimLike]:
    """Of images, heads and rows."""
    return [view.strides[axis] for axis in order[:3]]


RULES: Mapping[str, Rule] = {
    "scaled_dot_product_attention": lower_attention,
    "window_attention": lower_window_attention,
    "qattention": lower_attention,
    "qwindow_attention": lower_window_attention,
}
