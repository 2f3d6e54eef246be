"""Decides which values of a graph are quantized, so that integer operators form unbroken chains.

Matrix operators (`conv2d`, `linear` with constant weights) are integer unless they are to stay float. Operators between
them (additions, pools, activations, moves, attention) are integer where everything that they read comes as integers and
everything that reads them takes integers; otherwise they, and the chain up to the next matrix operator, stay float."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from math import prod

import numpy as np

from rushlight.runtime.ir import Graph, Node, Value
from rushlight.runtime.ops.integer import MAX_DEPTH
from rushlight.runtime.ops.integer_attention import MAX_WIDTH
from rushlight.runtime.passes.affine import is_affine
from rushlight.runtime.passes.quantized import is_clamp, is_move

MATRIX = ("conv2d", "linear")
ATTENTION = ("scaled_dot_product_attention", "window_attention")
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
    integer: dict[Node, None] = field(default_factory=dict)

    @property
    def layers(self) -> list[Node]:
        """The operators that can be left float one by one, as `place_quantization` is told."""
        return [*self.weights, *(node for node in self.integer if node.op.name in ATTENTION)]


def place_quantization(graph: Graph, floats: Collection[Value] = ()) -> Placement:
    """Where to quantize `graph`, which is canonical (batch norms folded, activations recognized).

    Matrix operators and attention whose results are among `floats` stay float.
    """
    users = graph.users()
    kept = graph.kept()
    matrices = [node for node in graph.nodes if _is_matrix(node) and node.output not in floats]
    candidates = [node for node in graph.nodes if _is_candidate(node) and node.output not in floats]
    integer = _integer_nodes(matrices, candidates, users, kept)
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
    ordered = {node: None for node in graph.nodes if node in integer}
    return Placement(matrices, _share(wanted, integer), ordered)


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
    if weight is None or not weight.is_constant or prod(weight.shape[1:]) > MAX_DEPTH:
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
    if name in ATTENTION:
        width = node.inputs[0].shape[-1] if node.inputs[0] is not None else 0
        quantized = all(value is not None and not value.is_constant for value in node.inputs[:3])
        return quantized and isinstance(width, int) and width <= MAX_WIDTH
    return name in UNARY or name == "avg_pool2d" or keeps_range(node)


def keeps_range(node: Node) -> bool:
    """Whether the result holds nothing but elements of the inputs, so that one quantization serves all of them."""
    return node.op.name in ("max_pool2d", "concat", *MOVES) or (node.op.name == "interpolate" and is_move(node))


def _integer_nodes(
    matrices: Collection[Node], candidates: Collection[Node], users: dict[Value, list[Node]], kept: set[Value]
) -> set[Node]:
    integer = {*matrices, *candidates}
    fixed = set(matrices)
    changed = True
    while changed:
        changed = False
        for node in list(integer - fixed):
            readers = users.get(node.output, [])
            takes = all(reader in integer and reader.op.name not in ATTENTION for reader in readers)
            if not _is_fed(node, integer, users, kept) or not readers or node.output in kept or not takes:
                integer.discard(node)
                changed = True
    return integer


def _is_fed(node: Node, integer: set[Node], users: dict[Value, list[Node]], kept: set[Value]) -> bool:
    """Whether integers come in. Attention takes them from linear layers, each of its operands in a range of its own:
    what moves these is not integer, so that it does not join ranges."""
    if node.op.name in ATTENTION:
        return all(_comes_from_linear(value, integer, users, kept) for value in reads_of(node))
    return node.op.name in MOVES or all(value.producer in integer for value in reads_of(node))


def _comes_from_linear(value: Value, integer: set[Node], users: dict[Value, list[Node]], kept: set[Value]) -> bool:
    """Whether an integer linear layer makes `value`, but for movements, and nothing but attention reads its result."""
    node = value.producer
    while node is not None and node.op.name in MOVES and node.inputs[0] is not None:
        node = node.inputs[0].producer
    return node is not None and node.op.name == "linear" and node in integer and _feeds_attention(node, users, kept)


def _feeds_attention(node: Node, users: dict[Value, list[Node]], kept: set[Value]) -> bool:
    readers = users.get(node.output, [])
    if node.output in kept or not readers:
        return False
    return all(
        reader.op.name in ATTENTION or (reader.op.name in MOVES and _feeds_attention(reader, users, kept))
        for reader in readers
    )


def reads_of(node: Node) -> list[Value]:
    """The float values that a node reads as data."""
    values = node.inputs[: 1 if node.op.name in MATRIX else 3 if node.op.name in ATTENTION else None]
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
