"""Resampling of NHWC images."""

from __future__ import annotations

from collections.abc import Mapping

from ..ir import Node
from ..plan.lowering import Lowering, Param, Rule, short_dtype

COORDINATES = ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric")
ROUNDINGS = ("floor", "ceil", "round_prefer_floor", "round_prefer_ceil")
"""In the order of the kernels' numbers for them."""


def lower_resize(node: Node, lower: Lowering) -> bool:
    (x,) = node.inputs
    assert x is not None
    attrs = node.attrs
    is_nearest = attrs["mode"] == "nearest"
    row = lower.find("resize", attrs["mode"], "x8" if is_nearest else short_dtype(x.dtype))
    if row is None or attrs["layout"] != "NHWC":
        return False
    images, ih, iw, c = x.shape
    scale_h, scale_w = attrs["scales"] or (0.0, 0.0)
    params: dict[str, Param] = {
        "images": images, "c": c * x.dtype.itemsize if is_nearest else c, "ih": ih, "iw": iw,
        "oh": node.output.shape[1], "ow": node.output.shape[2], "coordinates": COORDINATES.index(attrs["coordinates"]),
        "rounding": ROUNDINGS.index(attrs["rounding"]), "scale_h": scale_h, "scale_w": scale_w,
    }  # fmt: skip
    lower.step(node, row, {"src": x, "dst": node.output}, params)
    return True


RULES: Mapping[str, Rule] = {"resize": lower_resize}
