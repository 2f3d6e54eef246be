"""Rewriting by rules: one walk over a graph in execution order, in which rules replace the results of nodes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias

import numpy as np

from ..errors import ShapeError, UnsupportedError
from ..ir import Graph, GraphBuilder, Node, Value, dense
from ..ops import Array

Result: TypeAlias = "Value | Sequence[Value] | None"
"""What takes the place of a node's outputs; None where the rule does not apply."""

Rule: TypeAlias = "Callable[[Rewriter, Node], Result]"
"""Looks at a node and those before it. New nodes are made with ``rewriter.builder``; they stand before the node."""

Rules: TypeAlias = Mapping[str, Sequence[Rule]]
"""Rules by the name of the operator that they start from."""


class Rewriter:
    """What rules see of a graph: its values as they are by now, how often each is read, and a builder for new nodes.

    Counts never fall while a walk lasts, although replaced nodes lose their readers: a rule may miss something in this
    walk and find it in the next.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.builder = GraphBuilder()
        self.replaced: dict[Value, Value] = {}
        self._reads = Counter(graph.used_values())

    def apply(self, rules: Rules) -> bool:
        """Walks once. True if anything was replaced."""
        nodes = self.builder.graph.nodes
        for node in self.graph.nodes:
            node.inputs = [self.current(value) for value in node.inputs]
            if not self._replace(node, rules.get(node.op.name, ())):
                nodes.append(node)
        if not self.replaced:
            return False
        self.graph.nodes = nodes
        self.graph.replace_many(self.replaced)
        self.graph.prune()
        return True

    def _replace(self, node: Node, rules: Iterable[Rule]) -> bool:
        nodes = self.builder.graph.nodes
        before = len(nodes)
        for rule in rules:
            try:
                found = rule(self, node)
            except (ShapeError, UnsupportedError):
                found = None  # what the rule wants to make does not exist for these shapes
            if found is not None:
                results = [found] if isinstance(found, Value) else list(found)
                for old, new in zip(node.outputs, results, strict=True):
                    self._record(old, new, isinstance(new.producer, Node) and new.producer in nodes[before:])
                for added in nodes[before:]:
                    added.origin = added.origin or node.origin
                    self._reads.update(value for value in added.inputs if value is not None)
                return True
            del nodes[before:]
        return False

    def _record(self, old: Value, new: Value, is_made: bool) -> None:
        if old.type != new.type:
            raise ShapeError(f"{old} was rewritten to {new}")
        if is_made:
            new.name = old.name
        self.replaced[old] = new
        self._reads[new] += self._reads[old]

    def current(self, value: Value | None) -> Value | None:
        """What stands for a value of the original graph by now."""
        while value in self.replaced:
            value = self.replaced[value]
        return value

    def reads(self, value: Value) -> int:
        """How often nodes, graph outputs and states read `value`."""
        return self._reads[value]

    def producer(self, value: Value | None, *ops: str) -> Node | None:
        """The node that makes `value` if its operator is one of `ops`."""
        node = None if value is None else value.producer
        return node if node is not None and node.op.name in ops else None

    def private(self, value: Value | None, *ops: str) -> Node | None:
        """The same, if the value is read just once: then it can be absorbed."""
        return self.producer(value, *ops) if value is not None and self.reads(value) == 1 else None


def array_of(value: Value | None) -> Array | None:
    """The array of a constant, None for any other value."""
    return None if value is None else value.data


def scalar_of(value: Value | None) -> float | None:
    """The number in a constant with one element, None for any other value."""
    if value is None or value.stored is None or value.stored.size != 1:
        return None
    return float(dense(value.stored).reshape(-1)[0])


def is_close(value: float | None, wanted: float) -> bool:
    """Equal to within 1e-6, relative: constants of models are rounded to float32 and written with few digits."""
    return value is not None and bool(np.isclose(value, wanted, rtol=1e-6, atol=0.0))


def with_constant(node: Node) -> tuple[Value, Value] | None:
    """(the other operand, the constant) of a binary node with just one constant operand."""
    a, b = node.inputs
    assert a is not None
    assert b is not None
    if a.is_constant == b.is_constant:
        return None
    return (b, a) if a.is_constant else (a, b)
