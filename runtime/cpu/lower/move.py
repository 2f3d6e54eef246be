"""Operators that move elements: views where the bytes stay as they are, else strided copies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ...ir import Node, Value
from ...plan.lowering import At, KernelRow, Lowering, Operand, Param, Rule
from ...types import DimLike
from ..strides import Loop, broadcast_strides, collapse, dense_strides

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
    lower.alias(node.output, x)
    return True


def lower_strided(node: Node, lower: Lowering) -> bool:
    """permute, expand, slice, flip: every element of the result is one of the source, at some stride."""
    (x,) = node.inputs
    assert x is not None
    row = find_move(lower, "copy", x)
    if row is None:
        return False
    rank = x.type.rank
    strides = dense_strides(x.shape)
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
    out = node.output
    pairs = zip(out.shape, strides, dense_strides(out.shape), strict=True)
    loops = [Loop(size, [src, dst]) for size, src, dst in pairs] or [Loop(1, [0, 0])]
    return emit_copy(node, lower, row, At(x, offset * x.dtype.itemsize), out, loops)


def lower_concat(node: Node, lower: Lowering) -> bool:
    out = node.output
    row = find_move(lower, "copy", out)
    if row is None:
        return False
    axis = node.attrs["dim"] % out.type.rank
    strides = dense_strides(out.shape)
    at: DimLike = 0
    for part in node.inputs:
        assert part is not None
        loops = [
            Loop(size, [src, dst])
            for size, src, dst in zip(part.shape, dense_strides(part.shape), strides, strict=True)
        ]
        if not emit_copy(node, lower, row, part, At(out, at * strides[axis] * out.dtype.itemsize), loops):
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
    bits = np.asarray(node.attrs["value"]).astype(x.dtype).tobytes()
    params: dict[str, Param] = {
        "rank": rank,
        "dims": out.shape,
        "src_stride": dense_strides(x.shape),
        "dst_stride": dense_strides(out.shape),
        "src_dims": x.shape,
        "begin": node.attrs["pads"][:rank],
        "value": int.from_bytes(bits.ljust(8, b"\0"), "little", signed=True),
    }
    lower.step(node, row, {"src": x, "dst": out}, params)
    return True


RULES: Mapping[str, Rule] = {
    "reshape": lower_reshape,
    "permute": lower_strided,
    "expand": lower_strided,
    "slice": lower_strided,
    "flip": lower_strided,
    "concat": lower_concat,
    "pad": lower_pad,
}
