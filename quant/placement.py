"""Decides which values of a graph are quantized, so that integer operators form unbroken chains.

Matrix operators (`conv2d`, `linear` with constant weights) are integer unless they are to stay float. Operators between
them (additions, pools, activations, moves) are integer where everything that they read comes as integers and everything
that reads them takes integers; otherwise they, and the chain up to the next matrix operator, stay float."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

import numpy as np

from rushlight.runtime.ir import Graph, Node, Value
from rushlight.runtime.ops.integer import MAX_DEPTH
from rushlight.runtime.passes.affine import is_affine
from rushlight.runtime.passes.quantized import is_clamp, is_move

MATRIX = ("conv2d", "linear")
UNARY = {"relu", "clamp", "hardswish", "silu", "sigmoid", "hardsigmoid", "gelu", "tanh", "mish", "leaky_relu", "elu"}
MOVES = {"reshape", "permute", "slice", "flip"}
"""Operators that may move a value before it is quantized for their reader."""


@dataclass
class Placement:
    """`weights`: matrix nodes whose weights become int8. `groups`: sets of values that share one quantization.

    `integer`: nodes that integers go in and out of; other readers of a quantized value take it in float where it is
    made in float.
    """

    weights: list[Node] = field(default_factory=list)
    groups: list[list[Value]] = field(default_factory=list)
    integer: set[Node] = field(default_factory=set)


def place_quantization(graph: Graph, floats: Collection[Value] = ()) -> Placement:
    """Where to quantize `graph`, which is canonical (batch norms folded, activations recognized).

    Matrix operators whose results are among `floats` stay float.
    """
    users = graph.users()
    kept = graph.kept()
    matrices = [node for node in graph.nodes if _is_matrix(node) and node.output not in floats]
    integer = _integer_nodes(graph, matrices, users, kept)
    wanted: dict[Value, None] = {}
    for node in graph.nodes:
        if node not in integer:
            continue
        reads = reads_of(node)
        skipped = _absorbed(node, users, kept) | {v for v in reads if _merges(v, node, users, kept)}
        for value in reads:
            if value not in skipped:
                wanted.setdefault(value)
        if node.op.name not in MATRIX and not _is_interior(node, users, kept):
            wanted.setdefault(node.output)
    return Placement(matrices, _share(wanted, integer), integer)


def sources(group: Iterable[Value]) -> list[Value]:
    """Those of a group that hold elements which no other member holds."""
    members = set(group)
    return [
        v for v in group if v.producer is None or not keeps_range(v.producer) or not members >= {*reads_of(v.producer)}
    ]


def _is_matrix(node: Node) -> bool:
    if node.op.name not in MATRIX or node.output.dtype != np.float32:
        return False
    weight, bias = node.inputs[1], node.inputs[2]
    plain = node.attrs["activation"] == "none" and node.inputs[3] is None
    if weight is None or weight.data is None or weight.data[:1].size > MAX_DEPTH:
        return False
    return plain and (bias is None or bias.is_constant)


def _is_candidate(node: Node) -> bool:
    """Whether integers can pass through this node."""
    if any(out.dtype != np.float32 for out in node.outputs) or len(node.outputs) != 1:
        return False
    name = node.op.name
    if name in ("add", "mul"):
        return is_affine(node) or all(value is not None and not value.is_constant for value in node.inputs)
    if name == "mean":
        rank = node.inputs[0].type.rank if node.inputs[0] is not None else 0
        return rank == 4 and sorted(d % 4 for d in node.attrs["dim"]) in ([1, 2], [2, 3])
    if name == "concat":
        return all(value is not None and not value.is_constant for value in node.inputs)
    return name in UNARY or name == "avg_pool2d" or keeps_range(node)


def keeps_range(node: Node) -> bool:
    """Whether the result holds nothing but elements of the inputs, so that one quantization serves all of them."""
    return node.op.name in ("max_pool2d", "concat", *MOVES) or (node.op.name == "interpolate" and is_move(node))


def _integer_nodes(
    graph: Graph, matrices: Collection[Node], users: dict[Value, list[Node]], kept: set[Value]
) -> set[Node]:
    integer = {*matrices, *(node for node in graph.nodes if _is_candidate(node))}
    fixed = set(matrices)
    changed = True
    while changed:
        changed = False
        for node in list(integer - fixed):
            readers = users.get(node.output, [])
            fed = node.op.name in MOVES or all(value.producer in integer for value in reads_of(node))
            if not fed or not readers or node.output in kept or any(reader not in integer for reader in readers):
                integer.discard(node)
                changed = True
    return integer


def reads_of(node: Node) -> list[Value]:
    """The float values that a node reads as data."""
    values = node.inputs[:1] if node.op.name in MATRIX else node.inputs
    return [value for value in values if value is not None and not value.is_constant]


def _is_private(value: Value, users: dict[Value, list[Node]], kept: set[Value]) -> bool:
    return value not in kept and len(users.get(value, ())) == 1


def _absorbed(node: Node, users: dict[Value, list[Node]], kept: set[Value]) -> set[Value]:
    """The matrix operator's result that an addition takes in unquantized: it becomes that operator's residual."""
    if node.op.name != "add" or is_affine(node):
        return set()
    left, right = reads_of(node)
    if left.type != right.type:
        return set()
    for value in (left, right):
        if value.producer is not None and _is_matrix(value.producer) and _is_private(value, users, kept):
            return {value}
    return set()


def _merges(value: Value, reader: Node, users: dict[Value, list[Node]], kept: set[Value]) -> bool:
    """Whether nothing is quantized between `value` and its only reader: a clamp joins the operator before it, a chain
    of pointwise functions becomes one table."""
    producer = value.producer
    if producer is None or not _is_private(value, users, kept):
        return False
    if is_affine(reader):
        return is_affine(producer)
    if is_clamp(reader):
        return producer.op.name in (*MATRIX, "add", "mul", "mean", "avg_pool2d", *UNARY)
    return reader.op.name in UNARY and producer.op.name in UNARY and not _clamps_an_operator(producer, users, kept)


def _clamps_an_operator(node: Node, users: dict[Value, list[Node]], kept: set[Value]) -> bool:
    """Whether a clamp belongs to the epilogue of the integer operator before it, so that its result is quantized."""
    while is_clamp(node):
        value = node.inputs[0]
        if value is None or value.producer is None or not _is_private(value, users, kept):
            return False
        node = value.producer
        if node.op.name in (*MATRIX, "add", "mul", "mean", "avg_pool2d"):
            return True
    return False


def _is_interior(node: Node, users: dict[Value, list[Node]], kept: set[Value]) -> bool:
    """Whether the only reader takes the node's result in unquantized."""
    readers = users.get(node.output, [])
    if len(readers) != 1 or node.output in kept:
        return False
    return _merges(node.output, readers[0], users, kept)


def _share(wanted: Iterable[Value], integer: set[Node]) -> list[list[Value]]:
    """Groups of values that one quantization must serve."""
    leader = {value: value for value in wanted}

    def find(value: Value) -> Value:
        while leader[value] is not value:
            value = leader[value]
        return value

    for node in integer:
        if keeps_range(node) and node.output in leader:
            for value in reads_of(node):
                if value in leader:
                    leader[find(value)] = find(node.output)
    groups: dict[Value, list[Value]] = {}
    for value in leader:
        groups.setdefault(find(value), []).append(value)
    return list(groups.values())
