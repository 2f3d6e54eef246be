"""Replaces operators that a backend has no kernel for by what they are made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..ir import Graph, Node, Value
from .rewrite import Rewriter


def decompose(graph: Graph, has_kernel: Callable[[Node], bool]) -> bool:
    """One step: every node without a kernel that has a decomposition for its shapes. True if there was any.

    What a decomposition is made of may lack kernels too; call again until nothing changes.
    """

    def rule(rewriter: Rewriter, node: Node) -> Value | Sequence[Value] | None:
        if node.op.decompose is None or has_kernel(node):
            return None
        nodes = rewriter.builder.graph.nodes
        before = len(nodes)
        found: Value | Sequence[Value] = node.op.decompose(rewriter.builder, *node.inputs, **node.attrs)
        for made in nodes[before:]:
            made.origin = node.origin or node.op.name
        return found

    return Rewriter(graph).apply({node.op.name: (rule,) for node in graph.nodes})
