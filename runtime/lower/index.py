"""Reads at indices held in tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..ir import Half, Node, Value
from ..plan.lowering import Fault, Lowering, Operand, Param, Rule, short_dtype
from ..types import DimLike, dense_strides, product
from .gemm import HALF_NAMES
from .strides import Loop, collapse

MAX_AXES = 8
"""Axes that the kernels' parameters have room for."""


def lower_index_select(node: Node, lower: Lowering) -> bool:
    x, index = node.inputs
    assert x is not None
    assert index is not None
    dim = node.attrs["dim"] % x.type.rank
    row = product(x.shape[dim + 1 :])
    loops = [Loop(product(x.shape[:dim]), [x.shape[dim] * row, 0]), Loop(index.type.size, [0, 1])]
    return _emit(node, lower, loops, [(x.shape[dim], row)], row)


def lower_gather(node: Node, lower: Lowering) -> bool:
    x, index = node.inputs
    assert x is not None
    assert index is not None
    dim = node.attrs["dim"] % x.type.rank
    strides = dense_strides(x.shape)
    loops = [
        Loop(size, [0 if axis == dim else strides[axis], step])
        for axis, (size, step) in enumerate(zip(index.shape, dense_strides(index.shape), strict=True))
    ]
    return _emit(node, lower, loops, [(x.shape[dim], strides[dim])], 1)


def lower_gather_nd(node: Node, lower: Lowering) -> bool:
    x, index = node.inputs
    assert x is not None
    assert index is not None
    batch, depth = node.attrs["batch_dims"], index.shape[-1]
    assert isinstance(depth, int)
    strides = dense_strides(x.shape)
    loops = [
        Loop(size, [strides[axis] if axis < batch else 0, step])
        for axis, (size, step) in enumerate(zip(index.shape[:-1], dense_strides(index.shape)[:-1], strict=True))
    ]
    points = list(zip(x.shape, strides, strict=True))[batch : batch + depth]
    return _emit(node, lower, loops, points, product(x.shape[batch + depth :]))


def _emit(
    node: Node, lower: Lowering, loops: Sequence[Loop], points: Sequence[tuple[DimLike, DimLike]], row: DimLike
) -> bool:
    """`loops` hold the strides of x and index, `points` size and stride of the axes of x that an index names, all in
    elements."""
    x, index = node.inputs
    assert isinstance(x, Value)
    assert isinstance(index, Value)
    kernel = lower.find("index", "gather", short_dtype(index.dtype))
    loops = collapse(loops) if loops else [Loop(1, [0, 0])]
    if kernel is None or max(len(loops), len(points)) > MAX_AXES:
        return False
    widen = lower.find("cast", "cast", f"{HALF_NAMES[x.stored.format]}f32") if isinstance(x.stored, Half) else None
    item = x.dtype.itemsize if widen is None else 2
    params: dict[str, Param] = {
        "rank": len(loops),
        "dims": [loop.size for loop in loops],
        "x_stride": [loop.strides[0] * item for loop in loops],
        "index_stride": [loop.strides[1] for loop in loops],
        "depth": len(points),
        "point_size": [size for size, _ in points],
        "point_stride": [stride * item for _, stride in points],
        "row": row * item,
    }
    operands: dict[str, Operand] = {"x": x, "index": index, "out": node.output, "fault": Fault()}
    if widen is None or not isinstance(x.stored, Half):
        lower.step(node, kernel, operands, params)
        return True
    size = node.output.type.size
    rows = lower.temporary(size * item)
    lower.step(node, kernel, {**operands, "x": lower.constant(x.stored.bits), "out": rows}, params)
    lower.step(node, widen, {"x": rows, "out": node.output}, {"n": size})
    return True


RULES: Mapping[str, Rule] = {
    "index_select": lower_index_select,
    "gather": lower_gather,
    "gather_nd": lower_gather_nd,
}
