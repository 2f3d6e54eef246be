"""Moves sums and activations into the epilogue of the layer before them; a product and a sum become one operator."""

from __future__ import annotations

import numpy as np

from ..ir import Graph, Node, Value
from ..ops.activation import ACTIVATIONS, match_activation
from .rewrite import Rewriter, Rules, with_constant

WITH_RESIDUAL = ("conv2d", "linear", "qlinear")
"""Layers that can add a float tensor before their activation."""


def fuse_layers(graph: Graph) -> bool:
    """activation(layer + residual) becomes one node, and so does activation(x * scale + offset). True if there was any.

    Layers are those that have the attributes `activation` and `residual`.
    """
    return Rewriter(graph).apply(_RULES)


def _open_layer(rewriter: Rewriter, value: Value | None, *ops: str) -> Node | None:
    """The layer that alone feeds the reader of `value` and has no activation yet."""
    node = None if value is None else value.producer
    if node is None or value is None or rewriter.reads(value) != 1 or (ops and node.op.name not in ops):
        return None
    return node if node.attrs.get("activation") == "none" else None


def _fuse_activation(rewriter: Rewriter, node: Node) -> Value | None:
    layer = _open_layer(rewriter, node.inputs[0])
    found = match_activation(node.op.name, node.attrs)
    if layer is None or found is None or layer.output.type != node.output.type or layer.output.dtype.kind != "f":
        return None
    (out,) = rewriter.builder.add_node(layer.op.name, layer.inputs, {**layer.attrs, **found}, layer.name)
    return out


def _fuse_residual(rewriter: Rewriter, node: Node) -> Value | None:
    """The later of two layers takes the sum: the earlier one's result is there by then."""
    candidates: list[tuple[Node, Value]] = []
    for value, other in (node.inputs, node.inputs[::-1]):
        layer = _open_layer(rewriter, value, *WITH_RESIDUAL)
        if layer is not None and other is not None and _can_add(layer) and other.type == layer.output.type:
            candidates.append((layer, other))
    if not candidates:
        return None
    if len(candidates) == 2:
        candidates.sort(key=lambda candidate: rewriter.builder.graph.nodes.index(candidate[0]))
    layer, other = candidates[-1]
    (out,) = rewriter.builder.add_node(
        layer.op.name, [*layer.inputs[: _residual(layer)], other], layer.attrs, layer.name
    )
    return out


def _can_add(layer: Node) -> bool:
    return layer.output.dtype.kind == "f" and all(value is None for value in layer.inputs[_residual(layer) :])


def _residual(layer: Node) -> int:
    """Which input the residual is."""
    return layer.op.inputs.index("residual?")


def _fuse_fma(rewriter: Rewriter, node: Node) -> Value | None:
    """A product and a sum with constants of a channel, or of all: what a batch norm comes to."""
    operands = with_constant(node)
    product = None if operands is None else rewriter.private(operands[0], "mul")
    factors = None if product is None else with_constant(product)
    if operands is None or factors is None:
        return None
    x, scale, offset = factors[0], factors[1], operands[1]
    if x.dtype != np.float32 or x.type != node.output.type or not _along_one_axis(x.type.rank, scale, offset):
        return None
    out: Value = rewriter.builder.fma(x, scale, offset)
    return out


def _along_one_axis(rank: int, *constants: Value) -> bool:
    shapes = ((1,) * (rank - constant.type.rank) + constant.type.static_shape() for constant in constants)
    return len({axis for shape in shapes for axis, size in enumerate(shape) if size != 1}) <= 1


_RULES: Rules = {
    **{entry.op: (_fuse_activation,) for entry in ACTIVATIONS.values()},
    "add": (_fuse_residual, _fuse_fma),
}
