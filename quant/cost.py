"""What a placement of quantization costs to run: an estimate from sizes alone, the same for every machine.

It weighs float against int8 for the same graph, so that nothing is made integer that is faster in float. The unit is
the time of one float32 multiply-add in a large product.
"""

from __future__ import annotations

from collections.abc import Mapping

from rushlight.runtime.ir import Graph, Node, Value
from rushlight.runtime.types import evaluate, product

from .placement import ATTENTION, MATRIX, UNARY, Placement, reads_of

GAIN = 3.0
"""How much faster int8 products are: 2 times (AVX2) to 4 times (VNNI)."""

ATTENTION_GAIN = 2.0
"""How much faster int8 attention is, its exponentials included: 1.3 times (AVX2) to 2.7 times (VNNI)."""

EXPONENTIAL = 40.0
"""What the softmax of one score takes."""

BYTE = 4.0
"""What moving one byte of an activation through the caches takes."""


def cost(graph: Graph, placement: Placement, sizes: Mapping[str, int]) -> float:
    """The estimate for `graph`, quantized as `placement` says, with these sizes of its symbolic dimensions."""
    estimate = _Estimate(graph, placement, sizes)
    nodes = sum(estimate.node(node, node in placement.integer) for node in graph.nodes)
    return nodes + sum(estimate.quantize(value) for value in estimate.borders)


def losing(graph: Graph, placement: Placement, sizes: Mapping[str, int]) -> list[Value]:
    """Results of the matrix operators that would run slower as integers, with all that surrounds them.

    Integer operators that hand each other integers, or read the same quantized value, are weighed together.
    """
    estimate = _Estimate(graph, placement, sizes)
    islands = _islands(placement, estimate)
    gains = dict.fromkeys(islands.values(), 0.0)
    for node, island in islands.items():
        gains[island] += estimate.node(node, integer=False) - estimate.node(node, integer=True)
    for value in estimate.borders:
        reader = next(user for user in estimate.users[value] if user in islands)
        gains[islands[reader]] -= estimate.quantize(value)
    return [node.output for node in placement.weights if gains[islands[node]] <= 0]


class _Estimate:
    def __init__(self, graph: Graph, placement: Placement, sizes: Mapping[str, int]) -> None:
        self.users = graph.users()
        self.kept = graph.kept()
        self.integer = placement.integer
        self.sizes = sizes
        quantized = (value for group in placement.groups for value in group)
        self.borders = [value for value in quantized if value.producer not in placement.integer]

    def quantize(self, value: Value) -> float:
        return self._size(value) * (4 + 1) * BYTE

    def node(self, node: Node, integer: bool) -> float:
        total = 0.0
        if node.op.name in MATRIX:
            weight = node.inputs[1]
            assert weight is not None
            total = self._size(node.output) * evaluate(product(weight.shape[1:]), self.sizes) / (GAIN if integer else 1)
        elif node.op.name in ATTENTION:
            total = self._attention(node) / (ATTENTION_GAIN if integer else 1)
        elif self._is_taken_in(node):
            return 0.0
        read = sum(self._size(value) for value in reads_of(node))
        written = sum(self._size(value) for value in node.outputs)
        narrow = integer and self._stays_narrow(node)
        return total + (read * (1 if integer else 4) + written * (1 if narrow else 4)) * BYTE

    def _attention(self, node: Node) -> float:
        """Products and exponentials."""
        q, k, v, rows = node.inputs[:4]
        assert q is not None
        assert k is not None
        assert v is not None
        if node.op.name == "window_attention":
            assert rows is not None
            keys = rows.shape[1]
        else:
            keys = k.shape[1 if node.attrs["rows_first"] else 2]
        width = product(q.shape[-1:])
        scores = self._size(q) * evaluate(keys, self.sizes) // max(evaluate(width, self.sizes), 1)
        return scores * (evaluate(width + product(v.shape[-1:]), self.sizes) + EXPONENTIAL)

    def _size(self, value: Value) -> int:
        return evaluate(product(value.shape), self.sizes)

    def _stays_narrow(self, node: Node) -> bool:
        readers = self.users.get(node.outputs[0], [])
        return bool(readers) and all(reader in self.integer for reader in readers)

    def _is_taken_in(self, node: Node) -> bool:
        """Whether a node costs nothing beside the operator before it: its epilogue, or the same walk over values."""
        x = node.inputs[0] if node.inputs else None
        if x is None or x.producer is None or node.op.name not in UNARY:
            return False
        return x not in self.kept and len(self.users[x]) == 1 and x.producer.op.name in (*MATRIX, "add", "mul")


def _islands(placement: Placement, estimate: _Estimate) -> dict[Node, Node]:
    """Integer nodes and the node that stands for all that they are weighed with."""
    leader = {node: node for node in placement.integer}

    def find(node: Node) -> Node:
        while leader[node] is not node:
            leader[node] = leader[leader[node]]
            node = leader[node]
        return node

    for value, users in estimate.users.items():
        joined = [node for node in (value.producer, *users) if node in leader and not value.is_constant]
        for node in joined[1:]:
            leader[find(node)] = find(joined[0])
    return {node: find(node) for node in leader}
