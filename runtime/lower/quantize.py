"""Between float32 and 8 bits, 8-bit tables, additions and products of quantized values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..ir import Node
from ..plan.bands import Part
from ..plan.lowering import Elements, Lowering, Param, Rule, short_dtype
from ..types import dense_strides, product
from .elementwise import broadcast_elements, broadcast_params, broadcast_rows
from .images import element_rows
from .strides import MAX_AXES, Loop, collapse

PLANES = (2, 3, 4)
"""Channels that `quantize_planes` takes."""


def lower_quantize(node: Node, lower: Lowering) -> bool:
    x, scale, zero_point = node.inputs
    if x is None or scale is None or zero_point is None:
        return False
    types = "".join(short_dtype(v.dtype) for v in (x, scale, zero_point, node.output))
    row = lower.find("quantize", node.op.name, types)
    if row is None:
        return False
    axis = node.attrs["axis"]
    rank = x.type.rank
    dense = dense_strides(x.shape)
    scales = [1 if axis is not None and d == axis % rank else 0 for d in range(rank)]
    loops = [Loop(size, [step, scale]) for size, step, scale in zip(x.shape, dense, scales, strict=True)]
    loops = collapse(loops) if loops else [Loop(1, [1, 0])]
    if len(loops) > MAX_AXES:
        return False
    params: dict[str, Param] = {
        "rank": len(loops),
        "shape": [loop.size for loop in loops],
        "scale_strides": [loop.strides[1] for loop in loops],
    }
    elements = Elements.of(x.shape, {"x": dense, "scale": scales, "zero_point": scales})
    operands = {"x": x, "scale": scale, "zero_point": zero_point, "out": node.output}
    lower.step(node, row, operands, params, elements=elements)
    return True


def lower_quantized_planes(node: Node, lower: Lowering) -> bool:
    """The permutation of a quantized image of few channels to channels last, with the quantization in the same step."""
    source = node.inputs[0].producer if node.inputs[0] is not None else None
    if not isinstance(source, Node) or source.op.name != "quantize" or node.attrs["dims"] != (0, 2, 3, 1):
        return False
    x, scale, zero_point = source.inputs
    if x is None or scale is None or zero_point is None or source.attrs["axis"] not in (None, 1):
        return False
    images, height, width, channels = node.output.shape
    types = "".join(short_dtype(v.dtype) for v in (x, scale, zero_point, node.output))
    row = lower.find("quantize", "quantize_planes", types)
    if row is None or channels not in PLANES or node.output in lower.placement:
        return False
    params: dict[str, Param] = {
        "rank": 3,
        "shape": [images, height * width, channels],
        "scale_strides": [0, 0, 0 if source.attrs["axis"] is None else 1],
    }
    lower.step(node, row, {"x": x, "scale": scale, "zero_point": zero_point, "out": node.output}, params)
    return True


def lower_table(node: Node, lower: Lowering) -> bool:
    x, table = node.inputs
    row = lower.find("quantize", "qlut", "u8u8u8")
    if x is None or row is None:
        return False
    params: dict[str, Param] = {"rank": 1, "shape": [x.type.size], "scale_strides": [0]}
    operands = {"x": x, "scale": table, "out": node.output}

    def banded(part: Part) -> Mapping[str, Param]:
        return {"shape": [part.images * part.rows * product(x.shape[2:])]}

    rows = element_rows(["x"], [x], node.output, lower, banded)
    elements = Elements.of(x.shape, {"x": dense_strides(x.shape)})
    lower.step(node, row, operands, params, in_place=[(node.output, x)], rows=rows, elements=elements)
    return True


def lower_qbinary(node: Node, lower: Lowering) -> bool:
    a, b = node.inputs
    row = lower.find("qbinary", node.op.name, "u8u8u8")
    if a is None or b is None or row is None:
        return False
    attrs = dict(node.attrs)
    if node.op.name == "qmul" and a.shape != node.output.shape:  # rows are fastest where the second is the same for all
        a, b = b, a
        attrs |= {"a_zero_point": attrs["b_zero_point"], "b_zero_point": attrs["a_zero_point"]}
    params = broadcast_params([a, b], node.output, ["a", "b"], lower)
    if params is None:
        return False
    for name in ("a_zero_point", "b_zero_point", "a_scale", "b_scale", "scale", "offset", "qmin", "qmax"):
        params[name] = attrs.get(name, 0)
    memory = [(node.output, value) for value in (a, b) if value.type == node.output.type]
    operands = {"a": lower.view(a).operand, "b": lower.view(b).operand, "out": node.output}
    rows = broadcast_rows([a, b], node.output, ["a", "b"], lower)
    elements = broadcast_elements([a, b], node.output, ["a", "b"], lower)
    lower.step(node, row, operands, params, in_place=memory, rows=rows, elements=elements)
    return True


RULES: Mapping[str, Rule] = {
    "quantize": lower_quantize,
    "dequantize": lower_quantize,
    "qaffine": lower_quantize,
    "qlut": lower_table,
    "qadd": lower_qbinary,
    "qmul": lower_qbinary,
}

ROW_READERS: Mapping[str, Sequence[str]] = dict.fromkeys(("qadd", "qmul"), ("a", "b"))
