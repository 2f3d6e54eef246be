"""Products and sums with constants that vary along one axis, as a batch norm leaves them: one integer operator."""

from __future__ import annotations

import numpy as np

from ..ir import Node, Value, constant, make_node
from ..ops import Array
from .quantized import Reader, clamp_range, parameters


def is_affine(node: Node) -> bool:
    """Whether a node multiplies float32 by constants, or adds them, that vary along at most one axis."""
    if node.op.name not in ("add", "mul") or node.output.dtype != np.float32:
        return False
    x = node.inputs[0]
    if x is None or x.is_constant or x.type != node.output.type or node.inputs[1] is None or not x.type.rank:
        return False
    return node.inputs[1].is_constant and sum(size != 1 for size in node.inputs[1].shape) <= 1


def lower_affine(start: Node, quantize: Node, reader: Reader) -> Node | None:
    """The affine nodes from a dequantized value to `start`, whose result is quantized, as one `qaffine`.

    None where they are something else, vary along no axis (a table does those) or along several.
    """
    if not is_affine(start) or clamp_range(quantize, start) != (0, 255):
        return None
    chain = [start]
    while (x := reader.quantized(chain[-1].inputs[0])) is None:
        value = chain[-1].inputs[0]
        if value is None or value.producer is None or not reader.is_private(value) or not is_affine(value.producer):
            return None
        chain.append(value.producer)
    axes = {axis for node in chain if (axis := _axis(node)) is not None}
    if len(axes) != 1:
        return None
    (axis,) = axes
    channels = max(_numbers(node).size for node in chain)
    scale, offset = np.full(channels, x.scale), np.full(channels, -x.zero_point * x.scale)
    for node in reversed(chain):
        if node.op.name == "mul":
            scale, offset = scale * _numbers(node), offset * _numbers(node)
        else:
            offset = offset + _numbers(node)
    scale_out, zero_out = parameters(quantize)
    inputs: list[Value] = [
        x.q,
        constant((scale / scale_out).astype(np.float32), "scale"),
        constant((offset / scale_out + zero_out).astype(np.float32), "offset"),
    ]
    return make_node("qaffine", inputs, {"axis": axis + start.output.type.rank}, start.name)


def scaled_quantize(quantize: Node, reader: Reader) -> Node | None:
    """Positive factors along one axis of a float value that is quantized: they become part of its step sizes."""
    value = quantize.inputs[0]
    node = value.producer if value is not None else None
    if node is None or node.op.name != "mul" or not reader.is_private(value) or not is_affine(node):
        return None
    axis, numbers = _axis(node), _numbers(node)
    if axis is None or not np.all(numbers > 0):
        return None
    scale, zero_point = parameters(quantize)
    steps = (scale / numbers).astype(np.float32)
    if not np.all((steps >= np.finfo(np.float32).tiny) & (steps < np.inf)):
        return None
    inputs = [
        node.inputs[0],
        constant(steps, "scale"),
        constant(np.full(len(steps), zero_point, np.uint8), "zero_point"),
    ]
    attrs = {"dtype": "uint8", "axis": axis + node.output.type.rank}
    return make_node("quantize", inputs, attrs, quantize.name)


def _axis(node: Node) -> int | None:
    """The axis, counted from the end, along which the constant varies."""
    value = node.inputs[1]
    assert value is not None
    shape = value.shape
    return next((axis - len(shape) for axis, size in enumerate(shape) if size != 1), None)


def _numbers(node: Node) -> Array:
    return _constant(node).reshape(-1).astype(np.float64)


def _constant(node: Node) -> Array:
    value = node.inputs[1]
    assert value is not None
    assert value.data is not None
    return value.data
