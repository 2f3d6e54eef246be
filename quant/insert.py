"""Writes a quantization into a graph: quantize and dequantize nodes around values, int8 weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from rushlight.runtime.ir import Graph, Node, Value, constant, make_node
from rushlight.runtime.ops import Array

from .placement import Placement


@dataclass(frozen=True)
class Uint8:
    """Per-tensor quantization ``x = (q - zero_point) * scale`` of activations."""

    scale: float
    zero_point: int


def uint8_for(low: float, high: float) -> Uint8:
    """The quantization that covers [low, high] and 0, which it represents exactly."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = float(np.float32((high - low) / 255))
    if scale < np.finfo(np.float32).tiny:
        return Uint8(1.0, 0)
    return Uint8(scale, int(np.clip(np.rint(-low / scale), 0, 255)))


def quantize_weight(weight: Array) -> tuple[Array, Array]:
    """int8 values in [-127, 127] and float32 scales per output channel (axis 0), symmetric."""
    flat = np.abs(weight.reshape(len(weight), -1)).max(1, initial=0.0)
    scale = np.where(flat > 0, flat / 127, 1.0).astype(np.float32)
    scale = np.maximum(scale, np.finfo(np.float32).tiny)
    columns = scale.reshape(-1, *[1] * (weight.ndim - 1))
    return np.clip(np.rint(weight / columns), -127, 127).astype(np.int8), scale


def insert_quantization(graph: Graph, placement: Placement, activations: Mapping[Value, Uint8]) -> None:
    """Rewrites `graph` in place; it means what the integer model computes, in float operators between integers."""
    int8: dict[Value, Value] = {}
    before: dict[int, list[Node]] = {}
    for node in placement.weights:
        weight = node.inputs[1]
        assert weight is not None
        assert weight.data is not None
        if weight not in int8:
            q, scale = quantize_weight(weight.data)
            name = weight.name or "weight"
            inputs = [
                constant(q, name),
                constant(scale, f"{name}.scale"),
                constant(np.zeros(len(scale), np.int8), f"{name}.zero_point"),
            ]
            dequantize = make_node("dequantize", inputs, {"axis": 0})
            dequantize.output.name = f"{name}.float"
            before.setdefault(id(node), []).append(dequantize)
            int8[weight] = dequantize.output
        node.inputs[1] = int8[weight]

    pairs = {value: _pair(value, how) for value, how in activations.items()}
    replacements = {value: pair[1].output for value, pair in pairs.items()}
    integer = placement.integer.keys()
    nodes: list[Node] = []
    for value in graph.inputs:
        nodes += pairs.get(value, ())
    for node in graph.nodes:
        node.inputs = [
            replacements[v] if v in replacements and {node, v.producer} & integer else v for v in node.inputs
        ]
        nodes += [*before.get(id(node), ()), node]
        for out in node.outputs:
            nodes += pairs.get(out, ())
    graph.nodes = nodes


def _pair(value: Value, how: Uint8) -> tuple[Node, Node]:
    name = value.name or "value"
    scale = constant(np.float32(how.scale), f"{name}.scale")
    zero_point = constant(np.uint8(how.zero_point), f"{name}.zero_point")
    quantize = make_node("quantize", [value, scale, zero_point], {"dtype": "uint8"})
    dequantize = make_node("dequantize", [quantize.output, scale, zero_point])
    quantize.output.name, dequantize.output.name = f"{name}.uint8", f"{name}.float"
    return quantize, dequantize
