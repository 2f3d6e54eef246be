"""Pooling of NHWC images; means of quantized values as pooling by one window."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..ir import Node
from ..plan.bands import Part, Window
from ..plan.lowering import Lowering, Param, Rule, short_dtype
from .images import window_rows
from .reduce import middle

ONE_WINDOW: Mapping[str, Param] = {
    "oh": 1, "ow": 1, "sh": 1, "sw": 1, "ph": 0, "pw": 0, "pb": 0, "pr": 0, "dh": 1, "dw": 1, "count_include_pad": 0,
}  # fmt: skip


def lower_pool(node: Node, lower: Lowering) -> bool:
    (x,) = node.inputs
    if x is None or x.type.rank != 4 or node.attrs["layout"] != "NHWC":
        return False
    attrs = node.attrs
    if node.op.name == "avg_pool2d" and x.dtype != np.float32:
        return False
    row = lower.find("pool", "max_pool" if node.op.name == "max_pool2d" else "avg_pool", short_dtype(x.dtype))
    if row is None:
        return False
    source, target = lower.view(x), lower.view(node.output)
    images, ih, iw, c = x.shape
    oh, ow = node.output.shape[1:3]
    (kh, kw), (sh, sw), (dh, dw) = attrs["kernel_size"], attrs["stride"], attrs.get("dilation", (1, 1))
    top, left, bottom, right = attrs["padding"]
    params: dict[str, Param] = {
        "images": images, "c": c, "ih": ih, "iw": iw, "oh": oh, "ow": ow, "kh": kh, "kw": kw, "sh": sh, "sw": sw,
        "ph": top, "pw": left, "pb": bottom, "pr": right, "dh": dh, "dw": dw,
        "src_pixel": source.row, "dst_pixel": target.row,
        "count_include_pad": int(attrs.get("count_include_pad", False)), **_quantized_params(attrs),
    }  # fmt: skip

    def banded(part: Part) -> Mapping[str, Param]:
        return {"images": part.images, "oh": part.rows, "ih": part.source_rows, "ph": part.top}

    window = Window((kh - 1) * dh + 1, sh, top)
    rows = window_rows(x, {"src": x, "dst": node.output}, window, lower, banded)
    lower.step(node, row, {"src": source.operand, "dst": target.operand}, params, rows=rows)
    return True


def lower_qmean(node: Node, lower: Lowering) -> bool:
    (x,) = node.inputs
    row = lower.find("pool", "avg_pool", "u8")
    if x is None or row is None:
        return False
    view = middle(x.shape, node.attrs["dim"] or range(x.type.rank))
    if view is None:
        return False
    images, n, c = view["outer"], view["n"], view["inner"]
    params: dict[str, Param] = {
        **ONE_WINDOW, "images": images, "c": c, "ih": n, "iw": 1, "kh": n, "kw": 1, "src_pixel": c, "dst_pixel": c,
        **_quantized_params(node.attrs),
    }  # fmt: skip
    lower.step(node, row, {"src": x, "dst": node.output}, params)
    return True


def _quantized_params(attrs: Mapping[str, Any]) -> dict[str, Param]:
    names = {"src_zero_point": "x_zero_point", "scale": "scale", "offset": "offset", "lo": "qmin", "hi": "qmax"}
    return {param: attrs.get(attr, 0) for param, attr in names.items()}


RULES: Mapping[str, Rule] = {
    "max_pool2d": lower_pool,
    "avg_pool2d": lower_pool,
    "qavg_pool2d": lower_pool,
    "qmean": lower_qmean,
}

ROW_READERS: Mapping[str, Sequence[str]] = dict.fromkeys(("max_pool2d", "avg_pool2d", "qavg_pool2d"), ("x",))
ROW_WRITERS: Mapping[str, None] = dict.fromkeys(ROW_READERS)
