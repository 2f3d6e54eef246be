"""Reads quantize and dequantize nodes: which values are integers in disguise, and with what parameters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..ir import Graph, Node, Value
from ..ops import Array
from ..ops.integer import MAX_DEPTH


@dataclass(frozen=True)
class Quantized:
    """A float value that is `(q - zero_point) * scale` of a uint8 value, per tensor."""

    q: Value
    scale: float
    zero_point: int


class Reader:
    """Answers questions about the quantization of a graph that does not change meanwhile."""

    def __init__(self, graph: Graph) -> None:
        self.users = graph.users()
        self.kept = graph.kept()

    def is_private(self, value: Value | None) -> bool:
        """Whether `value` has one reader and is no output."""
        return value is not None and len(self.users.get(value, ())) == 1 and value not in self.kept

    def quantized(self, value: Value | None) -> Quantized | None:
        """`value` as a dequantized uint8 value, if it is one."""
        node = value.producer if value is not None else None
        if node is None or node.op.name != "dequantize" or not is_activation(node):
            return None
        q = node.inputs[0]
        assert q is not None
        return Quantized(q, *parameters(node))

    def chain_start(self, quantize: Node) -> Node | None:
        """The node whose result is quantized, clamping activations between them skipped."""
        value = quantize.inputs[0]
        while value is not None and value.producer is not None:
            node = value.producer
            if not is_clamp(node):
                return node
            if not self.is_private(node.inputs[0]):
                return None
            value = node.inputs[0]
        return None


def is_clamp(node: Node) -> bool:
    return node.op.name == "relu" or (
        node.op.name == "clamp" and not any(np.isnan(node.attrs[key] or 0.0) for key in ("min", "max"))
    )


def is_move(node: Node) -> bool:
    """Whether the result holds nothing but elements of the inputs, in other places."""
    if node.op.name == "interpolate":
        return bool(node.attrs["mode"] == "nearest")
    return node.op.family == "move" and node.op.name != "pad"


def is_activation(node: Node) -> bool:
    """Whether a quantize or dequantize node is per tensor, on uint8, with constant parameters and a sound scale."""
    _, scale, zero_point = node.inputs
    assert scale is not None
    assert zero_point is not None
    if node.attrs["axis"] is not None or scale.data is None or zero_point.data is None:
        return False
    if zero_point.dtype != np.uint8 or scale.dtype != np.float32:
        return False
    return bool(np.finfo(np.float32).tiny <= scale.data < np.inf)


def is_by_column(node: Node) -> bool:
    """Whether a node quantizes to uint8 along the last axis, with constant parameters and sound scales."""
    if node.op.name != "quantize" or node.attrs["axis"] != -1 or node.attrs["dtype"] != "uint8":
        return False
    _, scale, zero_point = node.inputs
    if scale is None or zero_point is None or scale.data is None or zero_point.data is None:
        return False
    return scale.dtype == np.float32 and bool(np.all((np.finfo(np.float32).tiny <= scale.data) & (scale.data < np.inf)))


def column_parameters(node: Node) -> tuple[Array, Array]:
    """float64 scale and zero point of a quantize node: scalars, or one for every column."""
    _, scale, zero_point = node.inputs
    assert scale is not None
    assert zero_point is not None
    assert scale.data is not None
    assert zero_point.data is not None
    return scale.data.astype(np.float64), zero_point.data.astype(np.float64)


def parameters(node: Node) -> tuple[float, int]:
    """Scale and zero point of a per-tensor quantize or dequantize node."""
    _, scale, zero_point = node.inputs
    assert scale is not None
    assert zero_point is not None
    assert scale.data is not None
    assert zero_point.data is not None
    return float(scale.data), int(zero_point.data)


def is_same(x: Quantized, quantize: Node) -> bool:
    """Whether `quantize` gives back the integers of `x` unchanged."""
    return (x.scale, x.zero_point) == parameters(quantize)


def clamp_range(quantize: Node, start: Node) -> tuple[int, int] | None:
    """The clamps between `start` and `quantize` as a range of quantized values; None where they leave nothing."""
    scale, zero_point = parameters(quantize)
    low, high = 0, 255
    value = quantize.inputs[0]
    while value is not None and value.producer is not None and value.producer is not start:
        node = value.producer
        bounds = (0.0, None) if node.op.name == "relu" else (node.attrs["min"], node.attrs["max"])
        if bounds[0] is not None:
            low = max(low, _quantize(bounds[0], scale, zero_point))
        if bounds[1] is not None:
            high = min(high, _quantize(bounds[1], scale, zero_point))
        value = node.inputs[0]
    return (low, high) if low <= high else None


def weight(value: Value | None) -> tuple[Array, Array] | None:
    """Symmetric int8 weights and their float64 scales per output channel (axis 0), if `value` is such a constant."""
    node = value.producer if value is not None else None
    if node is None or node.op.name != "dequantize":
        return None
    q, scale, zero_point = node.inputs
    assert q is not None
    assert scale is not None
    assert zero_point is not None
    if q.data is None or scale.data is None or zero_point.data is None:
        return None
    if q.dtype != np.int8 or np.any(zero_point.data != 0) or node.attrs["axis"] not in (None, 0):
        return None
    if q.data[:1].size > MAX_DEPTH:
        return None
    return q.data, np.broadcast_to(scale.data.reshape(-1), q.data.shape[:1]).astype(np.float64)


def _quantize(x: float, scale: float, zero_point: int) -> int:
    return int(np.clip(np.rint(np.float32(x) / np.float32(scale)) + zero_point, 0, 255))
