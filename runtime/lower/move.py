"""Operators that move elements: views where the bytes stay as they are, else strided copies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ..ir import Node, Value
from ..plan.lowering import KernelRow, Lowering, Operand, Param, Rule
from ..plan.views import view_of
from ..types import DimLike
from .quantize import lower_quantized_planes
from .strides import Loop, broadcast_strides, collapse

MAX_AXES = 8
"""Axes that the move kernels take."""


def find_move(lower: Lowering, op: str, value: Value) -> KernelRow | None:
    return lower.find("move", op, f"x{value.dtype.itemsize * 8}")


def emit_copy(node: Node, lower: Lowering, row: KernelRow, src: Operand, dst: Operand, loops: Sequence[Loop]) -> bool:
    """One strided copy; `loops` hold the strides of source and destination."""
    loops = collapse(loops)
    if len(loops) > MAX_AXES:
        return False
    params: dict[str, Param] = {
        "rank": len(loops),
        "dims": [loop.size for loop in loops],
        "src_stride": [loop.strides[0] for loop in loops],
        "dst_stride": [loop.strides[1] for loop in loops],
        "src_dims": (),
        "begin": (),
        "value": 0,
    }
    lower.step(node, row, {"src": src, "dst": dst}, params)
    return True


def lower_reshape(node: Node, lower: Lowering) -> bool:
    (x,) = node.inputs
    assert x is not None
    if node.output not in lower.placement:  # else both are the same rows of a third
        lower.alias(node.output, x)
    return True


def lower_permute(node: Node, lower: Lowering) -> bool:
    return lower_quantized_planes(node, lower) or lower_strided(node, lower)


def lower_strided(node: Node, lower: Lowering) -> bool:
    """permute, expand, slice, flip: every element of the result is one of the source, at some stride."""
    (x,) = node.inputs
    assert x is not None
    row = find_move(lower, "copy", x)
    if row is None:
        return False
    inside = lower.placement.get(node.output)
    if inside is not None and inside.host is x:
        return True
    rank = x.type.rank
    source, target = lower.view(x), lower.view(node.output)
    strides = list(source.strides)
    offset: DimLike = 0
    if node.op.name == "permute":
        strides = [strides[d % rank] for d in node.attrs["dims"]]
    elif node.op.name == "expand":
        strides = broadcast_strides(x.shape, node.output.shape)
    elif node.op.name == "slice":
        for axis, start, step in zip(*(node.attrs[k] for k in ("axes", "starts", "steps")), strict=True):
            offset = offset + strides[axis % rank] * start
            strides[axis % rank] = strides[axis % rank] * step
    else:
        for axis in node.attrs["dims"]:
            offset = offset + strides[axis % rank] * (x.shape[axis % rank] - 1)
            strides[axis % rank] = strides[axis % rank] * -1
    pairs = zip(node.output.shape, strides, target.strides, strict=True)
    loops = [Loop(size, [src, dst]) for size, src, dst in pairs] or [Loop(1, [0, 0])]
    return emit_copy(node, lower, row, source.at(offset), target.operand, loops)


def lower_concat(node: Node, lower: Lowering) -> bool:
    out = node.output
    row = find_move(lower, "copy", out)
    if row is None:
        return False
    axis = node.attrs["dim"] % out.type.rank
    target = lower.view(out)
    at: DimLike = 0
    for part in node.inputs:
        assert part is not None
        inside = lower.placement.get(part)
        if inside is None or inside.host is not out:
            source = view_of(part, lower)
            pairs = zip(part.shape, source.strides, target.strides, strict=True)
            loops = [Loop(size, [src, dst]) for size, src, dst in pairs]
            if not emit_copy(node, lower, row, source.operand, target.at(at * target.strides[axis]), loops):
                return False
        at = at + part.shape[axis]
    return True


def lower_pad(node: Node, lower: Lowering) -> bool:
    (x,) = node.inputs
    assert x is not None
    out, rank = node.output, x.type.rank
    row = find_move(lower, f"pad_{node.attrs['mode']}", x)
    if row is None or not 0 < rank <= MAX_AXES:
        return False
    source, target = lower.view(x), lower.view(out)
    bits = np.asarray(node.attrs["value"]).astype(x.dtype).tobytes()
    params: dict[str, Param] = {
        "rank": rank,
        "dims": out.shape,
        "src_stride": source.strides,
        "dst_stride": target.strides,
        "src_dims": x.shape,
        "begin": node.attrs["pads"][:rank],
        "value": int.from_bytes(bits.ljust(8, b"\0"), "little", signed=True),
    }
    lower.step(node, row, {"src": source.operand, "dst": target.operand}, params)
    return True


RULES: Mapping[str, Rule] = {
    "reshape": lower_reshape,
    "permute": lower_permute,
    "expand": lower_strided,
    "slice": lower_strided,
    "flip": lower_strided,
    "concat": lower_concat,
    "pad": lower_pad,
}

ROW_READERS: Mapping[str, Sequence[str]] = {
    **dict.fromkeys(("permute", "slice", "flip", "pad"), ("x",)),
    "concat": ("tensors",),
}
ROW_WRITERS: Mapping[str, None] = dict.fromkeys(("permute", "expand", "slice", "flip", "concat", "pad"))
