"""Quantization of what a linear layer gives, done by the layer itself although its columns are moved first.

Queries, keys and values of attention are columns of one layer's result, or of several layers', that are quantized apart
where attention reads them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product as every

import numpy as np

from ..ir import Graph, Node, Value, constant, make_node
from ..types import DimLike, exact_div
from .quantized import Reader, is_activation, parameters, weight
from .views import place_of

MOVES = ("reshape", "permute", "slice")


def quantize_early(graph: Graph) -> bool:
    """Moves quantize nodes before the movements between them and an int8 linear layer that nobody else reads.

    Columns keep the scales that they had, so that the new quantize node may have one for every column. True if the
    graph changed.
    """
    reader = Reader(graph)
    nodes: list[Node] = []
    replaced: dict[Value, Value] = {}
    for node in graph.nodes:
        nodes.append(node)
        if not _gives_bytes(node, reader):
            continue
        found = _find(node.output, reader)
        quantize = None if found is None or not found.moves else _quantize(node.output, found.quantizes)
        if found is None or quantize is None:
            continue
        nodes.append(quantize)
        moved = {node.output: quantize.output}
        for move in found.moves:
            (x,) = move.inputs
            assert x is not None
            new = make_node(move.op, [moved[x]], move.attrs, move.name)
            moved[move.output] = new.output
            nodes.append(new)
        for old in found.quantizes:
            x = old.inputs[0]
            assert x is not None
            replaced[old.output] = moved[x]
    graph.nodes = nodes
    graph.replace_many(replaced)
    return graph.prune()


def _gives_bytes(node: Node, reader: Reader) -> bool:
    """Whether a layer can become an integer one that quantizes its result."""
    if node.op.name != "linear" or weight(node.inputs[1]) is None or reader.quantized(node.inputs[0]) is None:
        return False
    _, _, bias, residual = node.inputs
    return node.attrs["activation"] == "none" and residual is None and (bias is None or bias.is_constant)


@dataclass
class _Found:
    """Movements of a value, in order, and the quantize nodes that read what they give."""

    moves: list[Node] = field(default_factory=list)
    quantizes: list[Node] = field(default_factory=list)


def _find(value: Value, reader: Reader) -> _Found | None:
    """None where anything else reads the value, before or after movements."""
    found = _Found()
    waiting = [value]
    while waiting:
        at = waiting.pop()
        readers = reader.users.get(at, [])
        if at in reader.kept or not readers:
            return None
        for node in readers:
            if node.op.name in MOVES:
                found.moves.append(node)
                waiting.append(node.output)
            elif node.op.name == "quantize" and is_activation(node) and node.inputs[0] is at:
                found.quantizes.append(node)
            else:
                return None
    return found


def _quantize(value: Value, quantizes: Sequence[Node]) -> Node | None:
    """One node for all of them that reads `value`; None where they do not say one scale for every column."""
    width = value.shape[-1]
    if not isinstance(width, int):
        return None
    chosen: dict[int, tuple[float, int]] = {}
    for node in quantizes:
        own = parameters(node)
        columns = _columns(node.inputs[0], value, width)
        if columns is None or any(chosen.setdefault(column, own) != own for column in columns):
            return None
    if not chosen:
        return None
    if len(set(chosen.values())) == 1:
        return make_node("quantize", [value, *quantizes[0].inputs[1:]], {"dtype": "uint8"})
    unread = parameters(quantizes[0])
    scales, zero_points = zip(*(chosen.get(column, unread) for column in range(width)), strict=True)
    inputs = [value, constant(np.array(scales, np.float32), "scale"), constant(np.array(zero_points, np.uint8), "zero")]
    return make_node("quantize", inputs, {"dtype": "uint8", "axis": -1})


def _columns(moved: Value | None, source: Value, width: int) -> Iterator[int] | None:
    """The columns of `source` that `moved` holds; None where that is not known."""
    if moved is None:
        return None
    base, offset, strides = place_of(moved)
    if base is not source or not isinstance(offset, int):
        return None
    steps: list[range] = []
    for size, stride in zip(moved.shape, strides, strict=True):
        if size == 1 or _is_multiple(stride, width):
            continue
        if not isinstance(size, int) or not isinstance(stride, int):
            return None
        steps.append(range(0, size * stride, stride))
    first = offset % width
    if (
        first + sum(max(step) for step in steps if step) >= width
        or first + sum(min(step) for step in steps if step) < 0
    ):
        return None
    return (first + sum(places) for places in every(*steps))


def _is_multiple(stride: DimLike, width: int) -> bool:
    return stride % width == 0 if isinstance(stride, int) else exact_div(stride, width) is not None
