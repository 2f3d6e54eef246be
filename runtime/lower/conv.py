"""Convolutions of NHWC images: the depthwise kernels where every channel has its own filter, Winograd's where they pay,
else the gemm kernels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ..ir import Lazy, Node, Value
from ..ops import Array
from ..plan.bands import ImageRows, Part, Window
from ..plan.lowering import KernelRow, Lowering, Operand, Param, Rule, short_dtype
from ..types import DimLike, product
from .gemm import NEUTRAL, emit_gemm, epilogue_operands, epilogue_params, find_gemm, gemm_weight
from .images import PartParams, window_rows
from .winograd import choose_exact_tile, choose_tile


def lower_conv(node: Node, lower: Lowering) -> bool:
    x, weight = node.inputs[:2]
    if x is None or weight is None or weight.stored is None or node.attrs["layout"] != "NHWC":
        return False
    groups, (outputs, k) = node.attrs["groups"], weight.shape[:2]
    if groups == outputs and k == 1 and groups > 1:
        return _lower_depthwise(node, lower, x, weight, weight.stored)
    types = "".join(short_dtype(value.dtype) for value in (x, weight, node.output))
    row = lower.find("winograd", "winograd", "f32" if types == "f32f32f32" else types)
    direct = find_gemm(lower, x, weight, node.output)
    tile = _winograd_tile(node, weight.stored, direct.isa if direct else "")
    if row and tile:
        return _lower_winograd(node, lower, row, x, weight.stored, *tile)
    return _lower_product(node, lower, x, weight, weight.stored)


def _winograd_tile(node: Node, filters: Array | Lazy, direct_isa: str) -> tuple[int, int] | None:
    """The tile with which Winograd's method pays for a convolution, and in how many parts it sums channels; None where
    the direct sum is better."""
    height, width = node.output.shape[1:3]
    if isinstance(filters, Lazy) or filters.dtype == np.float32:
        tile = choose_tile(node.attrs, filters.shape, height, width)
        return None if tile is None else (tile, 1)
    return choose_exact_tile(node.attrs, filters, height, width, direct_isa)


def _lower_depthwise(node: Node, lower: Lowering, x: Value, weight: Value, filters: Array | Lazy) -> bool:
    types = "".join(short_dtype(value.dtype) for value in (x, weight, node.output))
    row = lower.find("depthwise", "depthwise", "f32" if types == "f32f32f32" else types)
    if row is None:
        return False
    c, _, kh, kw = filters.shape
    epilogue = epilogue_params(node.attrs, node.output)
    images, ih, iw = x.shape[:3]
    top, left = node.attrs["padding"][:2]
    (sh, sw), (dh, dw) = node.attrs["stride"], node.attrs["dilation"]
    oh, ow = node.output.shape[1:3]
    static: dict[str, Param] = {"c": c, "kh": kh, "kw": kw, "src_zero_point": 0, "residual_scale": 0.0} | epilogue
    params = static | {
        "images": images, "ih": ih, "iw": iw, "oh": oh, "ow": ow, "sh": sh, "sw": sw, "ph": top, "pw": left, "dh": dh,
        "dw": dw, **_rows(node, lower, "src_pixel", "residual_pixel", "dst_pixel"),
    }  # fmt: skip
    operands = {**_image_operands(node, lower), "weight": lower.packed(row, static, filters)}
    macs = product(node.output.shape) * kh * kw
    compute = "f32" if x.dtype == np.float32 else "int8"
    rows = _image_rows(node, lower, _banded)
    lower.step(node, row, operands, params, macs=macs, compute=compute, rows=rows)
    return True


def _lower_winograd(
    node: Node, lower: Lowering, row: KernelRow, x: Value, filters: Array | Lazy, tile: int, parts: int
) -> bool:
    outputs, c, kh, kw = filters.shape
    groups = node.attrs["groups"]
    epilogue = {"src_zero_point": 0, "residual_scale": 0.0} | epilogue_params(node.attrs, node.output)
    static: dict[str, Param] = {
        "groups": groups, "c": c, "n": outputs // groups, "tile": tile, "src_zero_point": epilogue["src_zero_point"],
    }  # fmt: skip
    images, ih, iw = x.shape[:3]
    oh, ow = node.output.shape[1:3]
    top, left = node.attrs["padding"][:2]
    rows = _rows(node, lower, "src_pixel", "residual_row", "dst_row")
    pixel = lower.view(x).row
    params = static | epilogue | {
        "images": images, "ih": ih, "iw": iw, "oh": oh, "ow": ow, "ph": top, "pw": left, "parts": parts,
        "src_image": ih * iw * pixel, "src_row": iw * pixel, **rows,
    }  # fmt: skip
    operands = {**_image_operands(node, lower), "weight": lower.packed(row, static, filters)}
    residual = operands.get("residual")
    in_place = [(node.output, residual)] if isinstance(residual, Value) and residual.type == node.output.type else []
    macs = product(node.output.shape) * c * kh * kw  # the direct sum's: its share of peak may be above 1
    compute = "f32" if x.dtype == np.float32 else "int8"
    lower.step(node, row, operands, params, in_place=in_place, macs=macs, compute=compute)
    return True


def _lower_product(node: Node, lower: Lowering, x: Value, weight: Value, filters: Array | Lazy) -> bool:
    row = find_gemm(lower, x, weight, node.output)
    if row is None:
        return False
    groups = node.attrs["groups"]
    outputs, k, kh, kw = filters.shape
    n = outputs // groups
    kernel: dict[str, Param] = {"n": n, "k": k, "kh": kh, "kw": kw, "weights": groups}
    epilogue = epilogue_params(node.attrs, node.output)
    params = kernel | epilogue | _image_params(node, x, lower.view(x).row, (kh, kw)) | {
        "batch": (1, groups), "src_batch": (0, k), "dst_batch": (0, n), "residual_batch": (0, n),
        "weight_batch": (0, 1), "bias_batch": (0, n), **_rows(node, lower, "", "residual_row", "dst_row"),
    }  # fmt: skip
    static = {**NEUTRAL, **kernel, "src_zero_point": epilogue.get("src_zero_point", 0)}
    macs = product(node.output.shape) * k * kh * kw
    packed = lower.packed(row, static, gemm_weight(weight))
    ow = node.output.shape[2]
    is_matrix = "oh" not in params

    def banded(part: Part) -> Mapping[str, Param]:
        return {"images": part.images * part.rows * ow} if is_matrix else _banded(part)

    rows = _image_rows(node, lower, banded)
    emit_gemm(node, lower, row, packed, _image_operands(node, lower), params, macs, rows)
    return True


def _banded(part: Part) -> Mapping[str, Param]:
    return {"images": part.images, "oh": part.rows, "ih": part.source_rows, "ph": part.top}


def _image_rows(node: Node, lower: Lowering, params: PartParams) -> ImageRows:
    x, weight = node.inputs[:2]
    assert x is not None
    assert weight is not None
    extent = (weight.shape[2] - 1) * node.attrs["dilation"][0] + 1
    residual = epilogue_operands(node).get("residual")
    images = {"src": x, "residual": residual if isinstance(residual, Value) else None, "dst": node.output}
    return window_rows(x, images, Window(extent, node.attrs["stride"][0], node.attrs["padding"][0]), lower, params)


def _rows(node: Node, lower: Lowering, src: str, residual: str, dst: str) -> dict[str, Param]:
    """The distances from pixel to pixel, by the names that the kernel gives them."""
    values = {src: node.inputs[0], residual: epilogue_operands(node).get("residual"), dst: node.output}
    return {name: lower.view(v).row if isinstance(v, Value) else 0 for name, v in values.items() if name}


def _image_operands(node: Node, lower: Lowering) -> dict[str, Operand]:
    """Every operand but the weight; images may lie inside the pixels of others."""
    operands = epilogue_operands(node)
    images = {"src": node.inputs[0], "residual": operands.get("residual"), "dst": node.output}
    views = {name: lower.view(value).operand for name, value in images.items() if isinstance(value, Value)}
    return {**operands, **views}


def _image_params(node: Node, x: Value, pixel: DimLike, kernel: tuple[int, int]) -> dict[str, Param]:
    """Where a convolution's rows lie, `pixel` elements apart; those of a 1 x 1 convolution are a matrix."""
    images, ih, iw = x.shape[:3]
    top, left, bottom, right = node.attrs["padding"]
    sh, sw = node.attrs["stride"]
    dh, dw = node.attrs["dilation"]
    if kernel == (1, 1) and (sh, sw, top, left, bottom, right) == (1, 1, 0, 0, 0, 0):
        return {"images": images * ih * iw, "src_image": pixel}
    oh, ow = node.output.shape[1:3]
    return {
        "images": images, "oh": oh, "ow": ow, "ih": ih, "iw": iw, "sh": sh, "sw": sw, "ph": top, "pw": left, "dh": dh,
        "dw": dw, "src_image": ih * iw * pixel, "src_row": iw * pixel, "src_pixel": pixel,
    }  # fmt: skip


RULES: Mapping[str, Rule] = {"conv2d": lower_conv, "qconv2d": lower_conv}

ROW_READERS: Mapping[str, Sequence[str]] = dict.fromkeys(RULES, ("x", "residual"))
ROW_WRITERS: Mapping[str, None] = dict.fromkeys(RULES)
